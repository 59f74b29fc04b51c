//! What workers say: leasing, extending leases, reporting.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::client::call::{Answer, Place};
use crate::client::channels::Stub;
use crate::client::error::Error;
use crate::client::routes::tenant_hash;
use crate::client::time::later;
use crate::client::verdict::Repeat;
use crate::client::{Client, NO_TENANT, payload};
use crate::proto::report_outcome_request::Outcome as WireOutcome;
use crate::proto::report_refresh_outcome_request::Outcome as WireRefreshOutcome;
use crate::proto::{
    Cancelled, Failure, HeartbeatRequest, HeartbeatResponse, LeaseTasksRequest, LeaseTasksResponse,
    RefreshFailure, RefreshFloatingLimitTask, RefreshSuccess, Release, ReportOutcomeRequest,
    ReportRefreshOutcomeRequest, Snooze, Task,
};

/// Names a leased task: all that is needed to report it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TaskRef {
    /// The task's id.
    pub id: Arc<str>,
    /// The shard that it was leased from.
    pub shard: Arc<str>,
    /// Its tenant; `None` where tenancy is off.
    pub tenant: Option<Arc<str>>,
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, with this MessagePack result.
    Success(Bytes),
    /// It failed.
    Failure {
        /// A short name of the failure, for programs.
        code: String,
        /// More about it, as MessagePack.
        data: Bytes,
        /// What follows.
        retry: Retry,
    },
    /// It stopped because cancellation was asked for.
    Cancelled,
    /// It was not run; the job goes back to its place.
    Release,
    /// It is not the time for it: the job comes back after this long. No retry is used up.
    Snooze(Duration),
}

/// What follows a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retry {
    /// What the job's retry policy says.
    #[default]
    AsPolicy,
    /// What the policy says, but after this long: not after its own delay.
    After(Duration),
    /// Nothing: the failure is final whatever the policy says.
    Never,
}

impl Outcome {
    /// A failure after which the job's retry policy says what follows.
    pub fn failure(code: impl Into<String>, data: impl Into<Bytes>) -> Self {
        let (code, data, retry) = (code.into(), data.into(), Retry::AsPolicy);
        Self::Failure { code, data, retry }
    }

    pub(crate) fn into_wire(self) -> WireOutcome {
        match self {
            Self::Success(result) => WireOutcome::Success(payload::pack(result)),
            Self::Failure { code, data, retry } => WireOutcome::Failure(Failure {
                code,
                data: Some(payload::pack(data)),
                not_retryable: retry == Retry::Never,
                retry_after_ms: match retry {
                    Retry::After(pause) => Some(millis(pause)),
                    Retry::AsPolicy | Retry::Never => None,
                },
            }),
            Self::Cancelled => WireOutcome::Cancelled(Cancelled {}),
            Self::Release => WireOutcome::Release(Release {}),
            Self::Snooze(pause) => WireOutcome::Snooze(Snooze {
                delay_ms: millis(pause),
            }),
        }
    }
}

/// The longest that the wire can say, for what is longer.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// What a floating limit's maximum was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefreshOutcome {
    /// This many may run at once; 0 pauses.
    Maximum(u32),
    /// It could not be found out; the last one stays.
    Failure {
        /// A short name of the failure, for programs.
        code: String,
        /// A sentence for people.
        message: String,
    },
}

/// Tasks leased, and when the lease that they hold began at the latest.
#[derive(Clone, Debug)]
pub struct Leased {
    /// What was leased.
    pub response: LeaseTasksResponse,
    /// When the request was sent, and how long the server waited for work after that: the leases
    /// began no earlier.
    pub sent: Instant,
}

/// A lease extended.
#[derive(Clone, Copy, Debug)]
pub struct Extended {
    /// Whether cancellation was asked for.
    pub response: HeartbeatResponse,
    /// When the request was sent: the lease was extended no earlier.
    pub sent: Instant,
}

impl Client {
    /// How many nodes serve shards, as far as is known; each is asked for tasks in turn.
    pub fn nodes(&self) -> usize {
        self.caller.routes.now().nodes.len()
    }

    /// Leases tasks of one node: of the next one, with every call. The request's shard is ignored.
    ///
    /// # Errors
    ///
    /// `OutcomeUnknown` if the connection broke: tasks may be leased that nobody runs until their
    /// leases expire.
    pub async fn lease_tasks(&self, request: LeaseTasksRequest) -> Result<Leased, Error> {
        let plan = self.plan(Place::EachNode, Repeat::Unsafe);
        let send = |mut stub: Stub, request| async move { stub.lease_tasks(request).await };
        let Answer { body, sent } = self.caller.call(plan, request, send).await?;
        // What the server spent waiting for work is no part of the leases.
        let waited = Duration::from_millis(body.waited_ms.into());
        Ok(Leased {
            response: body,
            sent: later(sent, waited).min(Instant::now()),
        })
    }

