//! A job to take.

use bytes::Bytes;
use silo_core::shard::commands::enqueue::{Enqueue, MAX_CRASHES_DEFAULT};
use silo_core::table::tenant::Queue;
use silo_core::types::Invalid;
use silo_core::types::entropy::RequestId;
use silo_core::types::limit::{Limit, Slot};
use silo_core::types::name::{JobId, LimitKey, Priority, TaskGroup};
use silo_core::types::retention::Retention;
use silo_core::types::time::{Millis, Timestamp};

use crate::proto::{self, EnqueueRequest};
use crate::service::denial::Denial;
use crate::service::parse::{Parser, millis, retry};

impl Parser {
    /// Takes a job.
    ///
    /// # Errors
    /// [`Denial`] for the first field out of bounds, and for what is not there yet.
    pub fn enqueue(&self, request: EnqueueRequest) -> Result<Enqueue, Denial> {
        let id = match request.id.as_str() {
            "" => None,
            id => Some(JobId::parse(id)?),
        };
        let enqueue = Enqueue {
            tenant: self.tenancy.of_job(request.tenant.as_deref())?,
            id,
            request: request_id(&request.request_id)?,
            queue: Queue {
                group: TaskGroup::parse(&request.task_group)?,
                priority: Priority::parse(request.priority)?,
            },
            start_at: (request.start_at_ms > 0)
                .then(|| Timestamp::from_millis(request.start_at_ms)),
            retry: request
                .retry_policy
                .as_ref()
                .map(retry::policy)
                .transpose()?,
            max_crashes: request.max_crashes.unwrap_or(MAX_CRASHES_DEFAULT),
            lease: request.lease_ms.map(|ms| Millis::new(ms.into())),
            retention: retention(request.retention)?,
            limits: limits(request.limits)?,
            metadata: request.metadata,
            payload: self.data("payload", request.payload)?,
        };
        enqueue.check()?;
        Ok(enqueue)
    }
}

/// What must have room before a job runs. Nothing is silently ignored: what this server does not do
/// yet is refused.
pub(crate) fn limits(given: Vec<proto::Limit>) -> Result<Vec<Limit>, Denial> {
    let limit = |limit: proto::Limit| match limit.limit {
        Some(proto::limit::Limit::Concurrency(limit)) => Ok(Limit::Concurrency(Slot {
            key: LimitKey::parse(&limit.key)?,
            maximum: limit.max_concurrency,
        })),
        Some(proto::limit::Limit::RateLimit(_)) => Err(Denial::NotImplemented("Limit.rate_limit")),
        Some(proto::limit::Limit::FloatingConcurrency(_)) => {
            Err(Denial::NotImplemented("Limit.floating_concurrency"))
        }
        None => Err(Invalid::new("limits", "a limit of no kind", "one of its kinds").into()),
    };
    given.into_iter().map(limit).collect()
}

/// How long a job is kept; what is absent the server's default says.
fn retention(asked: Option<proto::Retention>) -> Result<Retention, Invalid> {
    let asked = asked.unwrap_or_default();
    let kept = |field, ms: Option<i64>| ms.map(|ms| millis(field, ms)).transpose();
    Ok(Retention {
        succeeded: kept("retention.succeeded_ms", asked.succeeded_ms)?,
        failed: kept("retention.failed_ms", asked.failed_ms)?,
        cancelled: kept("retention.cancelled_ms", asked.cancelled_ms)?,
    })
}

fn request_id(bytes: &Bytes) -> Result<Option<RequestId>, Invalid> {
    if bytes.is_empty() {
        return Ok(None);
    }
    match <[u8; 16]>::try_from(bytes.as_ref()) {
        Ok(id) => Ok(Some(RequestId(id))),
        Err(_) => {
            let value = format!("{} bytes long", bytes.len());
            Err(Invalid::new("request_id", value, "absent or 16 bytes"))
        }
    }
}
