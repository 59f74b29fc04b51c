//! Workers: they ask for tasks, keep their leases, and report, as our worker library does it. A
//! worker stops a task whose lease could not be confirmed in time, counted from before the request
//! was sent.

use std::collections::BTreeMap;

use bytes::Bytes;
use silo_core::shard::command::Command;
use silo_core::shard::commands::heartbeat::Heartbeat;
use silo_core::shard::commands::report::{Outcome, Report};
use silo_core::shard::reply::{Reply, Task};
use silo_core::types::name::WorkerId;
use silo_core::types::task::TaskId;
use silo_core::types::time::Millis;

use crate::check::Checked;
use crate::clock::{At, MS};
use crate::cover::Mark;
use crate::plan::config::{Span, Wrong};
use crate::random::{Of, is_hit, spread};
use crate::world::World;
use crate::world::call::{For, job_of};
use crate::world::event::{CallId, Event, RunId};
use crate::world::say;

/// How long a task with limits takes once all faults have ended, in microseconds.
const HURRY: Span = (500, 5_000);

/// A worker.
#[derive(Debug)]
pub struct Worker {
    endpoint: u32,
    name: WorkerId,
    /// Which life of it: what an earlier one waited for is nothing to this one.
    life: u32,
    is_alive: bool,
    /// Until when it stands still.
    pub paused_until: At,
    is_asking: bool,
    asked: u32,
    runs: BTreeMap<RunId, Run>,
}

/// A task that a worker runs.
#[derive(Debug)]
struct Run {
    task: TaskId,
    /// From before the request was sent that began or extended the lease.
    confirmed: At,
    lease: At,
    /// Whether the work is done and its outcome is on its way.
    outcome: Option<Outcome>,
    is_beating: bool,
    tries: u32,
}

impl Worker {
    /// A worker that has just begun.
    pub fn new(number: u32, endpoint: u32) -> Self {
        Self {
            endpoint,
            name: say::worker(&format!("worker-{number}")),
            life: 0,
            is_alive: true,
            paused_until: 0,
            is_asking: false,
            asked: 0,
            runs: BTreeMap::new(),
        }
    }

    /// How many tasks it runs.
    pub fn running(&self) -> usize {
        self.runs.len()
    }
}

