//! What operators see: limits, who holds their slots and who waits for one; and why a job does not
//! run. Facts, in types: whoever shows them finds the words.

use crate::shard::refusal::Paused;
use crate::table::key::Key;
use crate::table::state::{EndCode, Ended};
use crate::table::tenant::Queue;
use crate::types::name::{JobId, LimitKey, Priority, WorkerId};
use crate::types::time::Timestamp;

/// How many there are, counted as far as a bounded look goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// So many.
    pub number: u64,
    /// Not one more; else there are at least so many.
    pub is_exact: bool,
}

impl Count {
    /// None at all.
    pub const NONE: Self = Self {
        number: 0,
        is_exact: true,
    };

    /// Both together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self {
            number: self.number.saturating_add(other.number),
            is_exact: self.is_exact && other.is_exact,
        }
    }

    /// What was read when at most so many were asked for.
    pub(crate) fn of_rows(rows: usize, asked: usize) -> Self {
        Self {
            number: u64::try_from(rows).unwrap_or(u64::MAX),
            is_exact: rows < asked,
        }
    }
}

/// A limit as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitView {
    /// Which.
    pub key: LimitKey,
    /// How many ready and leased jobs hold a slot.
    pub held: u32,
    /// How many slots there are now; 0: nobody gets one.
    pub slots: u32,
    /// How many there are as the newest enqueue said.
    pub maximum: u32,
    /// How many there are instead, as an operator said.
    pub set: Option<u32>,
    /// An operator has paused it.
    pub is_paused: bool,
    /// Jobs that wait because this limit has no slot for them. One that wants several limits is
    /// counted at the one that it waits for now.
    pub waiting: Count,
    /// The first of those that wait, in the order in which they are looked at. None of its
    /// priority has waited longer, unless some were expedited; of others some may.
    pub first: Option<FirstWaiter>,
    /// So many lines have a slot kept for them.
    pub tickets: u32,
    /// Some that wait here are still to be looked at: it happens by itself.
    pub is_to_be_searched: bool,
}

/// The first of those that wait for a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstWaiter {
    /// Which job.
    pub job: JobId,
    /// When it began to wait, or was expedited.
    pub since: Timestamp,
}

/// A page of a tenant's limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitPage {
    /// In the order of their keys.
    pub limits: Vec<LimitView>,
    /// Limits left out: their rows cannot be read. Counting anew mends them.
    pub damaged: u32,
    /// After which to go on; none when there are no more.
    pub next: Option<LimitKey>,
}

/// A limit, who holds its slots and who waits for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitShown {
    /// The limit; none when nobody uses it and nothing is set.
    pub limit: Option<LimitView>,
    /// Who holds a slot: those that run, then those that are ready.
    pub holders: Vec<Holder>,
    /// Where to go on looking for holders; none when all have been seen.
    pub next: Option<Key>,
    /// The first of those that wait here, in the order in which they are looked at.
    pub waiters: Vec<Waiting>,
}

/// A job that holds a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Which job.
    pub job: JobId,
    /// Task group and priority.
    pub queue: Queue,
    /// Since when: it runs, or it is ready.
    pub since: Timestamp,
    /// Who runs it; none while it is ready.
    pub worker: Option<WorkerId>,
}

/// A job that waits for a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Which job.
    pub job: JobId,
    /// Its priority.
    pub priority: Priority,
    /// Since when.
    pub since: Timestamp,
    /// It goes before those that are not expedited.
    pub is_expedited: bool,
    /// A slot of each of its limits is kept for its line.
    pub has_ticket: bool,
}

/// Why a job does not run, or that it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Explanation {
    /// Its time has not come.
    NotDue {
        /// When it does. In the past: a tick is about to see to it.
        until: Timestamp,
        /// What it waits for.
        because: DueBecause,
    },
    /// It may be leased, and waits for its turn.
    Ready {
        /// Since when.
        since: Timestamp,
        /// Jobs of its tenant and task group that come before it.
        before: Count,
        /// Jobs of its tenant and task group that are ready, itself included.
        of: u64,
        /// What keeps it from being leased, if an operator has paused it.
        paused: Option<Paused>,
    },
    /// It waits for slots.
    Waits(Box<Wait>),
    /// It runs.
    Runs {
        /// Who runs it.
        worker: WorkerId,
        /// Since when.
        since: Timestamp,
        /// Which attempt.
        attempt: u32,
        /// When somebody asked that it stop.
        cancel_asked_at: Option<Timestamp>,
    },
    /// It is over.
    Ended {
        /// How.
        status: Ended,
        /// When.
        at: Timestamp,
        /// Why, when it ended without an attempt.
        code: Option<EndCode>,
    },
    /// It was set aside.
    Quarantined {
        /// When.
        at: Timestamp,
        /// What was found, in a sentence.
        reason: String,
    },
}

/// What a job's time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DueBecause {
    /// Its start.
    Start,
    /// The end of the back-off after an attempt.
    BackOff,
    /// When its worker wanted it back.
    Snooze,
}

/// What a job that has no slots waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Since when.
    pub since: Timestamp,
    /// It goes before those that are not expedited.
    pub is_expedited: bool,
    /// The limit that keeps it now.
    pub at: LimitKey,
    /// All its limits, in the order of their keys.
    pub limits: Vec<LimitFacts>,
    /// Jobs that want the same limits and come before it.
    pub before: Count,
    /// Jobs that want the same limits and wait, itself included.
    pub of: u64,
    /// Other sets of jobs that wait for the same limit, the first job of which comes before the
    /// first of these.
    pub lines_before: Count,
    /// A slot of each of its limits is kept for the first of these jobs.
    pub has_ticket: bool,
    /// It is still to be looked at: that happens by itself.
    pub is_to_be_searched: bool,
    /// The first few who hold a slot of the limit that keeps it.
    pub holders: Vec<Holder>,
}

/// What is known of one limit of a job that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitFacts {
    /// Which.
    pub key: LimitKey,
    /// How many slots are held.
    pub held: u32,
    /// How many slots there are now.
    pub slots: u32,
    /// Why it has none for this job; none: it has one.
    pub obstacle: Option<Obstacle>,
}

/// Why a limit has no slot for a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// All slots are held.
    Full,
    /// The last slot is kept for the first job of another line, which has waited longer.
    Kept(Option<JobId>),
    /// An operator has paused it, or set it to 0.
    Paused,
    /// The newest enqueue said 0.
    MaximumZero,
    /// Its row cannot be read. Counting anew mends it.
    Damaged,
}
