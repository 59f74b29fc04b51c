//! What a command answers.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::shard::refusal::Refusal;
use crate::shard::seen::{Explanation, LimitPage, LimitShown};
use crate::table::attempt::Attempt;
use crate::table::job::{JobKey, JobRow};
use crate::table::key::Key;
use crate::table::payload::PayloadKey;
use crate::table::state::{StateRow, Status};
use crate::table::tenant::{Queue, Tallies};
use crate::types::data::Data;
use crate::types::limit::Limit;
use crate::types::name::{JobId, TaskGroup};
use crate::types::task::TaskId;
use crate::types::time::{Millis, Timestamp};
use crate::types::weight::Weight;

/// What a command answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The job was taken, or had been taken by the same request before.
    Enqueued(JobId),
    /// All of these were taken, or had been taken by the same requests before; in their order.
    EnqueuedAll(Vec<JobId>),
    /// Tasks for a worker; maybe none.
    Leased(Vec<Task>),
    /// The lease goes on.
    Extended {
        /// Set when the worker should stop.
        cancel_asked_at: Option<Timestamp>,
        /// How long it lasts from now.
        lease: Millis,
    },
    /// The outcome stands.
    Reported,
    /// The job is cancelled, or its worker will be told.
    Cancelled,
    /// The job is gone, or was not there.
    Deleted,
    /// The job runs again.
    Restarted,
    /// The job may be leased now.
    Expedited,
    /// What became of each job of an import, in order.
    Imported(Vec<Imported>),
    /// A page of a tenant's jobs.
    Listed(Listing),
    /// Jobs that were set aside.
    SetAside(Vec<SetAsideView>),
    /// Why a job does not run, or that it does; and the queue it is ready in when it is.
    Explained(Queue, Explanation),
    /// A page of a tenant's limits.
    Limits(LimitPage),
    /// A limit, who holds its slots and who waits for one.
    Limit(Box<LimitShown>),
    /// What was said of a limit holds from now on.
    LimitSet,
    /// What the tenant's jobs hold was counted anew.
    Recounted {
        /// Limits and lines that had counted otherwise, or had a row that could not be read.
        differed: u64,
    },
    /// A job as it stands.
    Job(Box<JobView>),
    /// How a job ended.
    Result(Box<ResultView>),
    /// What is set of a tenant, and how many jobs it has.
    Tenant(Box<TenantView>),
    /// The task groups that are paused for everybody, and since when.
    PausedQueues(BTreeMap<TaskGroup, Timestamp>),
    /// Time was looked at.
    Ticked,
    /// No: nothing was changed.
    Refused(Refusal),
    /// A damaged job was set aside on the way: judge the same command again.
    Again,
}

impl Reply {
    /// Data that a driver must read from storage before the reply can be sent.
    pub fn stored(&mut self) -> Vec<&mut Content> {
        let contents = match self {
            Self::Leased(tasks) => tasks.iter_mut().map(|task| &mut task.payload).collect(),
            Self::Job(job) => {
                let ends = job.attempts.iter_mut().filter_map(|a| a.data.as_mut());
                std::iter::once(&mut job.payload).chain(ends).collect()
            }
            Self::Result(result) => result.data.iter_mut().collect(),
            Self::Enqueued(_)
            | Self::EnqueuedAll(_)
            | Self::Extended { .. }
            | Self::Reported
            | Self::Cancelled
            | Self::Deleted
            | Self::Restarted
            | Self::Expedited
            | Self::Imported(_)
            | Self::Listed(_)
            | Self::SetAside(_)
            | Self::Explained(..)
            | Self::Limits(_)
            | Self::Limit(_)
            | Self::LimitSet
            | Self::Recounted { .. }
            | Self::Tenant(_)
            | Self::PausedQueues(_)
            | Self::Ticked
            | Self::Refused(_)
            | Self::Again => Vec::new(),
        };
        let stored = |content: &&mut Content| matches!(content, Content::Stored { .. });
        contents.into_iter().filter(stored).collect()
    }
}

/// Data in a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The bytes.
    Inline(Bytes),
    /// The bytes stand in a row of their own.
    Stored {
        /// Where.
        key: Key,
        /// How many bytes.
        len: u64,
    },
}

impl Content {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Inline(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::Stored { len, .. } => *len,
        }
    }

    /// Whether there is no byte at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The content of `data`, which belongs to `slot` of `job`.
    pub(crate) fn of(data: &Data, job: &JobKey, slot: u32) -> Self {
        match data {
            Data::Inline(bytes) => Self::Inline(bytes.clone()),
            Data::Stored { len, .. } => Self::Stored {
                key: PayloadKey::key(job, slot),
                len: *len,
            },
        }
    }
}

/// One leased attempt, as a worker gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The fencing token: names job, attempt and lease.
    pub id: TaskId,
    /// Which attempt of this run, from 1.
    pub relative_attempt: u32,
    /// Whether a failure of this attempt would be final.
    pub is_last_attempt: bool,
    /// Task group and priority.
    pub queue: Queue,
    /// What had room for it, as the caller gave it.
    pub limits: Vec<Limit>,
    /// The caller's own pairs.
    pub metadata: BTreeMap<String, String>,
    /// What to work on.
    pub payload: Content,
    /// How long the lease lasts from each heartbeat.
    pub lease: Millis,
}

/// A job as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct JobView {
    /// Which job.
    pub key: JobKey,
    /// What was asked for.
    pub job: JobRow,
    /// Where it stands.
    pub state: StateRow,
    /// Its payload.
    pub payload: Content,
    /// Its latest attempt, and earlier ones when they were asked for, in order.
    pub attempts: Vec<AttemptView>,
}

/// An attempt and what it reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptView {
    /// The attempt.
    pub attempt: Attempt,
    /// What it reported, if it did.
    pub data: Option<Content>,
}

/// What became of one job of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Which job.
    pub job: JobId,
    /// Where it stands now, or why it was not imported.
    pub outcome: Result<Status, Refusal>,
}

/// A page of a tenant's jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// In the order of their ids; maybe none, also when there are more.
    pub jobs: Vec<ListedJob>,
    /// Jobs passed over: they are set aside, or a row of theirs cannot be read.
    pub skipped: u32,
    /// The row after which to go on; none when there are no more.
    pub next: Option<Key>,
}

/// A job as it stands, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedJob {
    /// Which job.
    pub job: JobId,
    /// Task group and priority.
    pub queue: Queue,
    /// Where it stands.
    pub status: Status,
    /// When the server took it.
    pub enqueued_at: Timestamp,
    /// When its status last changed.
    pub changed_at: Timestamp,
    /// When it may start, while it waits.
    pub next_start: Option<Timestamp>,
    /// The attempt that runs, or the last that ended; 0 before the first.
    pub attempt: u32,
}

/// A job that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAsideView {
    /// Which job.
    pub key: JobKey,
    /// When; none when even that cannot be read.
    pub at: Option<Timestamp>,
    /// What was found, in a sentence.
    pub reason: String,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultView {
    /// Which job.
    pub key: JobKey,
    /// Where it stands: ended.
    pub state: StateRow,
    /// What its last attempt reported, if it did.
    pub data: Option<Content>,
}

/// What is set of a tenant, and how many jobs it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantView {
    /// Its weight, if one was set at run time.
    pub weight: Option<Weight>,
    /// Since when it is paused, if it is.
    pub paused: Option<Timestamp>,
    /// Task groups that are paused for it, and since when; not those that are paused for everybody.
    pub paused_queues: BTreeMap<TaskGroup, Timestamp>,
    /// How many jobs stand where.
    pub tallies: Tallies,
}
