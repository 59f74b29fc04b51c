//! Requests with little to say, to be changed where a test wants it; and what to read in a refusal.

use silo_runtime::proto::report_outcome_request::Outcome;
use silo_runtime::proto::serialized_bytes::Encoding;
use silo_runtime::proto::{
    CancelJobRequest, EnqueueRequest, GetJobRequest, GetJobResultRequest, HeartbeatRequest,
    LeaseTaskRequest, LeaseTasksRequest, ReportOutcomeRequest, SerializedBytes, Task,
};
use tonic::Status;
use tonic_types::StatusExt as _;

/// The task group of these requests.
pub const GROUP: &str = "group";
/// The worker of these requests.
pub const WORKER: &str = "worker";
/// A payload: MessagePack for `{"n": 1}`.
pub const PAYLOAD: &[u8] = &[0x81, 0xa1, b'n', 0x01];
/// MessagePack nil.
pub const NIL: &[u8] = &[0xc0];

/// Data.
#[must_use]
pub fn data(bytes: &[u8]) -> SerializedBytes {
    let encoding = Some(Encoding::Msgpack(bytes.to_vec().into()));
    SerializedBytes { encoding }
}

/// The bytes of data; none when there are none.
#[must_use]
pub fn bytes(data: Option<&SerializedBytes>) -> &[u8] {
    match data.and_then(|data| data.encoding.as_ref()) {
        Some(Encoding::Msgpack(bytes)) => bytes,
        None => &[],
    }
}

/// A job with this id.
#[must_use]
pub fn enqueue(id: &str) -> EnqueueRequest {
    EnqueueRequest {
        id: id.to_owned(),
        payload: Some(data(PAYLOAD)),
        task_group: GROUP.to_owned(),
        ..EnqueueRequest::default()
    }
}

/// Asks for a job, with its attempts.
#[must_use]
pub fn get(id: &str) -> GetJobRequest {
    GetJobRequest {
        id: id.to_owned(),
        include_attempts: true,
        ..GetJobRequest::default()
    }
}

/// Asks for a job's result.
#[must_use]
pub fn result(id: &str) -> GetJobResultRequest {
    GetJobResultRequest {
        id: id.to_owned(),
        ..GetJobResultRequest::default()
    }
}

/// Cancels a job.
#[must_use]
pub fn cancel(id: &str) -> CancelJobRequest {
    CancelJobRequest {
        id: id.to_owned(),
        ..CancelJobRequest::default()
    }
}

/// Asks for tasks.
#[must_use]
pub fn lease(max_tasks: u32) -> LeaseTasksRequest {
    LeaseTasksRequest {
        worker_id: WORKER.to_owned(),
        task_group: GROUP.to_owned(),
        max_tasks,
        ..LeaseTasksRequest::default()
    }
}

/// Asks for one given job.
#[must_use]
pub fn lease_one(id: &str) -> LeaseTaskRequest {
    LeaseTaskRequest {
        id: id.to_owned(),
        worker_id: WORKER.to_owned(),
        ..LeaseTaskRequest::default()
    }
}

/// Keeps a lease.
#[must_use]
pub fn heartbeat(task: &Task) -> HeartbeatRequest {
    HeartbeatRequest {
        shard: task.shard.clone(),
        worker_id: WORKER.to_owned(),
        task_id: task.id.clone(),
        tenant_id: task.tenant_id.clone(),
    }
}

/// Ends a lease.
#[must_use]
pub fn report(task: &Task, outcome: Outcome) -> ReportOutcomeRequest {
    ReportOutcomeRequest {
        shard: task.shard.clone(),
        task_id: task.id.clone(),
        outcome: Some(outcome),
        tenant_id: task.tenant_id.clone(),
    }
}

/// The machine's reason of a refusal.
#[must_use]
pub fn reason(status: &Status) -> String {
    let info = status.get_details_error_info();
    info.map_or_else(String::new, |info| info.reason)
}
