//! Why a command was not done. Every refusal has one code, a stable machine-readable reason and a
//! sentence that says what to do.

use crate::shard::commands::recount::RECOUNTED_MAX;
use crate::shard::limits::anew::WAITERS_COUNTED_MAX;
use crate::table::job::JobKey;
use crate::table::state::{Position, Status};
use crate::types::name::{JobId, LimitKey, TaskGroup};
use crate::types::task::TaskId;
use crate::types::tenant::Tenant;
use crate::types::time::Millis;

/// Queues (a task group at a priority) in which a tenant may have ready jobs: its row names them
/// all, and is written with each of its commands. A new job that would be in one more is refused.
pub const QUEUES_MAX: usize = 1000;

/// Task groups that may be paused for one tenant, and for everybody.
pub const PAUSED_MAX: usize = 1000;

/// How long a job waits that is here already and would be in one queue more than its tenant may
/// have; then it tries again.
pub const QUEUE_WAIT: Millis = Millis::new(1000);

/// Why a command was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such job.
    #[error("job not found")]
    JobNotFound(JobKey),
    /// The id is taken by another job.
    #[error(
        "a job with id {0} already exists: choose another id, or send the same request_id and \
         content to repeat a call"
    )]
    JobExists(JobId),
    /// The tenant has ready work in too many queues.
    #[error(
        "tenant {tenant} has ready jobs in {QUEUES_MAX} queues, each a task group at a priority: \
         let workers empty some before you use others"
    )]
    TooManyQueues {
        /// Whose queues.
        tenant: Tenant,
    },
    /// The lease is not, or no longer, there. Clients match this text.
    #[error("lease not found")]
    LeaseNotFound {
        /// The lease that was named.
        task: TaskId,
        /// What became of it.
        gone: Gone,
    },
    /// The lease is somebody else's. Clients match this text.
    #[error("lease owner mismatch")]
    LeaseOwnerMismatch(TaskId),
    /// The job was cancelled before, or was asked to stop before. Clients match this text.
    #[error("job is already cancelled")]
    AlreadyCancelled(JobKey),
    /// The job is over. Clients match "terminal state".
    #[error("job is already in terminal state")]
    AlreadyTerminal(JobKey),
    /// The job is not over yet.
    #[error("job has no result yet: it is {}", status_word(*.1))]
    NotTerminal(JobKey, Status),
    /// The job can not be leased.
    #[error("job cannot be leased: it is {}", status_word(*.1))]
    NotLeasable(JobKey, Status),
    /// A limit of the job has no slot for it.
    #[error("job cannot be leased: its limit {limit} has no slot for it")]
    LimitFull {
        /// Which job.
        key: JobKey,
        /// Which limit, the first of those in the order of their keys.
        limit: LimitKey,
    },
    /// Nothing of the job's tenant, or of its task group, is leased.
    #[error("job cannot be leased: {by}; resume it first")]
    Paused {
        /// Which job.
        key: JobKey,
        /// What is paused.
        by: Paused,
    },
    /// Too many task groups are paused.
    #[error("{PAUSED_MAX} task groups are paused already: resume some, or pause the tenant")]
    TooManyPaused,
    /// The job runs, and must not be taken from under its worker.
    #[error("job is running: cancel it, or wait until it has ended")]
    JobRunning(JobKey),
    /// The job neither failed nor was cancelled.
    #[error("job cannot be restarted: it is {}", status_word(*.1))]
    NotRestartable(JobKey, Status),
    /// The job does not wait for a time.
    #[error("job cannot be expedited: it is {}", status_word(*.1))]
    NotExpeditable(JobKey, Status),
    /// The job may be leased already.
    #[error("job cannot be expedited: it is ready already, and waits for a worker")]
    AlreadyReady(JobKey),
    /// The job is there, and what is imported does not go on from it.
    #[error("job cannot be imported: {1}")]
    NotImportable(JobKey, ImportFault),
    /// A job of several that are taken all or none.
    #[error("job {index} of the batch: {refusal}; none of the batch was taken")]
    InBatch {
        /// Which, from 0.
        index: usize,
        /// Why.
        refusal: Box<Refusal>,
    },
    /// The job was set aside.
    #[error("job is quarantined: a row of it is damaged; an operator can delete it or restart it")]
    Quarantined(JobKey),
    /// A limit's row is damaged.
    #[error(
        "a row of limit {0}, or of those that wait for it, is damaged: its jobs are safe but none \
         starts; count the tenant's limits anew to mend it"
    )]
    LimitDamaged(LimitKey),
    /// A tenant holds too much to be counted in one command.
    #[error(
        "tenant {0} has more than {RECOUNTED_MAX} jobs that run or are ready, or as many limits, \
         lines or tickets, or more than {WAITERS_COUNTED_MAX} jobs in a damaged line: too many to \
         be counted anew at once"
    )]
    TooManyToCount(Tenant),
    /// The tenant's row is damaged.
    #[error(
        "the row of tenant {0} is damaged: its jobs are safe but cannot be reached; see the log"
    )]
    TenantDamaged(Tenant),
}

