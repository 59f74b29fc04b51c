//! A real stage over the model of storage. Every action is one thing that can happen to it;
//! whatever it puts out is checked at once.

use std::collections::BTreeMap;

use silo_core::shard::command::{Command, Stamp};
use silo_core::shard::reply::Reply;
use silo_core::shard::view::NeedItem;
use silo_core::table::job::JobKey;
use silo_core::table::key::Key;
use silo_core::types::task::TaskId;
use silo_core::types::time::{Now, Timestamp, Uptime};
use silo_runtime::executor::limits::{Dispatch, StageLimits};
use silo_runtime::executor::loads::LoadId;
use silo_runtime::executor::output::{Loaded, Output};
use silo_runtime::executor::replies::{Answer, Failure};
use silo_runtime::executor::stage::Stage;
use silo_runtime::executor::trace::Decided;
use silo_runtime::executor::working_set::{Forgettable, Generation, Round};

use crate::common::oracle::{Checked, Oracle, Promise, check, violated};
use crate::common::say::{self, entropy};
use crate::common::store::{Batch, ModelStore, differences};
use crate::common::watching::Watching;

/// When every run begins.
pub const START: i64 = 1_700_000_000_000;

/// A way in which the world around the stage, or a stage that were written otherwise, is wrong. The
/// checks must notice each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Replies go when their round is accepted: storage says "durable" too early.
    DurableWhenAccepted,
    /// Loads do not see what was accepted before they began.
    StaleLoads,
    /// Rows are forgotten while they are not durable or a load is under way that cannot see them.
    ForgetsAnything,
    /// One row of each batch is not written.
    LosesARow,
    /// Ownership counts from when a proof arrives.
    ProofFromItsArrival,
    /// An answer is sent twice.
    AnswersTwice,
}

/// A stage, what is in flight around it, and what it must come to.
pub struct World {
    pub limits: StageLimits,
    pub stage: Stage<u64>,
    pub store: ModelStore,
    pub oracle: Oracle,
    pub now: i64,
    pub wrong: Option<Wrong>,
    /// Leases that were handed out.
    pub tasks: Vec<TaskId>,
    /// Replies given, by what they are.
    pub replies: usize,
    pub failures: usize,
    numbers: u64,
    steps: usize,
    pub asked: BTreeMap<u64, Asked>,
    pub watching: Watching,
    pub write: Option<InFlight>,
    written: Round,
    pub loads: Vec<Load>,
    loads_failed: usize,
    /// A flush under way; true when all that it covers is durable.
    pub flush: Option<bool>,
    pub durable_told: u64,
    pub proof: Option<Proof>,
    /// When the last proof that came was asked for.
    proof_told: Option<i64>,
    /// The last instant at which storage has shown who owns the shard.
    evidence: i64,
}

pub struct Asked {
    pub command: Command,
    step: usize,
}

pub struct InFlight {
    round: Round,
    batch: Batch,
    seq: Option<u64>,
}

pub struct Load {
    id: LoadId,
    item: NeedItem,
    found: Option<Loaded>,
    stale: Loaded,
}

pub struct Proof {
    asked_at: i64,
    is_done: bool,
}

impl World {
    pub fn new(limits: StageLimits) -> Self {
        Self {
            limits,
            stage: stage(limits, START),
            store: ModelStore::default(),
            oracle: Oracle::new(BTreeMap::new()),
            now: START,
            wrong: None,
            tasks: Vec::new(),
            replies: 0,
            failures: 0,
            numbers: 0,
            steps: 0,
            asked: BTreeMap::new(),
            watching: Watching::default(),
            write: None,
            written: Round(0),
            loads: Vec::new(),
            loads_failed: 0,
            flush: None,
            durable_told: 0,
            proof: None,
            proof_told: None,
            evidence: START,
        }
    }

    /// The time by both clocks.
    pub fn time(&self) -> Now {
        at(self.now)
    }

    fn stamp(&mut self) -> (u64, Stamp) {
        self.numbers += 1;
        let now = self.time();
        let entropy = entropy(self.numbers);
        let retention = self.limits.retention;
        let stamp = Stamp {
            now,
            entropy,
            retention,
        };
        (self.numbers, stamp)
    }

    /// Sends a command; says who waits for its answer, unless the stage is full.
    pub fn submit(&mut self, command: Command) -> Option<u64> {
        let (number, stamp) = self.stamp();
        let step = self.steps;
        self.stage.submit(number, command.clone(), stamp).ok()?;
        self.asked.insert(number, Asked { command, step });
        Some(number)
    }

    pub fn hand_back(&mut self, task: TaskId) {
        let (_, stamp) = self.stamp();
        self.stage.hand_back([task], stamp);
    }

