//! A world: a shard's owners, their storage, clients and workers, in one thread, with one time.
//!
//! * [`event`]: what can happen; [`World::run`] takes it off the heap
//! * [`process`]: a process that has the shard open, as production's driver runs a stage
//! * `death`: how it ends; `closing`: what is done once all faults have ended
//! * [`owners`]: opening the shard, being deposed, objects of the log on their way
//! * [`bucket`], [`handle`]: the object store, and an open shard as one process sees it
//! * [`call`]: calls over the network; [`client`], [`worker`]: who makes them
//! * [`say`]: what plans say, as commands

pub mod bucket;
pub mod call;
pub mod client;
mod closing;
mod death;
pub mod event;
pub mod handle;
pub mod owners;
pub mod process;
pub mod say;
pub mod worker;

use silo_core::table::key::whole;
use silo_core::table::limit::Limits;
use silo_core::table::{Table as _, TableId};

use crate::check::{Check, Checked, Promise, Violation, violated};
use crate::clock::{At, MS};
use crate::cover::Cover;
use crate::heap::Heap;
use crate::plan::Plan;
use crate::plan::config::{Config, Wrong};
use crate::random::{Noise, Of};
use crate::trace::Trace;
use crate::world::bucket::Bucket;
use crate::world::call::Call;
use crate::world::event::{Event, ProcessId};
use crate::world::process::Process;
use crate::world::say::Names;
use crate::world::worker::Worker;

/// Events after which a world that has not come to rest is taken to be stuck.
const EVENTS_MAX: u64 = 5_000_000;
/// The whole image is checked after so many events.
const WHOLE_EVERY: u64 = 10_000;
/// How often it is looked whether a world that was healed has come to rest.
const REST_EVERY: u64 = 64;

/// A world.
pub struct World<'a> {
    /// What is done to it.
    pub plan: &'a Plan,
    /// Sizes, speeds and chances.
    pub config: &'a Config,
    noise: Noise,
    now: At,
    events: u64,
    heap: Heap<Event>,
    names: Names,
    bucket: Bucket,
    processes: Vec<Process>,
    /// The process that opened the shard last.
    latest: Option<ProcessId>,
    opening: u32,
    opening_since: At,
    claimed_at: At,
    calls: Vec<Call>,
    open_calls: u64,
    routes: Vec<Option<ProcessId>>,
    /// Until when messages of endpoints are lost: to servers, from servers.
    cuts: Vec<(At, At)>,
    workers: Vec<Worker>,
    runs: u32,
    loads_down_until: At,
    puts_down_until: At,
    /// By how much the wall clocks of the machines are wrong, in milliseconds.
    offsets: Vec<i64>,
    is_healed: bool,
    healed_at: At,
    rest_by: At,
    check: Check,
    cover: Cover,
    trace: Trace,
}

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The hash over all events.
    pub hash: u64,
    /// How many there were.
    pub events: u64,
    /// How much time passed in the world.
    pub lasted: At,
    /// What was seen.
    pub cover: Cover,
    /// What was checked.
    pub checked: crate::check::Counts,
    /// What is wrong, if something is.
    pub violation: Option<Violation>,
}

impl<'a> World<'a> {
    /// The world of a plan, before anything has happened.
    pub fn new(plan: &'a Plan, trace: Trace) -> Self {
        let config = &plan.config;
        let endpoints = config.endpoints() as usize;
        let mut heap = Heap::new();
        for (index, step) in (0..).zip(&plan.steps) {
            heap.push(step.at, Event::Step(index));
        }
        heap.push(0, Event::Ensure(0));
        let end = plan.steps.iter().map(|step| step.at).max().unwrap_or(0);
        heap.push(end.max(config.span_ms * MS) + MS, Event::Heal);
        for worker in 0..config.workers {
            heap.push(u64::from(worker) * 100, Event::Poll(worker, 0));
        }
        let worker = |number| Worker::new(number, config.clients + number);
        Self {
            plan,
            config,
            noise: Noise::new(plan.seed),
            now: 0,
            events: 0,
            heap,
            names: Names::with_weights(config.tenants, config.groups, &config.weights),
            bucket: Bucket::new(config.wrong),
            processes: Vec::new(),
            latest: None,
            opening: 0,
            opening_since: 0,
            claimed_at: 0,
            calls: Vec::new(),
            open_calls: 0,
            routes: vec![None; endpoints],
            cuts: vec![(0, 0); endpoints],
            workers: (0..config.workers).map(worker).collect(),
            runs: 0,
            loads_down_until: 0,
            puts_down_until: 0,
            offsets: vec![0, 0],
            is_healed: false,
            healed_at: 0,
            rest_by: 0,
            check: Check::new(config),
            cover: Cover::default(),
            trace,
        }
    }

