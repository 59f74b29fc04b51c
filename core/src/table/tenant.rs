//! One small row per tenant that has jobs, or of which something is set: its tallies, the front of
//! each of its queues, its weight and what is paused.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::table::codec::{Row, RowError, longer, whole};
use crate::table::place::{Head, Place};
use crate::table::state::Status;
use crate::table::{Table, TableId};
use crate::types::name::{Priority, TaskGroup};
use crate::types::tenant::Tenant;
use crate::types::time::Timestamp;
use crate::types::weight::{Weight, Weights};

/// The table.
pub struct Tenants;

impl Table for Tenants {
    const ID: TableId = TableId::Tenant;
    type Key = Tenant;
    type Row = TenantRow;
}

/// What is known of a tenant without looking at its jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TenantRow {
    /// The next sequence number for a place in one of the tenant's queues.
    pub next_seq: u64,
    /// How many jobs stand where.
    pub tallies: Tallies,
    /// The queues with ready jobs, in the order in which a group is served: priority first.
    pub ready: BTreeMap<Queue, Head>,
    /// The queue of jobs that wait for a time, if there are any.
    pub due: Option<Head>,
    /// The queue of ended jobs that are removed at a time, if there are any. Since version 2.
    pub expiry: Option<Head>,
    /// Its weight, if one was set at run time. This and what follows since version 3.
    pub weight: Option<Weight>,
    /// Since when nothing of it is leased, if an operator paused it.
    pub paused: Option<Timestamp>,
    /// Task groups of which nothing of it is leased, and since when.
    pub paused_queues: BTreeMap<TaskGroup, Timestamp>,
}

/// What version 3 has added, of a row that was written before: nothing is set.
const NOTHING_SET: [u8; 6] = [0; 6];

impl Row for TenantRow {
    const VERSION: u8 = 3;

    fn upgrade(version: u8, body: &[u8]) -> Result<Self, RowError> {
        match version {
            1 => {
                let (next_seq, tallies, ready, due) = whole(body)?;
                Ok(Self {
                    next_seq,
                    tallies,
                    ready,
                    due,
                    ..Self::default()
                })
            }
            2 => longer(body, &NOTHING_SET),
            other => Err(RowError::unknown(other)),
        }
    }
}

impl TenantRow {
    /// Nothing has to be done for the tenant's jobs before this time.
    pub fn wake(&self) -> Option<Timestamp> {
        let heads = [self.due, self.expiry];
        heads.into_iter().flatten().map(|head| head.low.at).min()
    }

    /// Whether there is nothing to know any more. Rows of a queue may outlive their job, when which
    /// rows a damaged one had could not be read: the row stays until they have been met.
    pub fn is_over(&self) -> bool {
        let has_jobs = self.tallies.total() > 0 || !self.ready.is_empty() || self.wake().is_some();
        let is_set = self.weight.is_some() || self.paused.is_some();
        !has_jobs && !is_set && self.paused_queues.is_empty()
    }

    /// The tenant's weight: as it was set, else as the configuration says.
    pub fn weight_or(&self, configured: &Weights, tenant: &Tenant) -> Weight {
        self.weight.unwrap_or_else(|| configured.of(tenant))
    }

    /// Since when nothing of the tenant is leased from this task group, if that is so.
    pub fn paused_since(&self, group: &TaskGroup) -> Option<Timestamp> {
        self.paused
            .or_else(|| self.paused_queues.get(group).copied())
    }

    /// Draws a place in one of the tenant's queues.
    pub fn place(&mut self, at: Timestamp) -> Place {
        let seq = self.next_seq;
        self.next_seq = seq.saturating_add(1);
        Place { at, seq }
    }

    /// The tenant's queues of one task group, first priority first. None while it is paused.
    pub fn queues(&self, group: &TaskGroup) -> impl Iterator<Item = (&Queue, &Head)> {
        let is_paused = self.paused_since(group).is_some();
        self.waiting(group).take_while(move |_| !is_paused)
    }

    /// The same, also while it is paused.
    pub fn waiting(&self, group: &TaskGroup) -> impl Iterator<Item = (&Queue, &Head)> {
        let first = Queue {
            group: group.clone(),
            priority: Priority::default(),
        };
        self.ready
            .range(first..)
            .take_while(move |(queue, _)| queue.group == *group)
    }

    /// The task groups with ready work of which the tenant is not paused, each once, in order.
    pub fn groups(&self) -> Vec<TaskGroup> {
        let mut groups: Vec<TaskGroup> = self.ready.keys().map(|q| q.group.clone()).collect();
        groups.dedup();
        groups.retain(|group| self.paused_since(group).is_none());
        groups
    }
}

/// Which of a tenant's queues: a task group at one priority.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Queue {
    /// The task group that workers ask for.
    pub group: TaskGroup,
    /// 0 is served first.
    pub priority: Priority,
}

/// How many of a tenant's jobs stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Tallies {
    /// Not leased, not ended.
    pub scheduled: u64,
    /// Leased.
    pub running: u64,
    /// Ended well.
    pub succeeded: u64,
    /// Ended badly.
    pub failed: u64,
    /// Ended because somebody asked.
    pub cancelled: u64,
    /// Set aside.
    pub quarantined: u64,
}

impl Tallies {
    /// Moves one job from one status to another; `None` is "not there".
    /// Returns whether the tally it left had a job to give.
    pub fn shift(&mut self, from: Option<Status>, to: Option<Status>) -> bool {
        let mut held = true;
        if let Some(from) = from {
            let tally = self.of_mut(from);
            held = *tally > 0;
            *tally = tally.saturating_sub(1);
        }
        if let Some(to) = to {
            let tally = self.of_mut(to);
            *tally = tally.saturating_add(1);
        }
        held
    }

    /// The tally of one status.
    pub const fn of(&self, status: Status) -> u64 {
        match status {
            Status::Scheduled => self.scheduled,
            Status::Running => self.running,
            Status::Succeeded => self.succeeded,
            Status::Failed => self.failed,
            Status::Cancelled => self.cancelled,
            Status::Quarantined => self.quarantined,
        }
    }

    /// How many jobs the tenant has.
    pub fn total(&self) -> u64 {
        Status::ALL
            .into_iter()
            .fold(0, |sum, status| sum.saturating_add(self.of(status)))
    }

    /// Both together.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        for status in Status::ALL {
            let tally = self.of_mut(status);
            *tally = tally.saturating_add(other.of(status));
        }
        self
    }

    /// The rest when `other`, a part of this, is taken away.
    #[must_use]
    pub fn without(mut self, other: &Self) -> Self {
        for status in Status::ALL {
            let tally = self.of_mut(status);
            *tally = tally.saturating_sub(other.of(status));
        }
        self
    }

    const fn of_mut(&mut self, status: Status) -> &mut u64 {
        match status {
            Status::Scheduled => &mut self.scheduled,
            Status::Running => &mut self.running,
            Status::Succeeded => &mut self.succeeded,
            Status::Failed => &mut self.failed,
            Status::Cancelled => &mut self.cancelled,
            Status::Quarantined => &mut self.quarantined,
        }
    }
}
