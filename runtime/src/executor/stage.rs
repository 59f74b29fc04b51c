//! The stage: what the owner of a shard does next, without I/O.
//!
//! Feed it inputs ([`Stage::submit`], [`Stage::loaded`], [`Stage::accepted`], [`Stage::durable`],
//! …), then call [`Stage::run`], then drain [`Stage::poll`] until it is empty, then wait for the
//! next input or for [`Stage::next_deadline`].
//!
//! * Commands are decided in order over this round's changes, earlier rounds, loaded rows. One with
//!   needs waits beside the queue while its rows are loaded; others go on.
//! * One write batch per round. The next round is decided at once, but handed over only when the
//!   last one was accepted.
//! * A reply is released when everything it has looked at is durable, and, if the command wrote
//!   nothing itself, while this process has fresh proof that it owns the shard
//!   ([`StageLimits::proof_window`]).
//! * A failed write poisons the stage: [`Stage::fail`] takes it and says what each caller is told.

use std::collections::VecDeque;

use bytes::Bytes;
use silo_core::shard::command::{Command, Stamp};
use silo_core::shard::commands::lease::TASKS_MAX;
use silo_core::shard::commands::quarantine::SetAside;
use silo_core::shard::commands::report::{Outcome, Report};
use silo_core::shard::decision::Decision;
use silo_core::shard::reply::Reply;
use silo_core::shard::soft::Soft;
use silo_core::shard::view::{Need, NeedItem};
use silo_core::shard::{decide, fold};
use silo_core::table::key::{KeyRange, successor};
use silo_core::types::task::TaskId;
use silo_core::types::time::{Millis, Now, Uptime};

use crate::executor::counts::StageCounts;
use crate::executor::flushing::Flushing;
use crate::executor::limits::{Dispatch, StageLimits};
use crate::executor::loads::{LoadId, Loads};
use crate::executor::output::{Loaded, Output};
use crate::executor::pending::{Judged, Pending, cost};
use crate::executor::proof::Proof;
use crate::executor::replies::{Answer, Failure, Held, Replies, is_whole_lease, proof_window};
use crate::executor::round::Rounds;
use crate::executor::trace::{Decided, Trace};
use crate::executor::watched::Watched;
use crate::executor::working_set::{Forgettable, Generation, Round, WorkingSet};

mod form;

/// A command that waits so often while nothing changes is given up. None should: those that take
/// most are searches with nothing in memory, about a dozen times (`core/tests/limit_needs.rs`).
const WAITS_ALONE_MAX: u32 = 64;

/// Ticks pause for so long after one whose rows could not be read.
const TICK_PAUSE: Millis = Millis::from_secs(1);

/// The machine.
#[derive(Clone)]
pub struct Stage<C> {
    limits: StageLimits,
    soft: Soft,
    set: WorkingSet,
    queue: VecDeque<Pending<C>>,
    commands: usize,
    command_bytes: usize,
    is_ticking: bool,
    no_tick_before: Uptime,
    is_blind: bool,
    is_closing: bool,
    loads: Loads<C>,
    changes: u64,
    rounds: Rounds,
    flushing: Flushing,
    replies: Replies<C>,
    proof: Proof,
    now: Now,
    outputs: VecDeque<Output<C>>,
    counts: StageCounts,
    trace: Trace,
}

impl<C> Stage<C> {
    /// A shard that was opened at `now` or later: nothing is known, and opening it was the proof of
    /// owning it.
    pub fn new(limits: StageLimits, now: Now) -> Self {
        Self {
            limits,
            soft: Soft::lost(),
            set: WorkingSet::new(limits.cache_bytes_max),
            queue: VecDeque::new(),
            commands: 0,
            command_bytes: 0,
            is_ticking: false,
            no_tick_before: Uptime::ZERO,
            is_blind: false,
            is_closing: false,
            loads: Loads::new(),
            changes: 0,
            rounds: Rounds::new(),
            flushing: Flushing::new(limits.flush),
            replies: Replies::new(),
            proof: Proof::since(now.uptime),
            now,
            outputs: VecDeque::new(),
            counts: StageCounts::default(),
            trace: Trace::default(),
        }
    }