    /// Runs it to its end, or to the first thing that is wrong.
    pub fn run(mut self) -> (Ran, Trace) {
        let violation = self.run_on().err();
        let ran = Ran {
            hash: self.trace.hash(),
            events: self.events,
            lasted: self.now,
            cover: self.cover,
            checked: self.check.counts(),
            violation,
        };
        (ran, self.trace)
    }

    fn run_on(&mut self) -> Checked {
        while let Some((at, number, event)) = self.heap.pop() {
            if let Some(until) = self.stands_still(at, &event) {
                self.heap.push(until, event);
                continue;
            }
            self.now = at;
            self.events += 1;
            self.trace.event(at, number, &event);
            self.happen(event)?;
            if self.events.is_multiple_of(WHOLE_EVERY) {
                self.check_whole()?;
            }
            if self.is_healed && self.events.is_multiple_of(REST_EVERY) && self.is_at_rest() {
                self.check_whole()?;
                return self.check_end();
            }
            if self.is_healed && self.now > self.rest_by {
                return violated(Promise::Liveness, self.unrest());
            }
            if self.events > EVENTS_MAX {
                return violated(Promise::Liveness, "too many events");
            }
        }
        violated(Promise::Liveness, "nothing happens any more")
    }

    /// Until when nothing of this can happen: it is in the memory of somebody who stands still.
    fn stands_still(&self, at: At, event: &Event) -> Option<At> {
        if self.is_healed {
            return None;
        }
        let until = match event {
            Event::Poll(worker, _)
            | Event::Beat(worker, _)
            | Event::LeaseOver(worker, _)
            | Event::Done(worker, _) => self.workers.get(*worker as usize)?.paused_until,
            Event::Answer(letter) => {
                let call = self.calls.get(letter.token.call as usize)?;
                self.workers.get(call.by.worker()? as usize)?.paused_until
            }
            other => self.processes.get(other.process()? as usize)?.paused_until,
        };
        (until > at).then_some(until)
    }

    fn happen(&mut self, event: Event) -> Checked {
        if let Some(id) = event.process()
            && !self
                .processes
                .get(id as usize)
                .is_some_and(Process::is_alive)
        {
            return self.refused(id, &event);
        }
        match event {
            Event::Step(index) => self.step(index),
            Event::Heal => self.heal(),
            Event::Unpause(times) => self.unpause(times),
            Event::Request(process, call, attempt) => {
                return self.requested(process, call, attempt);
            }
            Event::Answer(letter) => return self.answered(&letter),
            Event::Timeout(call, attempt) => return self.timed_out(call, attempt),
            Event::Again(call) => self.send(call),
            Event::Turn(process) => return self.turn(process),
            Event::Loaded(process, load, reading) => self.loaded(process, load, *reading),
            Event::Written(process, round, batch) => return self.written(process, round, *batch),
            Event::Accepted(process, round, seq) => {
                let is_early = self.config.wrong == Some(Wrong::DurableWhenAccepted);
                if let Some(stage) = self.stage(process) {
                    stage.accepted(round, seq);
                    if is_early {
                        stage.durable(seq);
                    }
                }
                self.wake(process);
            }
            Event::Put(process, object, is_told) => return self.put(process, &object, is_told),
            Event::PutTold(process, told) => return self.put_told(process, told),
            Event::Durable(process, seq) => {
                if let Some(stage) = self.stage(process) {
                    stage.durable(seq);
                }
                self.wake(process);
            }
            Event::Flushed(process) => {
                if let Some(stage) = self.stage(process) {
                    stage.flushed();
                }
                self.wake(process);
            }
            Event::OwnFlush(process) => self.begin_put(process),
            Event::ProofRead(process, at) => self.proof_read(process, at),
            Event::ProofTold(process, at, proof) => return self.proof_told(process, at, proof),
            Event::Completed(process, token, reply) => {
                return self.completed(process, token, *reply);
            }
            Event::Ensure(machine) => self.ensure(machine),
            Event::Claim(machine) => self.claim(machine),
            Event::Fence(machine, epoch) => self.fence(machine, epoch),
            Event::Opened(machine, handle) => return self.opened(machine, *handle),
            Event::Poll(worker, life) => self.poll(worker, life),
            Event::Beat(worker, run) => self.beat(worker, run),
            Event::LeaseOver(worker, run) => self.lease_over(worker, run),
            Event::Done(worker, run) => self.done(worker, run),
            Event::WorkerBack(worker) => self.worker_back(worker),
        }
        Ok(())
    }

