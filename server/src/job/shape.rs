//! How a job's parts look as JSON, read and written.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use silo_runtime::proto;
use silo_runtime::proto::{AttemptStatus, JobStatus};

/// How random a retry's delay is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Jitter {
    /// Exactly the delay.
    None,
    /// Anything up to the delay.
    #[default]
    Full,
    /// Half of the delay, and anything up to the other half.
    Equal,
    /// Anything between the first delay and three times the last.
    Decorrelated,
}

/// How often and when a failed job runs again.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetryPolicy {
    /// Retries after the first attempt.
    pub(crate) retry_count: u32,
    #[serde(default)]
    pub(crate) initial_interval_ms: i64,
    /// 0: no cap.
    #[serde(default)]
    pub(crate) max_interval_ms: i64,
    /// 0 means 1.
    #[serde(default)]
    pub(crate) backoff_factor: f64,
    #[serde(default = "no_jitter")]
    pub(crate) jitter: Jitter,
}

/// What must have room before a job runs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Limit {
    /// At most so many jobs at once of those with the same key.
    Concurrency { key: String, max_concurrency: u32 },
}

/// How long a job stays after its end, in ms; what is absent the server says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Retention {
    pub(crate) succeeded_ms: Option<i64>,
    pub(crate) failed_ms: Option<i64>,
    pub(crate) cancelled_ms: Option<i64>,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// It waits for its time, or for a worker.
    Scheduled,
    /// A worker has it.
    Running,
    /// It is done.
    Succeeded,
    /// It failed for good.
    Failed,
    /// It was cancelled.
    Cancelled,
}

const fn no_jitter() -> Jitter {
    Jitter::None
}

impl Status {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl From<JobStatus> for Status {
    fn from(status: JobStatus) -> Self {
        match status {
            JobStatus::Scheduled => Self::Scheduled,
            JobStatus::Running => Self::Running,
            JobStatus::Succeeded => Self::Succeeded,
            JobStatus::Failed => Self::Failed,
            JobStatus::Cancelled => Self::Cancelled,
        }
    }
}

impl From<Status> for JobStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Scheduled => Self::Scheduled,
            Status::Running => Self::Running,
            Status::Succeeded => Self::Succeeded,
            Status::Failed => Self::Failed,
            Status::Cancelled => Self::Cancelled,
        }
    }
}

impl From<AttemptStatus> for Status {
    fn from(status: AttemptStatus) -> Self {
        match status {
            AttemptStatus::Running => Self::Running,
            AttemptStatus::Succeeded => Self::Succeeded,
            AttemptStatus::Failed => Self::Failed,
            AttemptStatus::Cancelled => Self::Cancelled,
        }
    }
}

impl From<proto::RetryPolicy> for RetryPolicy {
    fn from(policy: proto::RetryPolicy) -> Self {
        let jitter = match policy.jitter() {
            proto::Jitter::Unspecified if policy.randomize_interval => Jitter::Full,
            proto::Jitter::Unspecified | proto::Jitter::None => Jitter::None,
            proto::Jitter::Full => Jitter::Full,
            proto::Jitter::Equal => Jitter::Equal,
            proto::Jitter::Decorrelated => Jitter::Decorrelated,
        };
        Self {
            retry_count: policy.retry_count,
            initial_interval_ms: policy.initial_interval_ms,
            max_interval_ms: policy.max_interval_ms,
            backoff_factor: policy.backoff_factor,
            jitter,
        }
    }
}

impl From<RetryPolicy> for proto::RetryPolicy {
    fn from(policy: RetryPolicy) -> Self {
        let jitter = match policy.jitter {
            Jitter::None => proto::Jitter::None,
            Jitter::Full => proto::Jitter::Full,
            Jitter::Equal => proto::Jitter::Equal,
            Jitter::Decorrelated => proto::Jitter::Decorrelated,
        };
        Self {
            retry_count: policy.retry_count,
            initial_interval_ms: policy.initial_interval_ms,
            max_interval_ms: policy.max_interval_ms,
            randomize_interval: false,
            backoff_factor: policy.backoff_factor,
            jitter: jitter.into(),
        }
    }
}

impl Limit {
    /// A limit as it is shown; none of a kind that this command does not know.
    pub(crate) fn of_wire(limit: proto::Limit) -> Option<Self> {
        match limit.limit? {
            proto::limit::Limit::Concurrency(limit) => Some(Self::Concurrency {
                key: limit.key,
                max_concurrency: limit.max_concurrency,
            }),
            proto::limit::Limit::RateLimit(_) | proto::limit::Limit::FloatingConcurrency(_) => None,
        }
    }

    /// As `--limit` takes it.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Concurrency {
                key,
                max_concurrency,
            } => format!("{key}={max_concurrency}"),
        }
    }
}

impl From<Limit> for proto::Limit {
    fn from(limit: Limit) -> Self {
        let limit = match limit {
            Limit::Concurrency {
                key,
                max_concurrency,
            } => proto::limit::Limit::Concurrency(proto::ConcurrencyLimit {
                key,
                max_concurrency,
            }),
        };
        Self { limit: Some(limit) }
    }
}

impl From<Retention> for proto::Retention {
    fn from(retention: Retention) -> Self {
        Self {
            succeeded_ms: retention.succeeded_ms,
            failed_ms: retention.failed_ms,
            cancelled_ms: retention.cancelled_ms,
        }
    }
}
