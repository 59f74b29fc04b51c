//! Jobs with limits over the wire: taking them, all that may run, and their end.

use silo_runtime::proto::{EnqueueRequest, Task};

use crate::messages::{enqueue, lease, limits, report, success};
use crate::server::{Client, Trouble};

/// Takes a job that wants slots of these.
///
/// # Errors
/// If it is refused.
pub async fn wants(c: &mut Client, id: &str, of: &[(&str, u32)]) -> Result<(), Trouble> {
    let limits = limits(of);
    let job = EnqueueRequest {
        limits,
        ..enqueue(id)
    };
    c.enqueue(job).await?;
    Ok(())
}

/// All tasks that there are.
///
/// # Errors
/// If the call fails.
pub async fn take(c: &mut Client) -> Result<Vec<Task>, Trouble> {
    Ok(c.lease_tasks(lease(100)).await?.into_inner().tasks)
}

/// Reports success.
///
/// # Errors
/// If it is refused.
pub async fn done(c: &mut Client, task: &Task) -> Result<(), Trouble> {
    c.report_outcome(report(task, success())).await?;
    Ok(())
}

/// Which jobs these are.
#[must_use]
pub fn ids(tasks: &[Task]) -> Vec<&str> {
    tasks.iter().map(|task| task.job_id.as_str()).collect()
}
