//! When to make what was accepted durable. Storage keeps one write-ahead object in flight, so the
//! next flush starts when the last one has returned, or after an interval or size, whichever the
//! operator wants to pay for; an extra flush meanwhile would only make more objects.

use std::collections::VecDeque;

use silo_core::types::time::{Millis, Uptime};

use crate::executor::form::Form;
use crate::executor::working_set::Round;

/// When to flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushPolicy {
    /// How long an accepted write may wait for a flush; zero: none longer than the flush before.
    pub interval: Millis,
    /// Accepted bytes that start a flush before the interval is over.
    pub bytes: u64,
}

/// A write that storage has accepted and not yet made durable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepted {
    pub(crate) round: Round,
    pub(crate) seq: u64,
    pub(crate) bytes: u64,
    /// When it was handed over.
    pub(crate) since: Uptime,
    /// When it was accepted.
    pub(crate) at: Uptime,
}

/// Accepted writes, and the flush under way.
#[derive(Clone)]
pub(crate) struct Flushing {
    policy: FlushPolicy,
    accepted: VecDeque<Accepted>,
    durable: Option<u64>,
    is_under_way: bool,
}

impl Flushing {
    pub(crate) const fn new(policy: FlushPolicy) -> Self {
        Self {
            policy,
            accepted: VecDeque::new(),
            durable: None,
            is_under_way: false,
        }
    }

    pub(crate) fn accepted(&mut self, accepted: Accepted) {
        self.accepted.push_back(accepted);
    }

    /// Everything up to the sequence number `seq` is durable, also what is accepted later under a
    /// number up to this.
    pub(crate) fn durable(&mut self, seq: u64) {
        self.durable = self.durable.max(Some(seq));
    }

    /// Takes out what is durable. Yields the last of it.
    pub(crate) fn take_durable(&mut self) -> Option<Accepted> {
        let mut last = None;
        while let Some(first) = self.accepted.front().copied()
            && Some(first.seq) <= self.durable
        {
            last = Some(first);
            self.accepted.pop_front();
        }
        last
    }

    /// Whether to flush now; if so, the flush has begun.
    pub(crate) fn begin(&mut self, now: Uptime) -> bool {
        if self.due_at().is_none_or(|at| at > now) {
            return false;
        }
        self.is_under_way = true;
        true
    }

    pub(crate) const fn ended(&mut self) {
        self.is_under_way = false;
    }

    /// What was accepted, counted from what is durable.
    pub(crate) fn form(&self, form: &mut Form<'_>) {
        for accepted in &self.accepted {
            form.round(accepted.round);
            form.part(&accepted.seq.saturating_sub(self.durable.unwrap_or(0)));
            form.part(&accepted.bytes);
            form.age(accepted.since);
            form.age_up_to(accepted.at, self.policy.interval);
        }
        form.end();
        form.part(&self.is_under_way);
    }

    /// When the next flush is due, if nothing else happens.
    pub(crate) fn due_at(&self) -> Option<Uptime> {
        let first = self.accepted.front().filter(|_| !self.is_under_way)?;
        let bytes = self
            .accepted
            .iter()
            .fold(0, |sum: u64, a| sum.saturating_add(a.bytes));
        if bytes >= self.policy.bytes {
            return Some(Uptime::ZERO);
        }
        Some(first.at.after(self.policy.interval))
    }

    /// Bytes accepted and not durable.
    pub(crate) fn bytes(&self) -> u64 {
        self.accepted
            .iter()
            .fold(0, |sum: u64, accepted| sum.saturating_add(accepted.bytes))
    }
}
