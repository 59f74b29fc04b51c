//! A flush that waits a moment for whoever its round has woken.
//!
//! A round that brings work wakes a worker that waits for it, which asks for its tasks some ten
//! microseconds later: too late for the flush of the round, and so the lease would need one of its
//! own. Where a write takes 50 ms a job would start after 100 ms. A flush waits instead until
//! whoever was woken has asked and the lease has been accepted, and makes both durable.
//!
//! Nobody is waited for longer than [`WAIT_MAX`]: a worker may have gone, or have found work
//! elsewhere. What waits is the flush alone; rounds are decided and written meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use silo_core::types::name::TaskGroup;
use tokio::time::Instant;

/// How long a flush waits at the most. (The timer is as coarse.)
const WAIT_MAX: Duration = Duration::from_millis(1);

/// Who is still expected, and the flush that waits for them.
#[derive(Debug, Default)]
pub(crate) struct Joining {
    /// Groups for which somebody has been woken who has not asked yet.
    woken: BTreeSet<TaskGroup>,
    /// Whether somebody has asked since the last flush began.
    has_asked: bool,
    /// Batches that were handed over and are not accepted.
    writes: u32,
    /// The flush that waits, and until when.
    held: Option<Instant>,
}

impl Joining {
    /// Somebody who waits for work of a group was told that there is some.
    pub(crate) fn woke(&mut self, group: TaskGroup) {
        self.woken.insert(group);
    }

    /// Somebody asks for work of a group.
    pub(crate) fn asks(&mut self, group: &TaskGroup) {
        self.has_asked |= self.woken.remove(group);
    }

    /// A batch was handed over to storage.
    pub(crate) const fn writes(&mut self) {
        self.writes = self.writes.saturating_add(1);
    }

    /// Storage has accepted a batch.
    pub(crate) const fn accepted(&mut self) {
        self.writes = self.writes.saturating_sub(1);
    }

    /// A flush is wanted.
    pub(crate) fn wants_flush(&mut self, now: Instant) {
        self.held = Some(now.checked_add(WAIT_MAX).unwrap_or(now));
    }

    /// Until when the flush that is wanted waits, if one is.
    pub(crate) const fn until(&self) -> Option<Instant> {
        self.held
    }

    /// Whether the flush that is wanted begins now: nobody is expected any more, or not any longer.
    pub(crate) fn begins(&mut self, now: Instant) -> bool {
        let Some(until) = self.held else { return false };
        let is_joined = self.woken.is_empty() && !(self.has_asked && self.writes > 0);
        if !is_joined && now < until {
            return false;
        }
        *self = Self {
            writes: self.writes,
            ..Self::default()
        };
        true
    }
}