    /// Extends a task's lease.
    ///
    /// # Errors
    ///
    /// [`Error::is_lease_lost`] tells that the task must be stopped.
    pub async fn heartbeat(&self, task: &TaskRef, worker_id: &str) -> Result<Extended, Error> {
        let request = task.heartbeat(worker_id);
        let plan = self.plan(task.place(), Repeat::Safe);
        let send = |mut stub: Stub, request| async move { stub.heartbeat(request).await };
        let Answer { body, sent } = self.caller.call(plan, request, send).await?;
        Ok(Extended {
            response: body,
            sent,
        })
    }

    /// Ends a task. The same outcome may be reported again.
    ///
    /// # Errors
    ///
    /// `NotFound` if the lease is over, so that the outcome counts for nothing. After
    /// `Unavailable`, `OutcomeUnknown` or `Deadline` report again.
    pub async fn report(&self, task: &TaskRef, outcome: Outcome) -> Result<(), Error> {
        let request = task.report(outcome);
        let plan = self.plan(task.place(), Repeat::Safe);
        let send = |mut stub: Stub, request| async move { stub.report_outcome(request).await };
        self.caller.call(plan, request, send).await?;
        Ok(())
    }

    /// Gives a task back unrun; it costs no retry.
    ///
    /// # Errors
    ///
    /// As [`Client::report`].
    pub async fn release(&self, task: &TaskRef) -> Result<(), Error> {
        self.report(task, Outcome::Release).await
    }

    /// Ends a task that asked for the maximum of a floating limit.
    ///
    /// # Errors
    ///
    /// As [`Client::report`].
    pub async fn report_refresh(
        &self,
        task: &TaskRef,
        outcome: RefreshOutcome,
    ) -> Result<(), Error> {
        let outcome = match outcome {
            RefreshOutcome::Maximum(new_max_concurrency) => {
                WireRefreshOutcome::Success(RefreshSuccess {
                    new_max_concurrency,
                })
            }
            RefreshOutcome::Failure { code, message } => {
                WireRefreshOutcome::Failure(RefreshFailure { code, message })
            }
        };
        let request = ReportRefreshOutcomeRequest {
            shard: task.shard.to_string(),
            task_id: task.id.to_string(),
            tenant_id: task.tenant.as_deref().map(str::to_owned),
            outcome: Some(outcome),
        };
        let plan = self.plan(task.place(), Repeat::Safe);
        let send =
            |mut stub: Stub, request| async move { stub.report_refresh_outcome(request).await };
        self.caller.call(plan, request, send).await?;
        Ok(())
    }
}

impl TaskRef {
    pub(crate) fn heartbeat(&self, worker_id: &str) -> HeartbeatRequest {
        HeartbeatRequest {
            shard: self.shard.to_string(),
            worker_id: worker_id.to_owned(),
            task_id: self.id.to_string(),
            tenant_id: self.tenant.as_deref().map(str::to_owned),
        }
    }

    pub(crate) fn report(&self, outcome: Outcome) -> ReportOutcomeRequest {
        ReportOutcomeRequest {
            shard: self.shard.to_string(),
            task_id: self.id.to_string(),
            tenant_id: self.tenant.as_deref().map(str::to_owned),
            outcome: Some(outcome.into_wire()),
        }
    }

    pub(crate) fn place(&self) -> Place {
        let hash = tenant_hash(self.tenant.as_deref().unwrap_or(NO_TENANT));
        Place::Shard {
            id: self.shard.to_string(),
            hash,
        }
    }
}

impl From<&Task> for TaskRef {
    fn from(task: &Task) -> Self {
        Self {
            id: task.id.as_str().into(),
            shard: task.shard.as_str().into(),
            tenant: task.tenant_id.as_deref().map(Into::into),
        }
    }
}

impl From<&RefreshFloatingLimitTask> for TaskRef {
    fn from(task: &RefreshFloatingLimitTask) -> Self {
        Self {
            id: task.id.as_str().into(),
            shard: task.shard.as_str().into(),
            tenant: task.tenant_id.as_deref().map(Into::into),
        }
    }
}
