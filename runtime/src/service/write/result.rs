//! How a job ended.

use silo_core::shard::reply::ResultView;
use silo_core::table::attempt::Ending;
use silo_core::table::state::{Ended, Position, Status};

use crate::proto::get_job_result_response::Result as Outcome;
use crate::proto::{AwaitJobResponse, GetJobResultResponse, JobCancelled, JobFailure};
use crate::service::denial::Denial;
use crate::service::write::job::{self, ended};
use crate::service::write::{content, nil};

/// The result of a job that is over.
///
/// # Errors
/// [`Denial::AnswerTooLarge`] when its data was not read.
pub fn result(view: ResultView) -> Result<GetJobResultResponse, Denial> {
    let ResultView { key, state, data } = view;
    let Position::Ended {
        status, at, code, ..
    } = state.position
    else {
        return Err(Denial::Bug("the result of a job that is not over"));
    };
    let data = data.map(content).transpose()?;
    let outcome = match status {
        Ended::Succeeded => Outcome::SuccessData(data.unwrap_or_else(nil)),
        Ended::Cancelled => Outcome::Cancelled(JobCancelled {
            cancelled_at_ms: at.as_millis(),
        }),
        Ended::Failed => {
            let end = state.last.and_then(|last| last.end).map(|end| end.how);
            // An end without an attempt has a code of its own.
            let error_code = match (code, end) {
                (Some(code), _) => code.as_str().to_owned(),
                (None, Some(Ending::Failed { code, .. })) => code,
                (None, Some(Ending::Crashed)) => Ending::CRASHED_CODE.to_owned(),
                (None, Some(Ending::Succeeded(_) | Ending::Cancelled) | None) => {
                    return Err(Denial::Bug("a failed job whose last attempt did not fail"));
                }
            };
            Outcome::Failure(JobFailure {
                error_code,
                error_data: Some(data.unwrap_or_else(nil)),
            })
        }
    };
    Ok(GetJobResultResponse {
        id: key.job.as_str().to_owned(),
        status: ended(status).into(),
        finished_at_ms: at.as_millis(),
        result: Some(outcome),
    })
}

/// The same, for a call that waited for it.
///
/// # Errors
/// As [`result`].
pub fn awaited(view: ResultView) -> Result<AwaitJobResponse, Denial> {
    let result = result(view)?;
    Ok(AwaitJobResponse {
        status: result.status,
        result: Some(result),
    })
}

/// Where a job stands that is not over.
///
/// # Errors
/// [`Denial::Bug`] when it is quarantined.
pub fn not_yet(status: Status) -> Result<AwaitJobResponse, Denial> {
    let quarantined = Denial::Bug("a quarantined job was waited for");
    let status = job::status(status).ok_or(quarantined)?;
    Ok(AwaitJobResponse {
        status: status.into(),
        result: None,
    })
}