    /// Somebody waits for a job's end, from now on.
    pub fn watch(&mut self, job: JobKey) {
        self.watching.add(job, &mut self.stage);
    }

    /// Lets the stage decide.
    pub fn run(&mut self) -> Checked {
        self.steps += 1;
        let (_, stamp) = self.stamp();
        self.stage.run(stamp);
        self.drain()
    }

    pub fn pass(&mut self, millis: i64) {
        self.now += millis;
    }

    /// Storage takes in the batch under way.
    pub fn apply(&mut self) {
        if let Some(write) = self.write.as_mut().filter(|write| write.seq.is_none()) {
            let mut batch = write.batch.clone();
            if self.wrong == Some(Wrong::LosesARow) {
                batch.pop();
            }
            write.seq = Some(self.store.apply(write.round, batch));
        }
    }

    /// The stage learns that its batch was taken in.
    pub fn accept(&mut self) -> Checked {
        if let Some(InFlight {
            round,
            seq: Some(seq),
            ..
        }) = self.write.take_if(|write| write.seq.is_some())
        {
            self.stage.accepted(round, seq);
            if self.wrong == Some(Wrong::DurableWhenAccepted) {
                self.stage.durable(seq);
            }
        }
        self.drain()
    }

    /// Storage makes durable what it has taken in.
    pub fn put(&mut self) {
        self.store.put();
        self.evidence = self.now;
        if let Some(is_done) = &mut self.flush {
            *is_done = true;
        }
    }

    /// The stage learns how far storage is durable.
    pub fn tell_durable(&mut self) -> Checked {
        if self.store.durable_seq > self.durable_told {
            self.durable_told = self.store.durable_seq;
            self.stage.durable(self.durable_told);
        }
        self.drain()
    }

    /// The flush under way returns, if its work is done.
    pub fn tell_flushed(&mut self) -> Checked {
        if self.flush.take_if(|is_done| *is_done).is_some() {
            self.stage.flushed();
        }
        self.drain()
    }

    /// A load under way looks at storage.
    pub fn perform_load(&mut self, index: usize) {
        let is_stale = self.wrong == Some(Wrong::StaleLoads);
        if let Some(load) = nth(&mut self.loads, index)
            && load.found.is_none()
        {
            let found = self.store.read(&load.item);
            load.found = Some(if is_stale { load.stale.clone() } else { found });
        }
    }

    /// A load under way returns, if it has looked.
    pub fn tell_loaded(&mut self, index: usize) -> Checked {
        if nth(&mut self.loads, index).is_some_and(|load| load.found.is_some()) {
            let index = index % self.loads.len();
            let load = self.loads.swap_remove(index);
            if let Some(found) = load.found {
                self.stage.loaded(load.id, found);
            }
        }
        self.drain()
    }

    /// A load under way fails.
    pub fn fail_load(&mut self, index: usize) -> Checked {
        if !self.loads.is_empty() {
            let index = index % self.loads.len();
            let load = self.loads.swap_remove(index);
            self.loads_failed += 1;
            self.stage.load_failed(load.id);
        }
        self.drain()
    }

    /// The proof under way reads who owns the shard.
    pub fn perform_proof(&mut self) {
        if let Some(proof) = &mut self.proof
            && !proof.is_done
        {
            proof.is_done = true;
            self.evidence = self.now;
        }
    }

    /// The proof under way returns, if it has looked.
    pub fn tell_proven(&mut self) -> Checked {
        if let Some(proof) = self.proof.take_if(|proof| proof.is_done) {
            let late = self.wrong == Some(Wrong::ProofFromItsArrival);
            let at = if late { self.now } else { proof.asked_at };
            self.stage.proven(crate::common::world::at(at).uptime);
            self.proof_told = Some(at);
        }
        self.drain()
    }

    pub fn forget_all(&mut self) {
        let is_wrong = self.wrong == Some(Wrong::ForgetsAnything);
        let (set, mut what) = self.stage.cache();
        if is_wrong {
            what = anything(set.generation());
        }
        set.forget_all(what);
    }

    pub fn forget_one(&mut self, index: usize) {
        let (set, what) = self.stage.cache();
        let mut keys: Vec<Key> = set.keys().cloned().collect();
        if let Some(key) = nth(&mut keys, index) {
            set.forget_one(key, what);
        }
    }

    pub fn lose_soft(&mut self) -> Checked {
        self.drain()?;
        self.stage.lose_soft();
        self.oracle.soft = silo_core::shard::soft::Soft::lost();
        Ok(())
    }