    /// Something was meant for a process that is dead. Half of those who ask it hear so at once.
    fn refused(&mut self, id: ProcessId, event: &Event) -> Checked {
        if let Event::Request(_, call, attempt) = event {
            let noise = self
                .noise
                .number(Of::Route, (*call).into(), (*attempt).into());
            if noise & 1 == 0 {
                let token = event::Token {
                    call: *call,
                    attempt: *attempt,
                    number: 0,
                };
                let failure = silo_runtime::executor::replies::Failure::Opening;
                let answer = silo_runtime::executor::replies::Answer::Failed(failure);
                let sent_at = self.now;
                self.answer(event::Letter {
                    token,
                    from: id,
                    sent_at,
                    knows: 0,
                    shows: 0,
                    is_stale_allowed: true,
                    answer,
                });
            }
        }
        Ok(())
    }

    /// All faults end: from now on everything must come to rest.
    fn heal(&mut self) {
        self.is_healed = true;
        self.healed_at = self.now;
        self.rest_by = self.now + crate::check::rest_bound(self.config, self.plan);
        self.loads_down_until = 0;
        self.puts_down_until = 0;
        for cut in &mut self.cuts {
            *cut = (0, 0);
        }
        for process in &mut self.processes {
            process.dies_after = None;
            process.stalls_for = None;
            process.paused_until = self.now;
        }
        for worker in &mut self.workers {
            worker.paused_until = self.now;
        }
        self.ensure(0);
        if self.plan.limited() > 0 || self.plan.has_operators() {
            self.heap.push(self.now + MS, Event::Unpause(0));
        }
    }

    fn is_at_rest(&self) -> bool {
        let owner = self.latest.and_then(|id| self.processes.get(id as usize));
        let Some(stage) = owner.and_then(|process| process.stage.as_ref()) else {
            return false;
        };
        let soft = stage.soft();
        let totals = soft.totals();
        let asking = self.workers.len() as u64;
        soft.is_recovered()
            && totals.scheduled == 0
            && totals.running == 0
            && self.open_calls <= asking
            && self.workers.iter().all(|worker| worker.running() == 0)
            && soft.first_due().is_none()
            && soft.first_expiry().is_none()
            && stage.is_idle()
    }

    fn unrest(&self) -> String {
        let owner = self.latest.and_then(|id| self.processes.get(id as usize));
        let stage = owner.and_then(|process| process.stage.as_ref());
        let soft = stage.map(|stage| {
            let soft = stage.soft();
            (
                soft.totals(),
                (soft.first_due(), soft.first_expiry()),
                soft.is_recovered(),
                stage.is_idle(),
            )
        });
        let rows = owner.map(|process| process.shadow.rows());
        let limits = rows.into_iter().flat_map(|rows| {
            let limits = rows.map.range(whole(TableId::Limit));
            limits.filter_map(|(key, row)| {
                let row = Limits::read_row(row).ok()?;
                Some((Limits::read_key(key).ok()?.key, row))
            })
        });
        let limits: Vec<_> = limits.take(8).collect();
        let running: usize = self.workers.iter().map(Worker::running).sum();
        format!(
            "after {} s without faults: {soft:?}, {} calls open, {running} tasks with workers, \
             limits {limits:?}",
            (self.now - self.healed_at) / 1_000_000,
            self.open_calls
        )
    }

    fn owner_mut(&mut self) -> Option<&mut Process> {
        let id = self.latest?;
        self.processes
            .get_mut(id as usize)
            .filter(|process| process.is_alive())
    }

    fn is_cut(&self, endpoint: u32, is_request: bool) -> bool {
        let Some(cut) = self.cuts.get(endpoint as usize) else {
            return false;
        };
        let until = if is_request { cut.0 } else { cut.1 };
        until > self.now
    }

    fn loads_are_down(&self) -> bool {
        self.loads_down_until > self.now
    }

    fn puts_are_down(&self) -> bool {
        self.puts_down_until > self.now
    }

    /// By how much the wall clock of a machine is wrong, drift included.
    fn offset_ms(&self, machine: u32) -> i64 {
        let set = self.offsets.get(machine as usize).copied().unwrap_or(0);
        let passed = i64::try_from(self.now / MS).unwrap_or(i64::MAX);
        set + passed * self.config.drift * (1 + i64::from(machine)) / 1_000_000
    }

    fn check_whole(&mut self) -> Checked {
        for id in 0..self.processes.len() {
            if let Some(process) = self.processes.get(id)
                && let Some(stage) = &process.stage
            {
                let is_deposed = process.deposed_at.is_some();
                self.check
                    .whole(&process.shadow, stage.soft(), is_deposed)?;
            }
        }
        Ok(())
    }

    fn check_end(&mut self) -> Checked {
        let owner = self.latest.and_then(|id| self.processes.get(id as usize));
        if let Some(process) = owner {
            process.shadow.all_told()?;
            process.shadow.watching.end()?;
        }
        self.check.end(self.bucket.rows(), &self.cover)
    }
}
