//! Tasks that ask for the maximum of a floating limit.

use std::sync::Arc;

use tokio::time::Instant;

use crate::client::task::RefreshOutcome;
use crate::proto::RefreshFloatingLimitTask;
use crate::worker::lease::Lease;
use crate::worker::run::Shared;

/// Says that this worker cannot tell; the limit keeps its last maximum and asks again later. One
/// report is enough: should it be lost, the task's lease expires.
pub(crate) async fn decline(shared: Arc<Shared>, task: RefreshFloatingLimitTask, sent: Instant) {
    let lease = Lease::new(
        (&task).into(),
        Arc::clone(&shared.worker_id),
        task.lease_ms,
        sent,
    );
    let outcome = RefreshOutcome::Failure {
        code: "NOT_SUPPORTED".to_owned(),
        message: "this worker does not refresh floating limits".to_owned(),
    };
    let client = shared.client.with_deadline(lease.length);
    if let Err(error) = client.report_refresh(&lease.task, outcome).await {
        tracing::warn!(task = %lease.task.id, %error, "a refresh could not be declined");
    }
}