/// What keeps a job from being leased.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Paused {
    /// All of its tenant.
    #[error("tenant {0} is paused")]
    Tenant(Tenant),
    /// Its task group, of its tenant.
    #[error("task group {0} is paused for its tenant")]
    QueueOfTenant(TaskGroup),
    /// Its task group, of everybody.
    #[error("task group {0} is paused")]
    Queue(TaskGroup),
}

/// What became of a lease that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// The job is not there, or never had such a lease.
    Unknown,
    /// It expired before the report came.
    Expired,
    /// It was given back.
    Released,
    /// It ended with another outcome.
    Finished,
}

/// Why a job that is there cannot be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportFault {
    /// It succeeded here.
    #[error("it has succeeded here")]
    Succeeded,
    /// Its history is another one.
    #[error("the attempts given do not begin with the attempts that it has had here")]
    Differs,
    /// Nothing would change.
    #[error("it is here already, and no attempt given is new")]
    NothingNew,
    /// The call names it more than once.
    #[error("the call names it more than once")]
    Twice,
}

/// The kind of a refusal: one gRPC code each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCode {
    /// `NOT_FOUND`
    NotFound,
    /// `ALREADY_EXISTS`
    AlreadyExists,
    /// `FAILED_PRECONDITION`
    FailedPrecondition,
    /// `RESOURCE_EXHAUSTED`
    ResourceExhausted,
    /// `INTERNAL`
    Internal,
}

impl Refusal {
    /// Its code.
    pub fn code(&self) -> RefusalCode {
        match self {
            Self::JobNotFound(_) | Self::LeaseNotFound { .. } => RefusalCode::NotFound,
            Self::JobExists(_) => RefusalCode::AlreadyExists,
            Self::LeaseOwnerMismatch(_)
            | Self::AlreadyCancelled(_)
            | Self::AlreadyTerminal(_)
            | Self::NotTerminal(..)
            | Self::NotLeasable(..)
            | Self::LimitFull { .. }
            | Self::Paused { .. }
            | Self::JobRunning(_)
            | Self::NotRestartable(..)
            | Self::NotExpeditable(..)
            | Self::AlreadyReady(_)
            | Self::NotImportable(..)
            | Self::TooManyToCount(_)
            | Self::Quarantined(_) => RefusalCode::FailedPrecondition,
            Self::InBatch { refusal, .. } => refusal.code(),
            Self::TooManyQueues { .. } | Self::TooManyPaused => RefusalCode::ResourceExhausted,
            Self::LimitDamaged(_) | Self::TenantDamaged(_) => RefusalCode::Internal,
        }
    }

