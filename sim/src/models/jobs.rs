//! The jobs of models.

use std::collections::BTreeMap;

use bytes::Bytes;
use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::Enqueue;
use silo_core::table::job::JobKey;
use silo_core::table::tenant::Queue;
use silo_core::types::name::{JobId, Priority};
use silo_core::types::retention::Retention;
use silo_core::types::retry::{Jitter, RetryPolicy};
use silo_core::types::tenant::Tenant;
use silo_core::types::time::Millis;

use crate::world::say;

/// A job's key by its number.
pub fn key(job: u8) -> JobKey {
    let job = JobId::parse(&format!("j{job}"));
    JobKey {
        tenant: Tenant::single(),
        job: job.unwrap_or_else(|_| silo_core::types::entropy::RequestId([0; 16]).job_id()),
    }
}

/// The request for a job: one retry, one crash.
pub fn enqueue(job: u8) -> Command {
    let key = key(job);
    Command::Enqueue(Box::new(Enqueue {
        tenant: key.tenant,
        id: Some(key.job),
        request: None,
        queue: Queue {
            group: say::Names::new(1, 1).group(0),
            priority: Priority::default(),
        },
        start_at: None,
        retry: Some(RetryPolicy {
            retry_count: 1,
            initial_interval: Millis::new(2_000),
            max_interval: Millis::ZERO,
            backoff_factor: 1.0,
            jitter: Jitter::None,
        }),
        max_crashes: 1,
        limits: Vec::new(),
        lease: None,
        retention: Retention::FOREVER,
        metadata: BTreeMap::new(),
        payload: Bytes::new(),
    }))
}
