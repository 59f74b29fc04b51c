//! Calls over the network: sent, answered, given up, tried again, as our clients do it.

use silo_core::shard::command::Command;
use silo_core::table::job::JobKey;
use silo_runtime::executor::replies::{Answer, Failure};

use crate::check::Checked;
use crate::clock::{At, MS};
use crate::cover::Mark;
use crate::random::{Of, is_hit};
use crate::world::World;
use crate::world::event::{CallId, Event, Letter, ProcessId, RunId};

/// A call is tried so often before its caller gives up, unless all faults have ended.
const TRIES_MAX: u16 = 20;
/// How long a try waits for its answer at the least, once all faults have ended.
const PATIENCE: At = 5_000 * MS;

/// Who made a call, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// A client, for this step of the plan.
    Step(u32),
    /// A worker that wants tasks; which life of it.
    Poll(u32, u32),
    /// A worker that keeps a lease.
    Beat(u32, RunId),
    /// A worker that reports a task. True: it has been answered before, and says it again.
    Report(u32, RunId, bool),
    /// A client that ends what it leased by hand.
    ByHand,
    /// A client that does not care for the answer.
    Nobody,
}

impl For {
    /// The worker that made it, if one did.
    pub const fn worker(self) -> Option<u32> {
        match self {
            Self::Poll(worker, _) | Self::Beat(worker, _) | Self::Report(worker, ..) => {
                Some(worker)
            }
            Self::Step(_) | Self::ByHand | Self::Nobody => None,
        }
    }
}

/// A call.
#[derive(Debug)]
pub struct Call {
    /// By whom.
    pub by: For,
    /// From where.
    pub endpoint: u32,
    /// What is asked.
    pub command: Command,
    /// Which try is under way.
    pub attempt: u16,
    /// Whether it waits for an answer still.
    pub is_open: bool,
    /// Whether it may be sent again blindly.
    pub is_repeatable: bool,
    /// When its last try was sent.
    pub sent_at: At,
    /// How long a try waits for its answer.
    timeout: At,
    /// How much of the history of its job it must know of.
    pub floor: u64,
}