    /// Queues a command.
    ///
    /// # Errors
    /// Gives the caller back when the queue is full.
    pub fn submit(&mut self, caller: C, command: Command, stamp: Stamp) -> Result<(), C> {
        let bytes = cost(&command);
        let command_bytes = self.command_bytes.saturating_add(bytes);
        let is_full = self.commands >= self.limits.commands_max
            || (self.commands > 0 && command_bytes > self.limits.command_bytes_max);
        if is_full {
            return Err(caller);
        }
        self.enqueue(Some(caller), command, stamp);
        Ok(())
    }

    /// Hands tasks back that their worker never got. Not bounded by the queue: the leases are.
    pub fn hand_back(&mut self, tasks: impl IntoIterator<Item = TaskId>, stamp: Stamp) {
        for task in tasks {
            let outcome = Outcome::Release;
            self.enqueue(None, Command::Report(Report { task, outcome }), stamp);
        }
    }

    /// Sets jobs aside whose data cannot be read. Not bounded by the queue: their leases are.
    pub fn set_aside(&mut self, jobs: impl IntoIterator<Item = SetAside>, stamp: Stamp) {
        for job in jobs {
            self.enqueue(None, Command::SetAside(job), stamp);
        }
    }

    /// The jobs whose end is told of, once it is durable, with [`Output::Over`].
    pub const fn watched(&mut self) -> &mut Watched {
        &mut self.rounds.watched
    }

    /// Nothing more will be submitted: the stage does no work of its own any more, so that it comes
    /// to rest ([`Stage::is_idle`]) however much is due.
    pub const fn close(&mut self) {
        self.is_closing = true;
    }

    /// Rows have come.
    pub fn loaded(&mut self, id: LoadId, loaded: Loaded) {
        match (self.loads.item(id), loaded) {
            (Some(NeedItem::Row(key)), Loaded::Row(value)) => self.set.learn_row(key, value),
            (Some(NeedItem::Range { start, end, .. }), Loaded::Range { rows, is_complete }) => {
                let end = match rows.last() {
                    Some((last, _)) if !is_complete => successor(last),
                    // Nothing of an incomplete range was read: nothing is known of it.
                    None if !is_complete => start.clone(),
                    Some(_) | None => end.clone(),
                };
                let range: KeyRange = start.clone()..end;
                self.set.learn_range(&range, rows);
            }
            // A driver that answers another question has loaded nothing; the command asks again.
            (Some(NeedItem::Row(_)), Loaded::Range { .. })
            | (Some(NeedItem::Range { .. }), Loaded::Row(_))
            | (None, _) => {}
        }
        self.loads.end(id);
    }

    /// Rows could not be read for now. What waits for them is answered; the shard goes on.
    pub fn load_failed(&mut self, id: LoadId) {
        for pending in self.loads.fail(id) {
            self.give_up(pending, Failure::Unreadable);
        }
    }

    /// Rows will never be read: what is stored there is damaged. One row is taken for one that does
    /// not decode, which sets its job aside rather than stop all who meet it.
    pub fn load_damaged(&mut self, id: LoadId) {
        match self.loads.item(id) {
            Some(NeedItem::Row(_)) => self.loaded(id, Loaded::Row(Some(Bytes::new()))),
            Some(NeedItem::Range { .. }) | None => self.load_failed(id),
        }
    }

    /// Storage has accepted a batch, under this sequence number.
    pub fn accepted(&mut self, round: Round, seq: u64) {
        if let Some(accepted) = self.rounds.accepted(round, seq, self.now.uptime) {
            self.flushing.accepted(accepted);
            self.release_durable();
        }
    }

    /// Everything up to this sequence number is durable. The batch under way may be, before it is
    /// known to be accepted: storage flushes on its own as well.
    pub fn durable(&mut self, seq: u64) {
        self.flushing.durable(seq);
        self.release_durable();
    }

    fn release_durable(&mut self) {
        let Some(last) = self.flushing.take_durable() else {
            return;
        };
        // It was written by this process after it was handed over. When it became durable is not
        // known: news of that may be old.
        self.proof.good_since(last.since);
        let released = self.replies.release_durable(last.round);
        self.outputs.extend(released.into_iter().map(Held::release));
        let over = self.rounds.watched.durable(last.round);
        self.outputs.extend(over.into_iter().map(Output::Over));
    }

    /// The flush has returned.
    pub const fn flushed(&mut self) {
        self.flushing.ended();
    }

    /// The proof that was asked for came back well; it was begun at `asked_at`.
    pub fn proven(&mut self, asked_at: Uptime) {
        self.proof.good_since(asked_at);
        self.proof.end();
    }

