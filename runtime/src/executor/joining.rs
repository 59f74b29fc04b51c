//! A flush that waits a moment for whoever its round has woken.
//!
//! A round that brings work wakes a worker that waits for it, which asks for its tasks some ten
//! microseconds later: too late for the flush of the round, and so the lease would need one of its
//! own. Where a write takes 50 ms a job would start after 100 ms. A flush waits instead until
//! whoever was woken has asked and the lease has been accepted, and makes both durable.
//!
//! Nobody is waited for longer than [`WAIT_MAX`], as a worker may have gone, or have found work
//! elsewhere; and nobody at all where flushes take less than five times as long: there a lease has
//! the next one soon. What waits is the flush alone; rounds are decided and written meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use silo_core::types::name::TaskGroup;
use tokio::time::Instant;

/// How long a flush waits at the most. (The timer is as coarse.)
const WAIT_MAX: Duration = Duration::from_millis(1);
/// Flushes that take at least so long wait.
const SLOW: Duration = Duration::from_millis(5);

/// Who is still expected, and the flush that waits for them.
#[derive(Debug, Default)]
pub(crate) struct Joining {
    /// How long the last flush took.
    last: Duration,
    /// Groups for which somebody has been woken who has not asked yet.
    woken: BTreeSet<TaskGroup>,
    /// Where the latest lease is that one of them asked for.
    lease: Lease,
    /// Whether a batch was handed over and is not accepted.
    is_writing: bool,
    /// The flush that waits, and until when.
    held: Option<Instant>,
}

/// Where a lease is on its way to storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Lease {
    /// Nobody has asked, or it is accepted.
    #[default]
    None,
    /// It goes with the next batch that is handed over.
    Asked,
    /// That is under way.
    Written,
}

impl Joining {
    /// Somebody who waits for work of a group was told that there is some.
    pub(crate) fn woke(&mut self, group: TaskGroup) {
        self.woken.insert(group);
    }

    /// Somebody asks for work of a group.
    pub(crate) fn asks(&mut self, group: &TaskGroup) {
        if self.woken.remove(group) {
            self.lease = Lease::Asked;
        }
    }

    /// A batch was handed over to storage.
    pub(crate) fn writes(&mut self) {
        self.is_writing = true;
        if self.lease == Lease::Asked {
            self.lease = Lease::Written;
        }
    }

    /// Storage has accepted a batch.
    pub(crate) fn accepted(&mut self) {
        self.is_writing = false;
        if self.lease == Lease::Written {
            self.lease = Lease::None;
        }
    }

    /// A flush is wanted.
    pub(crate) fn wants_flush(&mut self, now: Instant) {
        let longest = if self.last < SLOW {
            Duration::ZERO
        } else {
            WAIT_MAX
        };
        self.held = Some(now.checked_add(longest).unwrap_or(now));
    }

    /// A flush took so long.
    pub(crate) const fn flushed(&mut self, took: Duration) {
        self.last = took;
    }

    /// Until when the flush that is wanted waits, if one is.
    pub(crate) const fn until(&self) -> Option<Instant> {
        self.held
    }

    /// Whether the flush that is wanted begins now, after all that was asked has been decided:
    /// nobody is expected any more, or not any longer.
    pub(crate) fn begins(&mut self, now: Instant) -> bool {
        if self.lease == Lease::Asked && !self.is_writing {
            // It was decided and has nothing to write, or waits for rows.
            self.lease = Lease::None;
        }
        let Some(until) = self.held else { return false };
        let is_joined = self.woken.is_empty() && self.lease == Lease::None;
        if !is_joined && now < until {
            return false;
        }
        self.woken.clear();
        self.lease = Lease::None;
        self.held = None;
        true
    }
}
