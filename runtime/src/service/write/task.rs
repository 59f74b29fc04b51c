//! A leased task.

use silo_core::shard::reply::Task;
use uuid::Uuid;

use crate::proto;
use crate::service::denial::Denial;
use crate::service::parse::tenancy::Tenancy;
use crate::service::write::content;
use crate::service::write::job::limits;

/// A task of `shard`, as its worker gets it.
///
/// # Errors
/// [`Denial::AnswerTooLarge`] when its payload was not read.
pub fn task(task: Task, shard: Uuid, tenancy: Tenancy) -> Result<proto::Task, Denial> {
    Ok(proto::Task {
        id: task.id.encode(),
        job_id: task.id.job.as_str().to_owned(),
        tenant_id: tenancy.shown(&task.id.tenant),
        attempt_number: task.id.attempt,
        relative_attempt_number: task.relative_attempt,
        is_last_attempt: task.is_last_attempt,
        metadata: task.metadata,
        limits: limits(task.limits),
        payload: Some(content(task.payload)?),
        priority: task.queue.priority.get().into(),
        shard: shard.to_string(),
        task_group: task.queue.group.as_str().to_owned(),
        lease_ms: i64::try_from(task.lease.get()).unwrap_or(i64::MAX),
    })
}
