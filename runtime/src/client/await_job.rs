//! Waiting for a job's end: the server waits, not the caller.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tonic::Request;

use crate::client::Client;
use crate::client::channels::Stub;
use crate::client::error::Error;
use crate::client::time::later;
use crate::client::verdict::Repeat;
use crate::proto::{AwaitJobRequest, AwaitJobResponse, GetJobResultResponse, JobStatus};

/// A server that waited so long before it answered is well: the next pause is a short one.
const WAITED: Duration = Duration::from_secs(1);

/// What became of a job that was waited for.
#[derive(Clone, Debug, PartialEq)]
pub enum Awaited {
    /// It has ended, so.
    Ended(GetJobResultResponse),
    /// The wait is over, and it has not; it stands there.
    NotYet(JobStatus),
}

impl Client {
    /// How a job ends, as soon as it does, or where it stands after `wait` (cut to a year). Goes in
    /// as many calls as that takes, each as long as the client's deadline at most; servers that are
    /// away, restart, or hand the job over meanwhile are waited for as well.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is none of this id, or it is removed meanwhile; `Refused` with
    /// `FailedPrecondition` if it is quarantined. `Unavailable`, `OutcomeUnknown` or `Deadline` if
    /// no server told in the end: nothing was changed, so ask again.
    pub async fn await_job(&self, id: &str, wait: Duration) -> Result<Awaited, Error> {
        let until = later(Instant::now(), wait);
        let mut backoff = self.caller.backoff();
        loop {
            let asked = Instant::now();
            let told = self.await_once(id, until).await;
            let is_over = left(until).is_zero();
            match told {
                Ok(AwaitJobResponse {
                    result: Some(result),
                    ..
                }) => return Ok(Awaited::Ended(result)),
                Ok(told) if is_over => return Ok(Awaited::NotYet(told.status())),
                Err(error) if is_over || !may_pass(&error) => return Err(error),
                Ok(_) | Err(_) => {}
            }
            // A server with too many who wait answers at once, one that goes away fails at once.
            if asked.elapsed() >= WAITED {
                backoff.reset();
            }
            sleep(backoff.pause().min(left(until))).await;
        }
    }

    async fn await_once(&self, id: &str, until: Instant) -> Result<AwaitJobResponse, Error> {
        let request = AwaitJobRequest {
            shard: String::new(),
            id: id.to_owned(),
            tenant: self.tenant.clone(),
            wait_ms: 0,
        };
        let plan = self.for_tenant(Repeat::Safe);
        let send = |mut stub: Stub, mut request: Request<AwaitJobRequest>| async move {
            // Each try asks for what is left by then, not less: it would be told too early.
            let wait_ms = left(until).as_nanos().div_ceil(1_000_000);
            request.get_mut().wait_ms = u32::try_from(wait_ms).unwrap_or(u32::MAX);
            stub.await_job(request).await
        };
        Ok(self.caller.call(plan, request, send).await?.body)
    }
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

/// Whether the same question may be answered later. It changes nothing, so it may always be asked.
fn may_pass(error: &Error) -> bool {
    error.is_passing() || matches!(error, Error::OutcomeUnknown(_) | Error::Deadline)
}