    /// The proof that was asked for could not be had for now.
    pub const fn proof_failed(&mut self) {
        self.proof.end();
    }

    /// Decides what can be decided. `stamp` says the time, and is what a tick is judged with.
    pub fn run(&mut self, stamp: Stamp) {
        self.run_for(stamp, |_| false);
    }

    /// As [`Stage::run`]. Whoever has gone before the turn of the command came is not served: work
    /// for nobody would keep everybody waiting until they go as well, and never end.
    pub fn run_for(&mut self, stamp: Stamp, mut has_gone: impl FnMut(&C) -> bool) {
        self.pass_to(stamp.now);
        let mut left = self.limits.round_commands_max;
        while left > 0
            && let Some(pending) = self.next_command()
        {
            if pending.waits == 0 && pending.caller.as_ref().is_some_and(&mut has_gone) {
                self.forget_command(&pending);
                self.counts.abandoned = self.counts.abandoned.saturating_add(1);
                continue;
            }
            left = left.saturating_sub(1);
            self.judge(pending);
        }
        if self.next_tick(self.now) == Some(Millis::ZERO) {
            self.is_ticking = true;
            let mut tick = Pending::new(None, Command::Tick, stamp, 0);
            tick.is_own_tick = true;
            self.judge(tick);
        }
        if let Some((round, batch)) = self.rounds.hand_over(self.now.uptime) {
            self.outputs.push_back(Output::Write(round, batch));
        }
        if self.flushing.begin(self.now.uptime) {
            self.outputs.push_back(Output::Flush);
        }
        self.prove_and_release();
        self.set.shrink(self.forgettable());
        self.counts.unflushed_bytes = self.flushing.bytes();
    }

    /// The next thing to do, in order.
    pub fn poll(&mut self) -> Option<Output<C>> {
        self.outputs.pop_front()
    }

    /// How long until [`Stage::run`] has something to do even without any other input.
    pub fn next_deadline(&self, now: Now) -> Option<Millis> {
        if self.next_is_ready() {
            return Some(Millis::ZERO);
        }
        let flush = self.flushing.due_at().map(|at| at.since(now.uptime));
        match (self.next_tick(now), flush) {
            (Some(tick), Some(flush)) => Some(tick.min(flush)),
            (one, other) => one.or(other),
        }
    }

    /// Storage failed, or belongs to somebody else: everything in memory is dropped, there is
    /// nothing to roll back. Yields what each caller is told: also the answers that were released
    /// and not yet polled, which are true.
    pub fn fail(self) -> Vec<(C, Answer)> {
        let undecided = self.queue.into_iter().chain(self.loads.into_pending());
        let undecided = undecided.filter_map(|pending| pending.caller);
        let failed = undecided.map(|caller| (caller, Failure::Unavailable));
        let failed = failed.chain(self.replies.fail(self.rounds.written()));
        let failed = failed.map(|(caller, failure)| (caller, Answer::Failed(failure)));
        let released = self.outputs.into_iter().filter_map(|output| match output {
            Output::Release(caller, answer) => Some((caller, answer)),
            Output::Load(..)
            | Output::Write(..)
            | Output::Flush
            | Output::Prove
            | Output::Over(_)
            | Output::Notice(_) => None,
        });
        released.chain(failed).collect()
    }

    /// Whether everything that was asked is decided, durable and answered.
    pub fn is_idle(&self) -> bool {
        self.commands == 0
            && self.rounds.is_idle()
            && self.replies.durable() == self.rounds.last_accepted()
            && !self.replies.awaits_proof()
            && self.outputs.is_empty()
    }

    /// Commands queued or waiting for rows, and their bytes.
    pub const fn queued(&self) -> (usize, usize) {
        (self.commands, self.command_bytes)
    }

    /// Whether the rows of the last tick could not be read: there may be work that the hints do not
    /// know of, and a request for tasks that finds none says nothing.
    pub const fn is_blind(&self) -> bool {
        self.is_blind
    }

    /// What was decided since the last call, for metrics.
    pub fn take_counts(&mut self) -> StageCounts {
        std::mem::take(&mut self.counts)
    }

    /// The hints.
    pub const fn soft(&self) -> &Soft {
        &self.soft
    }

    fn enqueue(&mut self, caller: Option<C>, command: Command, stamp: Stamp) {
        let bytes = cost(&command);
        self.commands = self.commands.saturating_add(1);
        self.command_bytes = self.command_bytes.saturating_add(bytes);
        self.queue
            .push_back(Pending::new(caller, command, stamp, bytes));
    }

