//! Calls about one job that change it.

use crate::client::Client;
use crate::client::channels::Stub;
use crate::client::error::Error;
use crate::client::verdict::Repeat;
use crate::proto::{DeleteJobRequest, ExpediteJobRequest, RestartJobRequest};

impl Client {
    /// Removes a job that does not run, with all that it left. An unknown one is no error.
    ///
    /// # Errors
    ///
    /// `Refused` with `FailedPrecondition` while it runs. After `OutcomeUnknown` or `Deadline`
    /// delete it again.
    pub async fn delete(&self, id: &str) -> Result<(), Error> {
        let request = DeleteJobRequest {
            shard: String::new(),
            id: id.to_owned(),
            tenant: self.tenant.clone(),
        };
        let plan = self.for_tenant(Repeat::Safe);
        let send = |mut stub: Stub, request| async move { stub.delete_job(request).await };
        self.caller.call(plan, request, send).await?;
        Ok(())
    }

    /// Schedules a job again that failed or was cancelled, or gives one back that was quarantined.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is none of this id; `Refused` with `FailedPrecondition` if it is
    /// queued, runs, or succeeded; `OutcomeUnknown` if the connection broke.
    pub async fn restart(&self, id: &str) -> Result<(), Error> {
        let request = RestartJobRequest {
            shard: String::new(),
            id: id.to_owned(),
            tenant: self.tenant.clone(),
        };
        let plan = self.for_tenant(Repeat::Unsafe);
        let send = |mut stub: Stub, request| async move { stub.restart_job(request).await };
        self.caller.call(plan, request, send).await?;
        Ok(())
    }

    /// Makes a job due now that waits for its start or for a back-off.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is none of this id; `Refused` with `FailedPrecondition` if it is ready
    /// already, runs, or has ended; `OutcomeUnknown` if the connection broke.
    pub async fn expedite(&self, id: &str) -> Result<(), Error> {
        let request = ExpediteJobRequest {
            shard: String::new(),
            id: id.to_owned(),
            tenant: self.tenant.clone(),
        };
        let plan = self.for_tenant(Repeat::Unsafe);
        let send = |mut stub: Stub, request| async move { stub.expedite_job(request).await };
        self.caller.call(plan, request, send).await?;
        Ok(())
    }
}
