//! Jobs that come from another system, with what they have behind them.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::client::bulk::lacking;
use crate::client::channels::Stub;
use crate::client::error::Error;
use crate::client::verdict::Repeat;
use crate::client::{Client, payload};
use crate::proto::{
    ImportAttempt, ImportJobRequest, ImportJobResult, ImportJobsRequest, JobStatus, Limit,
    RetryPolicy,
};

/// A job to import.
///
/// `Import { attempts, ..Import::new("id", "mail", payload) }`
#[derive(Clone, Debug, Default)]
pub struct Import {
    /// Its id.
    pub id: String,
    /// Which workers take the job: 1 to 64 characters.
    pub task_group: String,
    /// MessagePack for the worker. Empty bytes are sent as nil.
    pub payload: Bytes,
    /// 0 (first) to 99 (last).
    pub priority: u32,
    /// When it was first taken, in ms since the epoch; `None`: now.
    pub enqueue_time_ms: Option<i64>,
    /// When it may start, if it is still to run, in ms since the epoch; `None`: now, or after the
    /// back-off of its last failure.
    pub start_at_ms: Option<i64>,
    /// How often it may fail; `None`: a failure is final.
    pub retry_policy: Option<RetryPolicy>,
    /// What must have room before it runs, at most 16.
    pub limits: Vec<Limit>,
    /// Handed to the worker; at most 16 pairs.
    pub metadata: BTreeMap<String, String>,
    /// Its attempts, at most 1,000, all ended, and all but the last failed. For a job that is
    /// there they begin with those that it has had.
    pub attempts: Vec<ImportAttempt>,
}

impl Import {
    /// A job without a history, with defaults for all else.
    pub fn new(
        id: impl Into<String>,
        task_group: impl Into<String>,
        payload: impl Into<Bytes>,
    ) -> Self {
        Self {
            id: id.into(),
            task_group: task_group.into(),
            payload: payload.into(),
            ..Self::default()
        }
    }

    fn into_request(self, tenant: Option<String>) -> ImportJobRequest {
        ImportJobRequest {
            shard: String::new(),
            id: self.id,
            priority: self.priority,
            enqueue_time_ms: self.enqueue_time_ms.unwrap_or_default(),
            start_at_ms: self.start_at_ms.unwrap_or_default(),
            retry_policy: self.retry_policy,
            payload: Some(payload::pack(self.payload)),
            limits: self.limits,
            tenant,
            metadata: self.metadata,
            task_group: self.task_group,
            attempts: self.attempts,
        }
    }
}

impl Client {
    /// Imports jobs of this client's tenant, at most 1,000. Answers for each, in order, where its
    /// history left it, or in a sentence why it was not taken.
    ///
    /// # Errors
    ///
    /// `Refused` with `FailedPrecondition` while one of them runs: nothing was imported then.
    /// `OutcomeUnknown` if the connection broke: import again, and what was taken is told to be
    /// there already.
    pub async fn import(&self, jobs: Vec<Import>) -> Result<Vec<Result<JobStatus, String>>, Error> {
        let count = jobs.len();
        let jobs = jobs.into_iter();
        let jobs = jobs.map(|job| job.into_request(self.tenant.clone()));
        let request = ImportJobsRequest {
            jobs: jobs.collect(),
        };
        let plan = self.for_tenant(Repeat::Unsafe);
        let send = |mut stub: Stub, request| async move { stub.import_jobs(request).await };
        let told = self.caller.call(plan, request, send).await?.body.results;
        if told.len() == count {
            Ok(told.into_iter().map(outcome).collect())
        } else {
            Err(lacking())
        }
    }
}

fn outcome(result: ImportJobResult) -> Result<JobStatus, String> {
    if result.success {
        Ok(result.status())
    } else {
        Err(result.error.unwrap_or_default())
    }
}
