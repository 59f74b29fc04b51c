//! A job as it stands.

use silo_core::shard::reply::{AttemptView, JobView};
use silo_core::table::attempt::Ending;
use silo_core::table::job::JobKey;
use silo_core::table::state::{Ended, Position, Status};
use silo_core::types::limit::Limit;
use silo_core::types::retry::{Jitter, RetryPolicy};
use silo_core::types::task::TaskId;
use silo_core::types::time::Millis;

use crate::proto::{self, AttemptStatus, GetJobResponse, JobAttempt, JobStatus, SerializedBytes};
use crate::service::denial::Denial;
use crate::service::write::{content, nil};

/// A job, with its attempts if they were asked for.
///
/// # Errors
/// [`Denial::AnswerTooLarge`] when its data was not read.
pub fn job(view: JobView, include_attempts: bool) -> Result<GetJobResponse, Denial> {
    let JobView {
        key,
        job,
        state,
        payload,
        attempts,
    } = view;
    let (status, next, end_code) = match &state.position {
        Position::Due(place) | Position::Ready(place) => {
            let next = Some(place.at.as_millis());
            (JobStatus::Scheduled, next, None)
        }
        Position::Parked { place, .. } => {
            let next = Some(place.place().at.as_millis());
            (JobStatus::Scheduled, next, None)
        }
        Position::Leased(_) => (JobStatus::Running, None, None),
        Position::Ended { status, code, .. } => {
            let code = code.map(|code| code.as_str().to_owned());
            (ended(*status), None, code)
        }
        Position::Quarantined { .. } => return Err(Denial::Bug("a quarantined job was shown")),
    };
    let attempts: Vec<JobAttempt> = attempts
        .into_iter()
        .map(|view| attempt(&key, view))
        .collect::<Result<_, _>>()?;
    let result = match status {
        JobStatus::Succeeded => attempts.last().and_then(|last| last.result.clone()),
        JobStatus::Scheduled | JobStatus::Running | JobStatus::Failed | JobStatus::Cancelled => {
            None
        }
    };
    Ok(GetJobResponse {
        id: key.job.as_str().to_owned(),
        priority: job.queue.priority.get().into(),
        enqueue_time_ms: job.enqueued_at.as_millis(),
        payload: Some(content(payload)?),
        retry_policy: job.retry.as_ref().map(retry),
        limits: limits(job.limits),
        metadata: job.metadata,
        status: status.into(),
        status_changed_at_ms: state.changed_at.as_millis(),
        attempts: if include_attempts {
            attempts
        } else {
            Vec::new()
        },
        next_attempt_starts_after_ms: next,
        task_group: state.queue.group.as_str().to_owned(),
        result,
        retries_used: state.retries_used,
        crashes: state.crashes,
        end_code,
    })
}

/// What must have room before a job runs, as its caller gave it.
pub(crate) fn limits(limits: Vec<Limit>) -> Vec<proto::Limit> {
    let limit = |Limit::Concurrency(slot)| proto::Limit {
        limit: Some(proto::limit::Limit::Concurrency(proto::ConcurrencyLimit {
            key: slot.key.as_str().to_owned(),
            max_concurrency: slot.maximum,
        })),
    };
    limits.into_iter().map(limit).collect()
}

/// A final status.
pub(crate) const fn ended(ended: Ended) -> JobStatus {
    match ended {
        Ended::Succeeded => JobStatus::Succeeded,
        Ended::Failed => JobStatus::Failed,
        Ended::Cancelled => JobStatus::Cancelled,
    }
}

/// A status as the wire names it; a job that was set aside has none there.
pub(crate) const fn status(status: Status) -> Option<JobStatus> {
    match status {
        Status::Scheduled => Some(JobStatus::Scheduled),
        Status::Running => Some(JobStatus::Running),
        Status::Succeeded => Some(JobStatus::Succeeded),
        Status::Failed => Some(JobStatus::Failed),
        Status::Cancelled => Some(JobStatus::Cancelled),
        Status::Quarantined => None,
    }
}

fn attempt(key: &JobKey, view: AttemptView) -> Result<JobAttempt, Denial> {
    let AttemptView { attempt, data } = view;
    let task = TaskId {
        tenant: key.tenant.clone(),
        job: key.job.clone(),
        attempt: attempt.number,
        nonce: attempt.nonce,
    };
    let mut data: Option<SerializedBytes> = data.map(content).transpose()?;
    let mut shown = JobAttempt {
        job_id: key.job.as_str().to_owned(),
        attempt_number: attempt.number,
        task_id: task.encode(),
        status: AttemptStatus::Running.into(),
        started_at_ms: attempt.started_at.as_millis(),
        finished_at_ms: attempt.end.as_ref().map(|end| end.at.as_millis()),
        result: None,
        error_code: None,
        error_data: None,
    };
    let Some(end) = attempt.end else {
        return Ok(shown);
    };
    let status = match end.how {
        Ending::Succeeded(_) => {
            shown.result = data.take();
            AttemptStatus::Succeeded
        }
        Ending::Failed { code, .. } => {
            shown.error_code = Some(code);
            shown.error_data = data.take();
            AttemptStatus::Failed
        }
        Ending::Cancelled => AttemptStatus::Cancelled,
        Ending::Crashed => {
            shown.error_code = Some(Ending::CRASHED_CODE.to_owned());
            shown.error_data = Some(nil());
            AttemptStatus::Failed
        }
    };
    shown.status = status.into();
    Ok(shown)
}

fn retry(policy: &RetryPolicy) -> proto::RetryPolicy {
    let jitter = match policy.jitter {
        Jitter::None => proto::Jitter::None,
        Jitter::Full => proto::Jitter::Full,
        Jitter::Equal => proto::Jitter::Equal,
        Jitter::Decorrelated => proto::Jitter::Decorrelated,
    };
    let millis = |interval: Millis| i64::try_from(interval.get()).unwrap_or(i64::MAX);
    proto::RetryPolicy {
        retry_count: policy.retry_count,
        initial_interval_ms: millis(policy.initial_interval),
        max_interval_ms: millis(policy.max_interval),
        randomize_interval: policy.jitter != Jitter::None,
        backoff_factor: policy.backoff_factor,
        jitter: jitter.into(),
    }
}