    /// Its reason, stable for machines.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::JobNotFound(_) => "JOB_NOT_FOUND",
            Self::JobExists(_) => "JOB_EXISTS",
            Self::LeaseNotFound { gone, .. } => match gone {
                Gone::Unknown => "LEASE_UNKNOWN",
                Gone::Expired => "LEASE_EXPIRED",
                Gone::Released => "LEASE_RELEASED",
                Gone::Finished => "LEASE_FINISHED",
            },
            Self::LeaseOwnerMismatch(_) => "LEASE_OWNER_MISMATCH",
            Self::AlreadyCancelled(_) => "JOB_CANCELLED",
            Self::AlreadyTerminal(_) => "JOB_TERMINAL",
            Self::NotTerminal(..) => "JOB_NOT_TERMINAL",
            Self::NotLeasable(..) => "JOB_NOT_LEASABLE",
            Self::LimitFull { .. } => "LIMIT_FULL",
            Self::Paused { by, .. } => match by {
                Paused::Tenant(_) => "TENANT_PAUSED",
                Paused::QueueOfTenant(_) | Paused::Queue(_) => "QUEUE_PAUSED",
            },
            Self::TooManyPaused => "TOO_MANY_PAUSED",
            Self::JobRunning(_) => "JOB_RUNNING",
            Self::NotRestartable(..) => "JOB_NOT_RESTARTABLE",
            Self::NotExpeditable(..) => "JOB_NOT_EXPEDITABLE",
            Self::AlreadyReady(_) => "JOB_READY",
            Self::NotImportable(_, fault) => match fault {
                ImportFault::Succeeded => "JOB_SUCCEEDED",
                ImportFault::Differs => "IMPORT_DIFFERS",
                ImportFault::NothingNew => "IMPORT_NOTHING_NEW",
                ImportFault::Twice => "IMPORT_TWICE",
            },
            Self::InBatch { refusal, .. } => refusal.reason(),
            Self::Quarantined(_) => "JOB_QUARANTINED",
            Self::TooManyQueues { .. } => "TOO_MANY_QUEUES",
            Self::LimitDamaged(_) => "LIMIT_DAMAGED",
            Self::TooManyToCount(_) => "TOO_MANY_TO_COUNT",
            Self::TenantDamaged(_) => "TENANT_DAMAGED",
        }
    }

    /// The job it speaks of, if it speaks of one.
    pub fn job(&self) -> Option<&JobId> {
        match self {
            Self::JobExists(job) => Some(job),
            Self::LeaseNotFound { task, .. } | Self::LeaseOwnerMismatch(task) => Some(&task.job),
            Self::JobNotFound(key)
            | Self::AlreadyCancelled(key)
            | Self::AlreadyTerminal(key)
            | Self::NotTerminal(key, _)
            | Self::NotLeasable(key, _)
            | Self::LimitFull { key, .. }
            | Self::Paused { key, .. }
            | Self::JobRunning(key)
            | Self::NotRestartable(key, _)
            | Self::NotExpeditable(key, _)
            | Self::AlreadyReady(key)
            | Self::NotImportable(key, _)
            | Self::Quarantined(key) => Some(&key.job),
            Self::InBatch { refusal, .. } => refusal.job(),
            Self::TooManyQueues { .. }
            | Self::TooManyPaused
            | Self::LimitDamaged(_)
            | Self::TooManyToCount(_)
            | Self::TenantDamaged(_) => None,
        }
    }

    /// Why a job that stands at `position` cannot be leased.
    pub(crate) fn not_leasable(key: &JobKey, position: &Position) -> Self {
        match position.status() {
            Status::Quarantined => Self::Quarantined(key.clone()),
            status @ (Status::Scheduled
            | Status::Running
            | Status::Succeeded
            | Status::Failed
            | Status::Cancelled) => Self::NotLeasable(key.clone(), status),
        }
    }
}

const fn status_word(status: Status) -> &'static str {
    match status {
        Status::Scheduled => "scheduled",
        Status::Running => "running",
        Status::Succeeded => "succeeded",
        Status::Failed => "failed",
        Status::Cancelled => "cancelled",
        Status::Quarantined => "quarantined",
    }
}
