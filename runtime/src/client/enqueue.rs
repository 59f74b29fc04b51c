//! What a job to enqueue may ask for.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::client::payload;
use crate::proto::{EnqueueRequest, Limit, Retention, RetryPolicy};

/// A job to enqueue.
///
/// `Enqueue { priority: 10, ..Enqueue::new("mail", payload) }`
#[derive(Clone, Debug, Default)]
pub struct Enqueue {
    /// Unique per tenant while the job exists; `None` lets the server make one.
    pub id: Option<String>,
    /// Which workers take the job: 1 to 64 characters.
    pub task_group: String,
    /// MessagePack for the worker. Empty bytes are sent as nil.
    pub payload: Bytes,
    /// 0 (first) to 99 (last).
    pub priority: u32,
    /// When it may start, in ms since the epoch; `None` or past is now.
    pub start_at_ms: Option<i64>,
    /// How often it may fail; `None`: a failure is final.
    pub retry_policy: Option<RetryPolicy>,
    /// What must have room before it runs, at most 16.
    pub limits: Vec<Limit>,
    /// Handed to the worker; at most 16 pairs.
    pub metadata: BTreeMap<String, String>,
    /// Lost leases in a row that it survives; `None`: as the server says.
    pub max_crashes: Option<u32>,
    /// How long its leases are; `None`: as the worker or the server says.
    pub lease_ms: Option<u32>,
    /// How long it stays after its end; `None`: as the server says.
    pub retention: Option<Retention>,
    /// Names this very wish. Enqueuing again with the same one and the same content gives the same
    /// job, also from another process. `None`: a random one, kept over the retries of the call.
    pub request_id: Option<[u8; 16]>,
}

impl Enqueue {
    /// A job for a task group, with defaults for all else.
    pub fn new(task_group: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        Self {
            task_group: task_group.into(),
            payload: payload.into(),
            ..Self::default()
        }
    }

    /// The request; its shard is filled in when it is known where it goes.
    pub(crate) fn into_request(
        self,
        tenant: Option<String>,
        request_id: [u8; 16],
    ) -> EnqueueRequest {
        EnqueueRequest {
            shard: String::new(),
            id: self.id.unwrap_or_default(),
            priority: self.priority,
            start_at_ms: self.start_at_ms.unwrap_or_default(),
            retry_policy: self.retry_policy,
            payload: Some(payload::pack(self.payload)),
            limits: self.limits,
            tenant,
            metadata: self.metadata,
            task_group: self.task_group,
            request_id: Bytes::copy_from_slice(&self.request_id.unwrap_or(request_id)),
            max_crashes: self.max_crashes,
            lease_ms: self.lease_ms,
            retention: self.retention,
        }
    }
}
