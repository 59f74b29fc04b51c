//! Replies as data with a condition: what each waits for, and one function that releases.

use std::collections::{BTreeMap, VecDeque};
use std::hash::Hash;

use silo_core::shard::reply::{Content, Reply, Task};
use silo_core::types::time::Millis;

use crate::executor::form::Form;
use crate::executor::output::Output;
use crate::executor::working_set::Round;

/// What a caller gets.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// What was decided.
    Reply(Reply),
    /// Nothing was decided, or nobody knows.
    Failed(Failure),
}

/// Why a caller gets no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nothing was done, or what was done may be done again: try again.
    #[error("the shard lost its storage for a moment; nothing was lost: try again")]
    Unavailable,
    /// The rows that the command needs could not be read: try again.
    #[error("rows could not be read from storage in time: try again")]
    Unreadable,
    /// Whether this process still owns the shard could not be found out in time: try again.
    #[error("it could not be proved in time that this server still owns the shard: try again")]
    Unproven,
    /// The shard is being opened: try again.
    #[error("the shard is being opened: try again")]
    Opening,
    /// The shard is shutting down: try again elsewhere or later.
    #[error("the shard is closing: try again")]
    Closing,
    /// Too much is waiting already: try again later.
    #[error("the shard's queue is full: try again later")]
    Overloaded,
    /// The command was written and may or may not be durable, and is not safe to repeat.
    #[error(
        "the storage failed while the command was being written: it may or may not have been \
         done; look before you send it again, or send a request_id from the start"
    )]
    OutcomeUnknown,
}

/// A reply that waits.
#[derive(Clone)]
pub(crate) struct Held<C> {
    pub(crate) caller: C,
    pub(crate) reply: Reply,
    /// Whether the command wrote anything: then its being durable is proof enough.
    pub(crate) has_changes: bool,
    /// How old a proof of ownership may be for it.
    pub(crate) window: Millis,
    /// Whether the caller may blindly send the command again.
    pub(crate) is_repeatable: bool,
}

impl<C> Held<C> {
    /// The one way in which a reply that was held reaches its caller.
    pub(crate) fn release(self) -> Output<C> {
        Output::Release(self.caller, Answer::Reply(self.reply))
    }
}

/// Replies by what they wait for.
#[derive(Clone)]
pub(crate) struct Replies<C> {
    durable: Round,
    by_round: BTreeMap<Round, Vec<Held<C>>>,
    unproven: VecDeque<Held<C>>,
}

impl<C> Replies<C> {
    pub(crate) const fn new() -> Self {
        Self {
            durable: Round(0),
            by_round: BTreeMap::new(),
            unproven: VecDeque::new(),
        }
    }

    /// Every write up to this round is durable.
    pub(crate) const fn durable(&self) -> Round {
        self.durable
    }

    /// Holds a reply until everything up to `round` is durable. One that depends on nothing that is
    /// not durable already waits for proof that this process still owns the shard.
    pub(crate) fn hold(&mut self, round: Round, held: Held<C>) {
        if round > self.durable {
            self.by_round.entry(round).or_default().push(held);
        } else {
            self.unproven.push_back(held);
        }
    }

    /// Holds a reply for proof alone: dispatch before durability.
    pub(crate) fn hold_for_proof(&mut self, held: Held<C>) {
        self.unproven.push_back(held);
    }

    pub(crate) fn awaits_proof(&self) -> bool {
        !self.unproven.is_empty()
    }

    /// Everything up to `round` is durable: acknowledgements that waited for it may go, in order.
    /// What only looked waits for proof now: news of durability may be older than a proof may be.
    pub(crate) fn release_durable(&mut self, round: Round) -> Vec<Held<C>> {
        self.durable = self.durable.max(round);
        let later = self.by_round.split_off(&self.durable.next());
        let durable = std::mem::replace(&mut self.by_round, later);
        let (changed, looked) = durable
            .into_values()
            .flatten()
            .partition(|held| held.has_changes);
        self.unproven.extend::<Vec<Held<C>>>(looked);
        changed
    }

    /// This process was known to own the shard so long ago: what that is good enough for may go.
    pub(crate) fn release_proven(&mut self, age: Millis) -> VecDeque<Held<C>> {
        let unproven = std::mem::take(&mut self.unproven);
        let (fresh, stale) = unproven.into_iter().partition(|held| age <= held.window);
        self.unproven = stale;
        fresh
    }

    /// Proof cannot be had, or not in time.
    pub(crate) fn give_up_proof(&mut self) -> VecDeque<Held<C>> {
        std::mem::take(&mut self.unproven)
    }

    /// Who waits for what. What they will be told follows from who they are: a model keeps it.
    pub(crate) fn form(&self, form: &mut Form<'_>)
    where
        C: Hash,
    {
        let held = |form: &mut Form<'_>, held: &Held<C>| {
            let conditions = (held.has_changes, held.window.get(), held.is_repeatable);
            form.part(&(&held.caller, conditions));
        };
        form.round(self.durable);
        for (round, all) in &self.by_round {
            form.round(*round);
            all.iter().for_each(|one| held(form, one));
        }
        form.end();
        self.unproven.iter().for_each(|one| held(form, one));
        form.end();
    }

    /// Storage failed. Yields every reply with what its caller must be told; `written` is the last
    /// round that was handed to storage.
    pub(crate) fn fail(self, written: Round) -> impl Iterator<Item = (C, Failure)> {
        let by_round = self.by_round.into_iter().flat_map(move |(round, held)| {
            held.into_iter().map(move |held| (round <= written, held))
        });
        by_round
            .chain(self.unproven.into_iter().map(|held| (false, held)))
            .map(|(was_written, held)| {
                let is_unknown = was_written && !held.is_repeatable;
                let failure = if is_unknown {
                    Failure::OutcomeUnknown
                } else {
                    Failure::Unavailable
                };
                (held.caller, failure)
            })
    }
}

/// How old a proof of ownership may be for a reply, at most `longest`.
pub(crate) fn proof_window(reply: &Reply, longest: Millis) -> Millis {
    if let Reply::Extended { lease, .. } = reply {
        // Another owner may give the lease away once it has lasted its time.
        longest.min(Millis::new(lease.get() / 3))
    } else {
        longest
    }
}

/// Whether a reply hands out tasks, with everything that belongs to them.
pub(crate) fn is_whole_lease(reply: &Reply) -> bool {
    let is_whole = |task: &Task| matches!(task.payload, Content::Inline(_));
    matches!(reply, Reply::Leased(tasks) if tasks.iter().all(is_whole))
}
