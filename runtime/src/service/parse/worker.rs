//! What workers say: leases, heartbeats, outcomes.

use std::time::Duration;

use silo_core::shard::commands::enqueue::check_lease;
use silo_core::shard::commands::heartbeat::Heartbeat;
use silo_core::shard::commands::lease::Grantee;
use silo_core::shard::commands::lease_job::LeaseJob;
use silo_core::shard::commands::report::{Outcome, Report};
use silo_core::types::Invalid;
use silo_core::types::name::{TaskGroup, WorkerId};
use silo_core::types::time::Millis;
use silo_core::types::weight::Weights;

use crate::proto::report_outcome_request::Outcome as ProtoOutcome;
use crate::proto::{
    Failure, HeartbeatRequest, LeaseTaskRequest, LeaseTasksRequest, ReportOutcomeRequest,
};
use crate::service::denial::Denial;
use crate::service::parse::{Parser, millis};

/// A request for tasks, of whichever shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseTasks {
    /// From which task group.
    pub group: TaskGroup,
    /// For whom, and for how long.
    pub grantee: Grantee,
    /// At most so many.
    pub tasks_max: u32,
    /// At most so many bytes of payload and metadata; none: as many as fit into a message.
    pub bytes_max: Option<u64>,
    /// Of tenants of which none was set.
    pub weights: Weights,
    /// How long to wait for the first task.
    pub wait: Duration,
}

impl Parser {
    /// Takes a request for tasks.
    ///
    /// # Errors
    /// [`Denial`] for the first field out of bounds.
    pub fn lease_tasks(&self, request: &LeaseTasksRequest) -> Result<LeaseTasks, Denial> {
        let lease = request.lease_ms.map(|ms| Millis::new(ms.into()));
        lease.map_or(Ok(()), check_lease)?;
        Ok(LeaseTasks {
            group: TaskGroup::parse(&request.task_group)?,
            grantee: Grantee {
                worker: WorkerId::parse(&request.worker_id)?,
                lease,
                lease_default: self.lease_default,
            },
            tasks_max: request.max_tasks,
            bytes_max: (request.max_bytes > 0).then_some(request.max_bytes),
            weights: self.weights.clone(),
            wait: Duration::from_millis(request.wait_ms.into()),
        })
    }

    /// Takes a request for one given job.
    ///
    /// # Errors
    /// [`Denial`] for the first field out of bounds.
    pub fn lease_task(&self, request: &LeaseTaskRequest) -> Result<LeaseJob, Denial> {
        Ok(LeaseJob {
            key: self.job(request.tenant.as_deref(), &request.id)?,
            grantee: Grantee {
                worker: WorkerId::parse(&request.worker_id)?,
                lease: None,
                lease_default: self.lease_default,
            },
        })
    }

    /// Takes a heartbeat.
    ///
    /// # Errors
    /// [`Denial`] for a worker id out of bounds or a task id that names no lease.
    pub fn heartbeat(&self, request: &HeartbeatRequest) -> Result<Heartbeat, Denial> {
        let worker = WorkerId::parse(&request.worker_id)?;
        let given = request.tenant_id.as_deref();
        let task = self.tenancy.of_task(&request.task_id, given)?;
        Ok(Heartbeat { task, worker })
    }

    /// Takes an outcome.
    ///
    /// # Errors
    /// [`Denial`] for the first field out of bounds or a task id that names no lease.
    pub fn report(&self, request: ReportOutcomeRequest) -> Result<Report, Denial> {
        let outcome = self.outcome(request.outcome)?;
        let given = request.tenant_id.as_deref();
        let task = self.tenancy.of_task(&request.task_id, given)?;
        let report = Report { task, outcome };
        report.check()?;
        Ok(report)
    }

    fn outcome(&self, outcome: Option<ProtoOutcome>) -> Result<Outcome, Denial> {
        match outcome {
            Some(ProtoOutcome::Success(data)) => Ok(Outcome::Success {
                data: self.data("success", Some(data))?,
            }),
            Some(ProtoOutcome::Failure(failure)) => Ok(self.failure(failure)?),
            Some(ProtoOutcome::Cancelled(_)) => Ok(Outcome::Cancelled),
            Some(ProtoOutcome::Release(_)) => Ok(Outcome::Release),
            Some(ProtoOutcome::Snooze(snooze)) => Ok(Outcome::Snooze {
                delay: millis("snooze.delay_ms", snooze.delay_ms)?,
            }),
            None => {
                let bound = "one of success, failure, cancelled, snooze, release";
                Err(Invalid::new("outcome", "absent", bound).into())
            }
        }
    }

    fn failure(&self, failure: Failure) -> Result<Outcome, Invalid> {
        let field = "failure.retry_after_ms";
        let retry_after = failure
            .retry_after_ms
            .map(|ms| millis(field, ms))
            .transpose()?;
        if failure.not_retryable
            && let Some(after) = retry_after
        {
            let bound = "absent when the failure is not_retryable";
            return Err(Invalid::new(field, after.get(), bound));
        }
        Ok(Outcome::Failure {
            code: failure.code,
            data: self.data("failure.data", failure.data)?,
            retryable: !failure.not_retryable,
            retry_after,
        })
    }
}
