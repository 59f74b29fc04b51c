//! What two stages must share to behave alike from now on: for models, which look at each such
//! state once. Everything that a rule only compares is written as what the comparison sees:
//!
//! * rounds and storage's numbers, as distances: rules look at their order and at who comes next;
//! * times by the process's clock, as ages, none older than makes a difference;
//! * generations, by who of those that wait began before: nothing else is asked of them, as long
//!   as the cache is not full;
//! * names of loads and waiters, by their order.
//!
//! Left out: limits, which are the same for all; counts and traces, which nobody decides upon.

use std::hash::{Hash, Hasher};

use silo_core::types::time::{Millis, Now, Uptime};

use crate::executor::working_set::{Generation, Round};

/// Writes a form into a hasher.
pub struct Form<'a> {
    pub(crate) out: &'a mut dyn Hasher,
    pub(crate) now: Now,
    /// Rows written in this round or before are durable, and no load has missed them.
    pub(crate) settled: Round,
    /// An older proof is good for nothing.
    pub(crate) window: Millis,
    /// When those who wait were judged first, in order.
    pub(crate) sinces: Vec<Generation>,
    /// Decisions that changed something, so far.
    pub(crate) changes: u64,
}

impl Form<'_> {
    /// Something that is compared as it is.
    pub(crate) fn part(&mut self, part: &impl Hash) {
        part.hash(&mut self.out);
    }

    /// What follows is something else.
    pub(crate) fn end(&mut self) {
        self.out.write_u8(0xee);
    }

    /// A round; which of those that are settled makes no difference.
    pub(crate) fn round(&mut self, round: Round) {
        self.out.write_u64(round.0.saturating_sub(self.settled.0));
    }

    /// How long ago something was that proves ownership.
    pub(crate) fn age(&mut self, at: Uptime) {
        self.age_up_to(at, Millis::new(self.window.get().saturating_add(1)));
    }

    /// How long ago something was; longer than `longest` makes no difference.
    pub(crate) fn age_up_to(&mut self, at: Uptime, longest: Millis) {
        self.out
            .write_u64(self.now.uptime.since(at).min(longest).get());
    }

    /// Who of those that wait began before this.
    pub(crate) fn used(&mut self, at: Generation) {
        let before = self.sinces.iter().take_while(|since| **since <= at);
        self.out.write_usize(before.count());
    }

    /// Whether nothing was changed since there were so many changes.
    pub(crate) fn is_unchanged_since(&mut self, changes: u64) {
        self.part(&(changes == self.changes));
    }
}