    /// Time passes. After a pause so long that leases ended in it unheard (the process was stopped,
    /// the machine slept), heartbeats that wait to be read are let in first.
    fn pass_to(&mut self, now: Now) {
        let before = self.now.uptime;
        let uptime = before.max(now.uptime);
        self.now = Now {
            wall: self.now.wall.max(now.wall),
            uptime,
        };
        let window = self.limits.proof_window;
        let is_overdue = |at| uptime.since(at) > window;
        if uptime.since(before) > window && self.soft.first_expiry().is_some_and(is_overdue) {
            self.no_tick_before = uptime.after(window);
        }
    }

    /// Woken commands first: they have waited, and their rows are kept for them.
    fn next_command(&mut self) -> Option<Pending<C>> {
        if self.is_round_full() {
            return None;
        }
        let woken = self.loads.next_woken();
        let takes_new = self.takes_new();
        woken.or_else(|| self.queue.pop_front_if(|_| takes_new))
    }

    fn next_is_ready(&self) -> bool {
        let is_queued = self.takes_new() && !self.queue.is_empty();
        !self.is_round_full() && (self.loads.has_woken() || is_queued)
    }

    fn next_tick(&self, now: Now) -> Option<Millis> {
        let may = self.takes_new() && !self.is_round_full();
        let wake = self.soft.next_wake(now)?;
        let wake = wake.max(self.no_tick_before.since(now.uptime));
        (may && !self.is_ticking && !self.is_closing).then_some(wake)
    }

    fn is_round_full(&self) -> bool {
        self.rounds.bytes() >= self.limits.batch_bytes_max
    }

    fn takes_new(&self) -> bool {
        self.flushing.bytes() < self.limits.unflushed_bytes_max
    }

    fn judge(&mut self, pending: Pending<C>) {
        // Whoever has waited and finds somebody loading for the group would find nothing else.
        let lined_up = if pending.waits > 0 {
            self.loads.line_up(pending)
        } else {
            Some(pending)
        };
        let Some(mut pending) = lined_up else {
            return;
        };
        // The time that counts is that of the decision, not of the asking.
        pending.stamp.now = self.now;
        loop {
            let need = match self.try_decide(&mut pending) {
                Ok(judged) if judged.reply == Reply::Again => continue,
                Ok(judged) => return self.answer(pending, judged),
                Err(need) => need,
            };
            match self.try_fewer(&mut pending) {
                Some(judged) if judged.reply == Reply::Again => {}
                Some(judged) => return self.answer(pending, judged),
                None => return self.wait(pending, need),
            }
        }
    }

    fn try_decide(&mut self, pending: &mut Pending<C>) -> Result<Judged, Need> {
        let view = self.set.judge();
        let judged = decide(&self.soft, &view, &pending.stamp, &pending.command);
        let latest = view.latest();
        pending.since.get_or_insert(self.set.generation());
        judged.map(|decision| self.take_in(pending, decision, latest))
    }

    /// A request for tasks that has waited once takes fewer tasks rather than wait again. The
    /// *command* is made smaller: what is decided in the end has one answer, whatever was in
    /// memory.
    fn try_fewer(&mut self, pending: &mut Pending<C>) -> Option<Judged> {
        if pending.waits == 0 {
            return None;
        }
        let mut tasks_max = pending.tasks_max().min(TASKS_MAX) / 2;
        while tasks_max > 0 {
            let fewer = pending.asking_for(tasks_max)?;
            let whole = std::mem::replace(&mut pending.command, fewer);
            if let Ok(judged) = self.try_decide(pending) {
                return Some(judged);
            }
            pending.command = whole;
            tasks_max /= 2;
        }
        None
    }

    /// Folds a decision.
    fn take_in(&mut self, pending: &Pending<C>, decision: Decision, latest: Round) -> Judged {
        self.counts.decided(&pending.command, &decision);
        let has_changes = !decision.changes.is_empty();
        self.changes = self.changes.saturating_add(u64::from(has_changes));
        let round = if has_changes {
            self.rounds.open()
        } else {
            latest
        };
        self.trace.add(|| Decided {
            stamp: pending.stamp,
            command: pending.command.clone(),
            decision: decision.clone(),
            round,
        });
        let mut overlay = self.rounds.overlay(&mut self.set);
        fold(&mut self.soft, &mut overlay, &decision);
        self.outputs
            .extend(decision.notices.into_iter().map(Output::Notice));
        Judged {
            reply: decision.reply,
            round,
            has_changes,
        }
    }