impl World<'_> {
    fn worker(&mut self, id: u32) -> Option<&mut Worker> {
        let worker = self.workers.get_mut(id as usize)?;
        worker.is_alive.then_some(worker)
    }

    fn run_of(&mut self, id: u32, run: RunId) -> Option<&mut Run> {
        self.worker(id)?.runs.get_mut(&run)
    }

    /// A worker asks for as many tasks as it has room for.
    pub fn poll(&mut self, id: u32, life: u32) {
        let (slots, groups) = (self.config.slots, self.config.groups);
        let lease = Millis::new(self.config.lease_ms);
        let timeout = self.config.network.timeout_ms * MS;
        let Some(worker) = self.worker(id) else {
            return;
        };
        let room = slots.saturating_sub(u32::try_from(worker.runs.len()).unwrap_or(u32::MAX));
        if worker.life != life || worker.is_asking {
            return;
        }
        if room == 0 {
            return self.poll_later(id, life);
        }
        worker.is_asking = true;
        worker.asked = worker.asked.wrapping_add(1);
        let group = worker.asked.wrapping_add(id) % groups.max(1);
        let (name, endpoint) = (worker.name.clone(), worker.endpoint);
        let (group, weights) = (self.names.group(group), self.names.weights());
        let command = say::weighed_lease(group, &name, room, lease, weights);
        self.call(For::Poll(id, life), endpoint, command, timeout);
    }

    fn poll_later(&mut self, id: u32, life: u32) {
        let wait = self
            .noise
            .within(Of::Poll, id.into(), self.events, self.config.work.poll_us);
        self.heap.push(self.now + wait, Event::Poll(id, life));
    }

    /// Tasks have come, or none.
    pub fn tasks_came(&mut self, id: u32, life: u32, sent_at: At, reply: &Reply) -> Checked {
        let Some(worker) = self.worker(id).filter(|worker| worker.life == life) else {
            return Ok(());
        };
        worker.is_asking = false;
        if let Reply::Leased(tasks) = reply {
            for task in tasks {
                self.begin(id, task, sent_at)?;
            }
            if !tasks.is_empty() && self.noise.number(Of::Poll, id.into(), self.events) & 3 > 0 {
                // There may be more.
                self.poll(id, life);
                return Ok(());
            }
        }
        self.poll_later(id, life);
        Ok(())
    }

    /// A request for tasks came to nothing.
    pub fn poll_failed(&mut self, id: u32, life: u32) {
        if let Some(worker) = self.worker(id).filter(|worker| worker.life == life) {
            worker.is_asking = false;
            self.poll_later(id, life);
        }
    }

    fn begin(&mut self, id: u32, task: &Task, sent_at: At) -> Checked {
        let lease = task.lease.get() * MS;
        let end = if self.config.wrong == Some(Wrong::DeafToLeases) {
            At::MAX
        } else {
            sent_at + lease
        };
        if end <= self.now {
            self.cover.hit(Mark::LeaseOverOnArrival);
            return Ok(());
        }
        let run = self.runs;
        self.runs += 1;
        let noise = self.noise.number(Of::Work, task.id.nonce, 0);
        let work = self.config.work;
        let is_silent = !self.is_healed && is_hit(noise.rotate_left(32), work.silent);
        // A short task needs no heartbeat.
        let is_long = is_silent || (!self.is_healed && is_hit(noise, work.long));
        let span = if is_long {
            work.long_us
        } else if self.is_healed && !task.limits.is_empty() {
            // Everybody who waits for the same slot is to have had it before long.
            HURRY
        } else {
            work.takes_us
        };
        let takes = spread(noise.rotate_left(7), span.0, span.1);
        if is_silent {
            self.cover.hit(Mark::Unheartbeated);
        }
        self.check.at_work.begin(
            &job_of(&task.id),
            run,
            id,
            (self.now, end, lease),
            &mut self.cover,
        )?;
        self.check
            .holders
            .begin(task, run, (self.now, end, lease))?;
        let kept = Run {
            task: task.id.clone(),
            confirmed: sent_at,
            lease,
            outcome: None,
            is_beating: false,
            tries: 0,
        };
        if let Some(worker) = self.worker(id) {
            worker.runs.insert(run, kept);
        }
        self.heap.push(self.now + takes, Event::Done(id, run));
        self.heap
            .push(end.min(sent_at + lease), Event::LeaseOver(id, run));
        if !is_silent {
            let third = (sent_at + lease / 3).max(self.now);
            self.heap.push(third, Event::Beat(id, run));
        }
        Ok(())
    }

    /// A worker keeps a lease.
    pub fn beat(&mut self, id: u32, run: RunId) {
        let now = self.now;
        let Some(worker) = self.worker(id) else {
            return;
        };
        let (endpoint, name) = (worker.endpoint, worker.name.clone());
        let Some(kept) = worker.runs.get_mut(&run) else {
            return;
        };
        let end = kept.confirmed + kept.lease;
        if kept.is_beating || end <= now {
            return;
        }
        kept.is_beating = true;
        // Half of what is left: a try that hangs leaves time for others.
        let timeout = ((end - now) / 2).max(20 * MS);
        let task = kept.task.clone();
        let command = Command::Heartbeat(Heartbeat { task, worker: name });
        self.call(For::Beat(id, run), endpoint, command, timeout);
    }

    /// A heartbeat has been answered.
    pub fn beat_told(&mut self, id: u32, run: RunId, sent_at: At, reply: &Reply) -> Checked {
        let deaf = self.config.work.deaf;
        let now = self.now;
        let Some(kept) = self.run_of(id, run) else {
            return Ok(());
        };
        kept.is_beating = false;
        match reply {
            Reply::Extended {
                cancel_asked_at, ..
            } => {
                kept.confirmed = kept.confirmed.max(sent_at);
                let (confirmed, lease) = (kept.confirmed, kept.lease);
                let (job, nonce) = (job_of(&kept.task), kept.task.nonce);
                let is_working = kept.outcome.is_none();
                self.check
                    .at_work
                    .extend(&job, run, confirmed + lease, now)?;
                self.check.holders.extend(run, confirmed + lease, now)?;
                let next = (confirmed + lease / 3).max(now);
                self.heap.push(next, Event::Beat(id, run));
                let noise = self.noise.number(Of::Work, nonce, 1);
                if cancel_asked_at.is_some() && is_working && !is_hit(noise, deaf) {
                    self.cover.hit(Mark::StoppedByHeartbeat);
                    self.outcome(id, run, Outcome::Cancelled);
                }
            }
            _ => {
                self.cover.hit(Mark::LeaseLostTold);
                self.stop(id, run);
            }
        }
        Ok(())
    }

    /// A heartbeat came to nothing.
    pub fn beat_failed(&mut self, id: u32, run: RunId) {
        let now = self.now;
        if let Some(kept) = self.run_of(id, run) {
            kept.is_beating = false;
            self.heap.push(now + 10 * MS, Event::Beat(id, run));
        }
    }

    /// A worker looks whether its lease has ended.
    pub fn lease_over(&mut self, id: u32, run: RunId) {
        let now = self.now;
        let Some(kept) = self.run_of(id, run) else {
            return;
        };
        let end = kept.confirmed + kept.lease;
        if end > now {
            self.heap.push(end, Event::LeaseOver(id, run));
            return;
        }
        if self.config.wrong == Some(Wrong::DeafToLeases) {
            return;
        }
        let Some(kept) = self.run_of(id, run) else {
            return;
        };
        if kept.outcome.is_none() {
            self.cover.hit(Mark::LeaseOverAtWorker);
            self.stop(id, run);
        }
    }

    /// A worker stops a task without a word.
    fn stop(&mut self, id: u32, run: RunId) {
        let now = self.now;
        let Some(worker) = self.worker(id) else {
            return;
        };
        let Some(kept) = worker.runs.get(&run) else {
            return;
        };
        let job = job_of(&kept.task);
        // What is being reported is reported all the same.
        if kept.outcome.is_none() {
            worker.runs.remove(&run);
        }
        self.check.at_work.end(&job, run, now);
        self.check.holders.end(run);
    }

    /// A worker has done its work.
    pub fn done(&mut self, id: u32, run: RunId) {
        let is_healed = self.is_healed;
        let work = self.config.work;
        let Some(kept) = self.run_of(id, run) else {
            return;
        };
        if kept.outcome.is_some() {
            return;
        }
        let nonce = kept.task.nonce;
        let noise = self.noise.number(Of::Work, nonce, 2);
        let second = noise.rotate_left(32);
        let outcome = if is_healed {
            success(nonce)
        } else if is_hit(noise, work.fails) {
            let retry_after = (noise >> 60 == 0).then(|| Millis::new(spread(noise, 0, 3_000)));
            Outcome::Failure {
                code: "E".to_owned(),
                data: Bytes::from_static(b"\xc0"),
                retryable: !is_hit(second, work.is_final),
                retry_after,
            }
        } else if is_hit(noise.rotate_left(11), work.snoozes) {
            let delay = Millis::new(spread(second, 0, 4_000));
            Outcome::Snooze { delay }
        } else if is_hit(noise.rotate_left(23), work.releases) {
            Outcome::Release
        } else {
            success(nonce)
        };
        self.outcome(id, run, outcome);
    }

    fn outcome(&mut self, id: u32, run: RunId, outcome: Outcome) {
        let now = self.now;
        let Some(kept) = self.run_of(id, run) else {
            return;
        };
        kept.outcome = Some(outcome);
        let job = job_of(&kept.task);
        self.check.at_work.end(&job, run, now);
        self.check.holders.end(run);
        self.report(id, run, false);
    }

    fn report(&mut self, id: u32, run: RunId, again: bool) {
        let timeout = self.config.network.timeout_ms * MS;
        let Some(worker) = self.worker(id) else {
            return;
        };
        let endpoint = worker.endpoint;
        let Some(kept) = worker.runs.get_mut(&run) else {
            return;
        };
        kept.tries += 1;
        let Some(outcome) = kept.outcome.clone() else {
            return;
        };
        let task = kept.task.clone();
        let command = Command::Report(Report { task, outcome });
        self.call(For::Report(id, run, again), endpoint, command, timeout);
    }

    /// A report has been answered: some workers say it once more, some then say something else.
    pub fn report_told(
        &mut self,
        id: u32,
        run: RunId,
        again: bool,
        _call: CallId,
        reply: &Reply,
    ) -> Checked {
        let work = self.config.work;
        let is_healed = self.is_healed;
        let was_taken = *reply == Reply::Reported;
        if !was_taken {
            self.cover.hit(Mark::ReportRefused);
        }
        let Some(kept) = self.run_of(id, run) else {
            return Ok(());
        };
        let Some(kept_outcome) = kept.outcome.clone() else {
            return Ok(());
        };
        let task = kept.task.clone();
        if was_taken && again {
            self.cover.hit(Mark::ReportedTwice);
        }
        if was_taken && !again {
            self.check.history.reported(&task, &kept_outcome);
        }
        let noise = self.noise.number(Of::Work, task.nonce, 3);
        if !again && !is_healed && is_hit(noise, work.again) {
            let other = is_hit(noise.rotate_left(32), work.otherwise);
            if other && let Some(kept) = self.run_of(id, run) {
                kept.outcome = Some(Outcome::Success {
                    data: Bytes::from_static(b"other"),
                });
            }
            self.cover.hit(Mark::ReportedAgain);
            self.report(id, run, true);
            return Ok(());
        }
        if let Some(worker) = self.worker(id) {
            worker.runs.remove(&run);
        }
        Ok(())
    }

    /// A report was never answered.
    pub fn report_given_up(&mut self, id: u32, run: RunId) -> Checked {
        if let Some(worker) = self.worker(id) {
            worker.runs.remove(&run);
        }
        Ok(())
    }

    /// A worker dies with everything that it runs.
    pub fn kill_worker(&mut self, id: u32, back_ms: u64) {
        let now = self.now;
        let Some(worker) = self.worker(id) else {
            return;
        };
        worker.is_alive = false;
        worker.is_asking = false;
        worker.life += 1;
        let runs = std::mem::take(&mut worker.runs);
        for (run, kept) in &runs {
            self.check.at_work.end(&job_of(&kept.task), *run, now);
            self.check.holders.end(*run);
        }
        self.cover.hit(Mark::WorkerDied);
        self.heap.push(now + back_ms * MS, Event::WorkerBack(id));
    }

    /// Another worker comes in the place of one that died.
    pub fn worker_back(&mut self, id: u32) {
        let now = self.now;
        if let Some(worker) = self.workers.get_mut(id as usize)
            && !worker.is_alive
        {
            worker.is_alive = true;
            worker.paused_until = now;
            self.heap.push(now, Event::Poll(id, worker.life));
        }
    }
}

fn success(nonce: u64) -> Outcome {
    let data = if nonce.is_multiple_of(97) {
        Bytes::from(vec![2; 4_500])
    } else {
        Bytes::from_static(b"\xc3")
    };
    Outcome::Success { data }
}
