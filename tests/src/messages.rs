//! Requests with little to say, to be changed where a test wants it; and what to read in a refusal.

use silo_runtime::proto::report_outcome_request::Outcome;
use silo_runtime::proto::serialized_bytes::Encoding;
use silo_runtime::proto::{
    CancelJobRequest, ConcurrencyLimit, DeleteJobRequest, EnqueueRequest, ExpediteJobRequest,
    Failure, GetJobRequest, GetJobResultRequest, HeartbeatRequest, ImportJobRequest,
    LeaseTaskRequest, LeaseTasksRequest, Limit, ReportOutcomeRequest, RestartJobRequest,
    SerializedBytes, Task, limit,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::server::Trouble;

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

/// Limits of a job: keys, and how many slots each has.
#[must_use]
pub fn limits(limits: &[(&str, u32)]) -> Vec<Limit> {
    let limit = |(key, max_concurrency): &(&str, u32)| Limit {
        limit: Some(limit::Limit::Concurrency(ConcurrencyLimit {
            key: (*key).to_owned(),
            max_concurrency: *max_concurrency,
        })),
    };
    limits.iter().map(limit).collect()
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

/// Removes a job.
#[must_use]
pub fn delete(id: &str) -> DeleteJobRequest {
    DeleteJobRequest {
        id: id.to_owned(),
        ..DeleteJobRequest::default()
    }
}

/// Runs a job again.
#[must_use]
pub fn restart(id: &str) -> RestartJobRequest {
    RestartJobRequest {
        id: id.to_owned(),
        ..RestartJobRequest::default()
    }
}

/// Makes a job due now.
#[must_use]
pub fn expedite(id: &str) -> ExpediteJobRequest {
    ExpediteJobRequest {
        id: id.to_owned(),
        ..ExpediteJobRequest::default()
    }
}

/// A job to import, without a history.
#[must_use]
pub fn import(id: &str) -> ImportJobRequest {
    ImportJobRequest {
        id: id.to_owned(),
        payload: Some(data(PAYLOAD)),
        task_group: GROUP.to_owned(),
        ..ImportJobRequest::default()
    }
}

/// A success.
#[must_use]
pub fn success() -> Outcome {
    Outcome::Success(data(NIL))
}

/// A failure with this code.
#[must_use]
pub fn failure(code: &str) -> Outcome {
    Outcome::Failure(Failure {
        code: code.to_owned(),
        data: Some(data(PAYLOAD)),
        ..Failure::default()
    })
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

/// What the machine's reason of a refusal carries under this name; empty when there is none.
#[must_use]
pub fn reason_id(status: &Status, name: &str) -> String {
    let info = status.get_details_error_info();
    let id = info.and_then(|info| info.metadata.get(name).cloned());
    id.unwrap_or_default()
}

/// Checks that a call was refused with this code, reason and text.
///
/// # Errors
/// When it was not.
pub fn refused<T>(got: Result<T, Status>, want: (Code, &str, &str)) -> Result<Status, Trouble> {
    let Err(status) = got else {
        return Err(format!("taken, not refused with {want:?}").into());
    };
    let why = reason(&status);
    let said = (status.code(), why.as_str(), status.message());
    let domain = status.get_details_error_info().map(|info| info.domain);
    if said == want && domain.as_deref() == Some("silo") {
        Ok(status)
    } else {
        Err(format!("{said:?} of {domain:?}, not {want:?}").into())
    }
}