    fn answer(&mut self, pending: Pending<C>, judged: Judged) {
        self.is_blind &= !pending.is_own_tick;
        self.forget_command(&pending);
        let Some(caller) = pending.caller else { return };
        let Judged {
            reply,
            round,
            has_changes,
        } = judged;
        // What writes nothing, a refusal or a read, may always be sent again.
        let is_repeatable = !has_changes || pending.command.is_repeatable();
        // Tasks that went to nobody because proof could not be had would stay leased: without fresh
        // proof they wait for their durability like all others. So do those whose payload must be
        // read: storage may not have it yet.
        let at_once = self.limits.dispatch == Dispatch::Speculative
            && matches!(pending.command, Command::Lease(_))
            && is_whole_lease(&reply)
            && self.proof.age(self.now.uptime) <= self.limits.proof_window;
        let window = proof_window(&reply, self.limits.proof_window);
        let held = Held {
            caller,
            reply,
            has_changes,
            window,
            is_repeatable,
        };
        if at_once {
            self.replies.hold_for_proof(held);
        } else {
            self.replies.hold(round, held);
        }
    }

    fn wait(&mut self, mut pending: Pending<C>, need: Need) {
        let is_alone = pending.changes_seen == self.changes && pending.waits > 0;
        pending.waits_alone = if is_alone {
            pending.waits_alone.saturating_add(1)
        } else {
            1
        };
        if pending.waits_alone > WAITS_ALONE_MAX {
            return self.give_up(pending, Failure::Unreadable);
        }
        self.counts.waited();
        pending.waits = pending.waits.saturating_add(1);
        pending.changes_seen = self.changes;
        let Some(pending) = self.loads.line_up(pending) else {
            return;
        };
        let mut need = need;
        need.add(self.need_of_all(&pending).unwrap_or_default());
        let ahead = self.limits.read_ahead_rows;
        let items = need.items.into_iter().map(|item| item.at_least(ahead));
        let items = items.collect();
        let begun = self.loads.wait(pending, items, self.rounds.last_accepted());
        let loads = begun.into_iter().map(|(id, item)| Output::Load(id, item));
        self.outputs.extend(loads);
    }

    /// What is needed to serve a request for tasks and all those that come right behind it.
    fn need_of_all(&mut self, pending: &Pending<C>) -> Option<Need> {
        let behind = self.loads.demand(pending.leases_from()?);
        let demand = pending.tasks_max().saturating_add(behind).min(TASKS_MAX);
        let command = pending.asking_for(demand)?;
        decide(&self.soft, &self.set.judge(), &pending.stamp, &command).err()
    }

    fn give_up(&mut self, pending: Pending<C>, failure: Failure) {
        self.forget_command(&pending);
        if pending.is_own_tick {
            self.no_tick_before = self.now.uptime.after(TICK_PAUSE);
            self.is_blind = true;
        }
        if let Some(caller) = pending.caller {
            self.outputs
                .push_back(Output::Release(caller, Answer::Failed(failure)));
        }
    }

    fn forget_command(&mut self, pending: &Pending<C>) {
        if pending.is_own_tick {
            self.is_ticking = false;
        } else {
            self.commands = self.commands.saturating_sub(1);
            self.command_bytes = self.command_bytes.saturating_sub(pending.bytes);
        }
    }

    fn prove_and_release(&mut self) {
        let age = self.proof.age(self.now.uptime);
        let released = self.replies.release_proven(age);
        self.outputs.extend(released.into_iter().map(Held::release));
        if self.proof.take_end() {
            // The next proof would take as long as this one.
            for held in self.replies.give_up_proof() {
                let answer = Answer::Failed(Failure::Unproven);
                self.outputs.push_back(Output::Release(held.caller, answer));
            }
        }
        if self.replies.awaits_proof() && self.proof.ask() {
            self.outputs.push_back(Output::Prove);
        }
    }

    fn forgettable(&self) -> Forgettable {
        let durable = self.replies.durable();
        let round = self
            .loads
            .oldest_sight()
            .map_or(durable, |sight| durable.min(sight));
        let unused_since = self
            .loads
            .since()
            .unwrap_or_else(|| Generation(self.set.generation().0.saturating_add(1)));
        Forgettable {
            round,
            unused_since,
        }
    }
}