impl World<'_> {
    /// Sends a new call.
    pub fn call(&mut self, by: For, endpoint: u32, command: Command, timeout: At) {
        let is_repeatable = command.is_repeatable();
        let floor = target(&command).map_or(0, |key| self.check.history.floor(key));
        self.calls.push(Call {
            by,
            endpoint,
            is_repeatable,
            command,
            attempt: 0,
            is_open: true,
            sent_at: self.now,
            timeout,
            floor,
        });
        self.open_calls += 1;
        let id = u32::try_from(self.calls.len() - 1).unwrap_or(u32::MAX);
        if let Some(call) = self.calls.last() {
            self.check.pauses.sent(id, &call.command);
        }
        self.send(id);
    }

    /// Sends a try of a call to the server that its endpoint believes in.
    pub fn send(&mut self, id: CallId) {
        let now = self.now;
        let Some(call) = self.calls.get_mut(id as usize).filter(|call| call.is_open) else {
            return;
        };
        call.attempt = call.attempt.saturating_add(1);
        call.sent_at = now;
        let (attempt, endpoint) = (call.attempt, call.endpoint);
        // Without faults everybody has patience.
        let is_beat = matches!(call.by, For::Beat(..));
        let timeout = if self.is_healed && !is_beat {
            call.timeout.max(PATIENCE)
        } else {
            call.timeout
        };
        let is_repeatable = call.is_repeatable;
        self.heap.push(now + timeout, Event::Timeout(id, attempt));
        if self.config.is_faithful && self.route_is_open(endpoint) {
            self.look_up(endpoint);
        }
        let Some(to) = self.route(endpoint) else {
            return;
        };
        let noise = self.noise.number(Of::Request, id.into(), attempt.into());
        let is_cut = self.is_cut(endpoint, true);
        if is_cut || (!self.is_healed && is_hit(noise, self.config.network.lost)) {
            self.cover.hit(Mark::RequestLost);
            return;
        }
        let delay = self.travel(noise);
        self.heap.push(now + delay, Event::Request(to, id, attempt));
        let again = self.noise.number(Of::Fault, id.into(), attempt.into());
        if is_repeatable && !self.is_healed && is_hit(again, self.config.network.doubled) {
            self.cover.hit(Mark::RequestTwice);
            let delay = self.travel(again);
            self.heap.push(now + delay, Event::Request(to, id, attempt));
        }
    }

    /// The server that an endpoint sends to.
    fn route(&self, endpoint: u32) -> Option<ProcessId> {
        self.routes
            .get(endpoint as usize)
            .copied()
            .flatten()
            .or(self.latest)
    }

    fn route_is_open(&self, endpoint: u32) -> bool {
        matches!(self.routes.get(endpoint as usize), Some(None))
    }

    /// An endpoint looks for the server that opened the shard last.
    fn look_up(&mut self, endpoint: u32) {
        let latest = self.latest;
        if let Some(route) = self.routes.get_mut(endpoint as usize) {
            *route = latest;
        }
    }

    /// How long a message travels.
    pub fn travel(&self, noise: u64) -> At {
        let network = &self.config.network;
        let is_slow = !self.is_healed && is_hit(noise.rotate_left(32), network.slow);
        let span = if is_slow {
            network.slow_us
        } else {
            network.usual_us
        };
        crate::random::spread(noise, span.0, span.1)
    }

    /// Sends an answer, or loses it.
    pub fn answer(&mut self, letter: Letter) {
        let Some(call) = self.calls.get(letter.token.call as usize) else {
            return;
        };
        let token = letter.token;
        let noise = self
            .noise
            .number(Of::Answer, token.call.into(), token.number);
        let is_cut = self.is_cut(call.endpoint, false);
        if is_cut || (!self.is_healed && is_hit(noise, self.config.network.lost)) {
            self.cover.hit(Mark::AnswerLost);
            return;
        }
        let delay = self.travel(noise);
        self.heap
            .push(self.now + delay, Event::Answer(Box::new(letter)));
    }

    /// A call has waited long enough.
    pub fn timed_out(&mut self, id: CallId, attempt: u16) -> Checked {
        let Some(call) = self.calls.get(id as usize) else {
            return Ok(());
        };
        if !call.is_open || call.attempt != attempt {
            return Ok(());
        }
        self.cover.hit(Mark::TimedOut);
        self.look_up(call.endpoint);
        self.failed(id, Failure::Unavailable, true)
    }

    /// An answer has come.
    pub fn answered(&mut self, letter: &Letter) -> Checked {
        let token = letter.token;
        let Some(call) = self.calls.get(token.call as usize) else {
            return Ok(());
        };
        if !call.is_open || call.attempt != token.attempt {
            self.cover.hit(Mark::AnswerTooLate);
            return Ok(());
        }
        match &letter.answer {
            Answer::Reply(reply) => {
                let (by, sent_at) = (call.by, call.sent_at);
                self.check
                    .answered((call, letter), reply, self.now, &mut self.cover)?;
                self.close(token.call);
                match by {
                    For::Step(step) => self.client_heard(step, token.call, reply),
                    For::Poll(worker, life) => self.tasks_came(worker, life, sent_at, reply),
                    For::Beat(worker, run) => self.beat_told(worker, run, sent_at, reply),
                    For::Report(worker, run, again) => {
                        self.report_told(worker, run, again, token.call, reply)
                    }
                    For::ByHand | For::Nobody => Ok(()),
                }
            }
            Answer::Failed(failure) => {
                self.look_up(call.endpoint);
                self.failed(token.call, *failure, false)
            }
        }
    }

    /// A try of a call came to nothing, as far as its caller knows.
    fn failed(&mut self, id: CallId, failure: Failure, is_silent: bool) -> Checked {
        let Some(call) = self.calls.get(id as usize) else {
            return Ok(());
        };
        let (by, attempt) = (call.by, call.attempt);
        let is_unknown = failure == Failure::OutcomeUnknown || (is_silent && !call.is_repeatable);
        match by {
            For::Poll(worker, life) => {
                self.close(id);
                self.poll_failed(worker, life);
                return Ok(());
            }
            For::Beat(worker, run) => {
                self.close(id);
                self.beat_failed(worker, run);
                return Ok(());
            }
            For::Step(_) | For::Report(..) | For::ByHand | For::Nobody => {}
        }
        let is_over = attempt >= TRIES_MAX && !self.is_healed;
        if is_unknown || is_over {
            if is_unknown {
                self.cover.hit(Mark::OutcomeUnknown);
            }
            self.close(id);
            if let For::Report(worker, run, _) = by {
                self.report_given_up(worker, run)?;
            }
            return Ok(());
        }
        let wait = (10 * MS) << attempt.min(7);
        let noise = self.noise.number(Of::Client, id.into(), attempt.into());
        let wait = crate::random::spread(noise, wait / 2, wait);
        self.heap.push(self.now + wait, Event::Again(id));
        Ok(())
    }

    fn close(&mut self, id: CallId) {
        if let Some(call) = self.calls.get_mut(id as usize) {
            self.open_calls -= 1;
            call.is_open = false;
            call.command = Command::Tick;
        }
    }
}

/// The job that a command is about, if it is about one.
pub fn target(command: &Command) -> Option<JobKey> {
    match command {
        Command::Cancel(key)
        | Command::Delete(key)
        | Command::Restart(key)
        | Command::Expedite(key)
        | Command::Explain(key)
        | Command::Result(key) => Some(key.clone()),
        Command::Get(get) => Some(get.key.clone()),
        Command::LeaseJob(lease) => Some(lease.key.clone()),
        Command::Report(report) => Some(job_of(&report.task)),
        Command::Heartbeat(heartbeat) => Some(job_of(&heartbeat.task)),
        Command::SetAside(aside) => Some(job_of(&aside.task)),
        Command::Enqueue(enqueue) => {
            let by_request = || enqueue.request.map(|request| request.job_id());
            let job = enqueue.id.clone().or_else(by_request)?;
            Some(JobKey {
                tenant: enqueue.tenant.clone(),
                job,
            })
        }
        Command::EnqueueAll(_)
        | Command::Import(_)
        | Command::Lease(_)
        | Command::List(_)
        | Command::ListSetAside(_)
        | Command::ListLimits(_)
        | Command::ShowLimit(_)
        | Command::SetLimit(_)
        | Command::RecountLimits(_)
        | Command::SetTenant(_)
        | Command::GetTenant(_)
        | Command::SetQueue(_)
        | Command::ListPaused
        | Command::Tick => None,
    }
}

/// The job of a task.
pub fn job_of(task: &silo_core::types::task::TaskId) -> JobKey {
    JobKey {
        tenant: task.tenant.clone(),
        job: task.job.clone(),
    }
}