    /// The process dies and another opens the same storage: nobody is told anything.
    pub fn crash(&mut self, damage: Option<usize>) -> Checked {
        self.drain()?;
        self.reopen(damage)
    }

    fn reopen(&mut self, damage: Option<usize>) -> Checked {
        let surviving = self.oracle.surviving(self.store.durable_round);
        let rows = self.oracle.rows_after(surviving);
        check(Promise::Durability, *rows == self.store.durable, || {
            differences(rows, &self.store.durable)
        })?;
        if let Some(index) = damage {
            let mut keys: Vec<Key> = self.store.durable.keys().cloned().collect();
            if let Some(key) = nth(&mut keys, index) {
                let row = &self.store.durable[key];
                let short = row.slice(..row.len().min(4));
                self.store.durable.insert(key.clone(), short);
                self.oracle.is_damaged = true;
            }
        }
        let was_damaged = self.oracle.is_damaged;
        self.store.reopen();
        self.oracle = Oracle {
            is_damaged: was_damaged,
            ..Oracle::new(self.store.durable.clone())
        };
        self.stage = stage(self.limits, self.now);
        self.watching.again(&mut self.stage);
        self.durable_told = self.store.durable_seq;
        self.evidence = self.now;
        self.asked.clear();
        self.loads.clear();
        (self.write, self.flush, self.proof) = (None, None, None);
        self.written = Round(0);
        Ok(())
    }

    /// Storage fails: every caller is told, once and rightly; then the shard is opened again.
    pub fn fail(&mut self, is_applied: bool, is_put: bool) -> Checked {
        self.drain()?;
        let failed = std::mem::replace(&mut self.stage, stage(self.limits, self.now));
        for (caller, failure) in failed.fail() {
            self.check_failed(caller, failure)?;
        }
        check(Promise::Answered, self.asked.is_empty(), || {
            format!("not told of the failure: {:?}", self.asked.keys())
        })?;
        if is_applied {
            self.apply();
        }
        if is_put {
            self.put();
        }
        self.reopen(None)
    }

    fn check_failed(&mut self, caller: u64, answer: Answer) -> Checked {
        let Some(asked) = self.asked.remove(&caller) else {
            return violated(Promise::Answered, format!("told twice: {caller}"));
        };
        let decided = self.oracle.of(entropy(caller)).map(|(_, decided)| decided);
        let was_written = decided.is_some_and(|decided| {
            !decided.decision.changes.is_empty() && decided.round <= self.written
        });
        let right = if was_written && !asked.command.is_repeatable() {
            Failure::OutcomeUnknown
        } else {
            Failure::Unavailable
        };
        check(Promise::Answered, answer == Answer::Failed(right), || {
            format!("{answer:?} instead of {right:?} for {:?}", asked.command)
        })
    }

    /// The longest that anybody has waited, in runs.
    pub fn longest_wait(&self) -> usize {
        let waits = self.asked.values().map(|asked| self.steps - asked.step);
        waits.max().unwrap_or(0)
    }

    pub const fn steps(&self) -> usize {
        self.steps
    }

    fn drain(&mut self) -> Checked {
        for decided in self.stage.take_trace() {
            self.oracle.replay(decided)?;
        }
        let is_same = *self.stage.soft() == self.oracle.soft;
        check(Promise::Equivalence, is_same, || "hints differ".to_owned())?;
        let (set, _) = self.stage.cache();
        let (counted, known) = (set.count_bytes(), set.bytes());
        check(Promise::Bounded, counted == known, || {
            format!("the cache takes {known} bytes for {counted}")
        })?;
        let (commands, _) = self.stage.queued();
        check(
            Promise::Bounded,
            commands <= self.limits.commands_max.saturating_add(self.tasks.len()),
            || format!("{commands} commands are queued"),
        )?;
        while let Some(output) = self.stage.poll() {
            self.take(output)?;
        }
        Ok(())
    }

    fn take(&mut self, output: Output<u64>) -> Checked {
        match output {
            Output::Load(id, item) => {
                let stale = self.store.read_durable(&item);
                let found = None;
                self.loads.push(Load {
                    id,
                    item,
                    found,
                    stale,
                });
                Ok(())
            }
            Output::Write(round, batch) => {
                let is_alone = self.write.is_none() && round == self.written.next();
                let is_sound = !batch.is_empty() && batch.windows(2).all(|p| p[0].0 < p[1].0);
                self.written = round;
                self.write = Some(InFlight {
                    round,
                    batch,
                    seq: None,
                });
                check(Promise::Protocol, is_alone && is_sound, || {
                    format!("write of {round:?}: alone {is_alone}, sound {is_sound}")
                })
            }
            Output::Flush => {
                let is_alone = self.flush.replace(false).is_none();
                check(Promise::Protocol, is_alone, || "two flushes".to_owned())
            }
            Output::Prove => {
                let asked_at = self.now;
                let is_done = false;
                let is_alone = self.proof.replace(Proof { asked_at, is_done }).is_none();
                check(Promise::Protocol, is_alone, || "two proofs".to_owned())
            }
            Output::Release(caller, answer) => {
                if self.wrong == Some(Wrong::AnswersTwice) {
                    self.released(caller, answer.clone())?;
                }
                self.released(caller, answer)
            }
            Output::Over(job) => {
                self.stage.watched().add(&job);
                let durable = self.store.durable_round;
                self.watching.over(&job, &self.oracle, durable)
            }
            Output::Notice(_) => Ok(()),
        }
    }

