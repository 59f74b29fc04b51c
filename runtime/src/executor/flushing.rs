//! When to make what was accepted durable. Storage keeps one write-ahead object in flight, so the
//! next flush starts when the last one has returned, or after an interval or size, whichever the
//! operator wants to pay for; an extra flush meanwhile would only make more objects.

use std::collections::VecDeque;

use silo_core::types::time::{Millis, Timestamp};

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
#[derive(Clone, Copy)]
struct Accepted {
    round: Round,
    seq: u64,
    bytes: u64,
    at: Timestamp,
}

/// Accepted writes, and the flush under way.
pub(crate) struct Flushing {
    policy: FlushPolicy,
    accepted: VecDeque<Accepted>,
    began: Option<Timestamp>,
    last_began: Timestamp,
}

impl Flushing {
    pub(crate) const fn new(policy: FlushPolicy) -> Self {
        Self {
            policy,
            accepted: VecDeque::new(),
            began: None,
            last_began: Timestamp::MIN,
        }
    }

    pub(crate) fn accepted(&mut self, round: Round, seq: u64, bytes: u64, at: Timestamp) {
        self.accepted.push_back(Accepted {
            round,
            seq,
            bytes,
            at,
        });
    }

    /// Everything up to the sequence number `seq` is durable. Says which round that is, if it is a
    /// new one.
    pub(crate) fn durable(&mut self, seq: u64) -> Option<Round> {
        let mut round = None;
        while let Some(first) = self.accepted.front().filter(|first| first.seq <= seq) {
            round = Some(first.round);
            self.accepted.pop_front();
        }
        round
    }

    /// Whether to flush now; if so, the flush has begun.
    pub(crate) fn begin(&mut self, now: Timestamp) -> bool {
        if !self.due_at().is_some_and(|at| at <= now) {
            return false;
        }
        self.began = Some(now);
        self.last_began = now;
        true
    }

    pub(crate) const fn ended(&mut self) {
        self.began = None;
    }

    /// When the next flush is due, if nothing else happens.
    pub(crate) fn due_at(&self) -> Option<Timestamp> {
        let first = self.accepted.front().filter(|_| self.began.is_none())?;
        let bytes = self
            .accepted
            .iter()
            .fold(0, |sum: u64, a| sum.saturating_add(a.bytes));
        if bytes >= self.policy.bytes {
            return Some(Timestamp::MIN);
        }
        Some(first.at.after(self.policy.interval))
    }

    /// When the last flush began. A commit that is durable proves that this process owned the shard
    /// then, and not only when the answer came.
    pub(crate) const fn last_began(&self) -> Timestamp {
        self.last_began
    }

    /// Bytes accepted and not durable.
    pub(crate) fn bytes(&self) -> u64 {
        self.accepted
            .iter()
            .fold(0, |sum: u64, accepted| sum.saturating_add(accepted.bytes))
    }
}