    fn released(&mut self, caller: u64, answer: Answer) -> Checked {
        let Some(asked) = self.asked.remove(&caller) else {
            return violated(Promise::Answered, format!("answered twice: {caller}"));
        };
        let decided = self.oracle.of(entropy(caller));
        let reply = match answer {
            Answer::Reply(reply) => reply,
            Answer::Failed(failure) => {
                self.failures += 1;
                let may = match failure {
                    // Whoever finds no task while ticks cannot read is told so.
                    Failure::Unreadable => {
                        let has_no_task = |(_, decided): (usize, &Decided)| {
                            let reply = &decided.decision.reply;
                            matches!(reply, Reply::Leased(tasks) if tasks.is_empty())
                        };
                        self.loads_failed > 0 && decided.is_none_or(has_no_task)
                    }
                    Failure::Unproven => {
                        self.is_proof_late() && decided.is_some_and(changes_nothing)
                    }
                    Failure::Unavailable
                    | Failure::Opening
                    | Failure::Closing
                    | Failure::Overloaded
                    | Failure::OutcomeUnknown => false,
                };
                return check(Promise::Answered, may, || {
                    format!("{failure} for {:?}", asked.command)
                });
            }
        };
        self.replies += 1;
        let Some((at, decided)) = decided.filter(|(_, d)| d.decision.reply == reply) else {
            return violated(Promise::Equivalence, format!("never decided: {reply:?}"));
        };
        let is_speculative = self.limits.dispatch == Dispatch::Speculative
            && matches!(asked.command, Command::Lease(_));
        if !is_speculative {
            self.oracle.stands_without(at, self.store.durable_round)?;
        }
        let is_durable = decided.round <= self.store.durable_round;
        let is_proof_itself = !decided.decision.changes.is_empty() && is_durable;
        self.check_proof(is_proof_itself, &reply)?;
        if let Reply::Leased(tasks) = reply {
            self.tasks.extend(tasks.into_iter().map(|task| task.id));
        }
        Ok(())
    }

    /// Whether the last proof was too old when it came, for some reply.
    fn is_proof_late(&self) -> bool {
        let window = self.limits.proof_window.get().min(say::LEASE_MS / 3);
        self.proof_told
            .is_some_and(|at| u64::try_from(self.now - at).unwrap() > window)
    }

    /// What a command wrote is its proof; any other answer needs one within the window, and one
    /// that says that a lease goes on needs one within a third of that lease.
    fn check_proof(&self, is_proof_itself: bool, reply: &Reply) -> Checked {
        let age = self.now - self.evidence;
        let mut window = self.limits.proof_window.get();
        if matches!(reply, Reply::Extended { .. }) {
            window = window.min(say::LEASE_MS / 3);
        }
        let is_fresh = u64::try_from(age).unwrap() <= window;
        check(Promise::Proof, is_proof_itself || is_fresh, || {
            format!("answered {age} ms after the last evidence: {reply:?}")
        })
    }
}

/// A time by both clocks: the process has been running for some time when a run begins.
pub fn at(millis: i64) -> Now {
    let uptime = u64::try_from(millis - START).unwrap_or(0) + 12_345;
    Now {
        wall: Timestamp::from_millis(millis),
        uptime: Uptime::from_millis(uptime),
    }
}

fn stage(limits: StageLimits, now: i64) -> Stage<u64> {
    let mut stage = Stage::new(limits, at(now));
    stage.start_trace();
    stage
}

fn anything(generation: Generation) -> Forgettable {
    Forgettable {
        round: Round(u64::MAX),
        unused_since: Generation(generation.0 + 1),
    }
}

fn nth<T>(items: &mut [T], index: usize) -> Option<&mut T> {
    let count = items.len();
    items.get_mut(index.checked_rem(count)?)
}

fn changes_nothing((_, decided): (usize, &Decided)) -> bool {
    decided.decision.changes.is_empty()
}
