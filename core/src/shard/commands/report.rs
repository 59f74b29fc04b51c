//! Report: end a lease, with an outcome or by giving it back. One outcome ends an attempt; the same
//! report again is answered as before, any other changes nothing. (SILO-LEASE-T4)

use bytes::Bytes;

use crate::shard::draft::{Draft, Halt, damaged};
use crate::shard::moves::{end, leave};
use crate::shard::refusal::{Gone, Refusal};
use crate::shard::reply::Reply;
use crate::shard::settle::{FailureAdvice, after_failure, close_attempt, give_back};
use crate::table::attempt::{Attempt, Ending};
use crate::table::job::JobKey;
use crate::table::state::{Ended, Return, StateRow};
use crate::types::Invalid;
use crate::types::data::Data;
use crate::types::task::TaskId;
use crate::types::time::Millis;

/// Longest error code of a worker, in bytes.
pub const ERROR_CODE_BYTES_MAX: usize = 1024;

/// The end of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Of which lease.
    pub task: TaskId,
    /// How.
    pub outcome: Outcome,
}

/// How a lease ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The work is done.
    Success {
        /// The result.
        data: Bytes,
    },
    /// The work failed.
    Failure {
        /// The worker's own code.
        code: String,
        /// The worker's own data.
        data: Bytes,
        /// False: final, whatever the policy says.
        retryable: bool,
        /// The delay before the retry, instead of the policy's.
        retry_after: Option<Millis>,
    },
    /// The worker stopped because it was asked to.
    Cancelled,
    /// The worker gives the task back: it drains, or never got it.
    Release,
    /// The worker wants the job to come back later. No retry is spent, and the attempt's number is
    /// used again.
    Snooze {
        /// In how long.
        delay: Millis,
    },
}

impl Outcome {
    /// How it gives the lease back, if it does not end the attempt.
    const fn returns(&self) -> Option<Return> {
        match self {
            Self::Release => Some(Return::Released),
            Self::Snooze { delay } => Some(Return::Snoozed { delay: *delay }),
            Self::Success { .. } | Self::Failure { .. } | Self::Cancelled => None,
        }
    }
}

impl Report {
    /// Checks the bounds that no type checks.
    ///
    /// # Errors
    /// [`Invalid`] for an error code beyond [`ERROR_CODE_BYTES_MAX`].
    pub fn check(&self) -> Result<(), Invalid> {
        match &self.outcome {
            Outcome::Failure { code, .. } => check_error_code("failure.code", code),
            Outcome::Success { .. }
            | Outcome::Cancelled
            | Outcome::Release
            | Outcome::Snooze { .. } => Ok(()),
        }
    }
}

/// Checks that a worker's error code is not too long.
///
/// # Errors
/// [`Invalid`] beyond [`ERROR_CODE_BYTES_MAX`].
pub fn check_error_code(field: &'static str, code: &str) -> Result<(), Invalid> {
    if code.len() > ERROR_CODE_BYTES_MAX {
        let value = format!("{} bytes long", code.len());
        let bound = format!("at most {ERROR_CODE_BYTES_MAX} bytes");
        return Err(Invalid::new(field, value, bound));
    }
    Ok(())
}

pub(crate) fn decide(report: &Report, draft: &mut Draft<'_>) -> Result<Reply, Halt> {
    let task = &report.task;
    let key = JobKey {
        tenant: task.tenant.clone(),
        job: task.job.clone(),
    };
    let Some(mut state) = draft.state(&key)? else {
        return Err(gone(task, Gone::Unknown));
    };
    if !state.lease().is_some_and(|lease| lease.is(task)) {
        return late(report, &key, &state, draft);
    }
    let before = state.status();
    // The job row is read before anything changes; only a failure looks at the policy.
    let job = match &report.outcome {
        Outcome::Failure { .. } => Some(
            draft
                .job(&key)?
                .ok_or_else(|| damaged(&key, "its job row is missing"))?,
        ),
        Outcome::Success { .. }
        | Outcome::Cancelled
        | Outcome::Release
        | Outcome::Snooze { .. } => None,
    };
    leave(draft, &key, &state)?;
    if let Some(how) = report.outcome.returns() {
        // Whoever gives a task back has had it: losses are counted in a row.
        state.losses = 0;
        if matches!(how, Return::Snoozed { .. }) {
            // A worker that wants the job later has looked at it and lives.
            state.crashes = 0;
        }
        give_back(draft, &key, &mut state, how)?;
        draft.put_state(&key, Some(before), &mut state)?;
        return Ok(Reply::Reported);
    }
    let how = ending(draft, &key, report);
    close_attempt(draft, &key, &mut state, how)?;
    state.crashes = 0;
    state.losses = 0;
    match (&report.outcome, &job) {
        (
            Outcome::Failure {
                retryable,
                retry_after,
                ..
            },
            Some(job),
        ) => {
            let advice = FailureAdvice {
                retryable: *retryable,
                retry_after: *retry_after,
            };
            after_failure(draft, &key, job, &mut state, advice)?;
        }
        (Outcome::Success { .. }, _) => end(draft, &key, &mut state, Ended::Succeeded, None)?,
        (
            Outcome::Cancelled
            | Outcome::Release
            | Outcome::Snooze { .. }
            | Outcome::Failure { .. },
            _,
        ) => end(draft, &key, &mut state, Ended::Cancelled, None)?,
    }
    draft.put_state(&key, Some(before), &mut state)?;
    Ok(Reply::Reported)
}

/// What the report says of the attempt; large data gets a row of its own.
fn ending(draft: &mut Draft<'_>, key: &JobKey, report: &Report) -> Ending {
    let slot = report.task.attempt;
    match &report.outcome {
        Outcome::Success { data } => Ending::Succeeded(draft.keep_data(key, slot, data)),
        Outcome::Failure { code, data, .. } => Ending::Failed {
            code: code.clone(),
            data: draft.keep_data(key, slot, data),
        },
        Outcome::Cancelled | Outcome::Release | Outcome::Snooze { .. } => Ending::Cancelled,
    }
}

/// A report for a lease that is over: the same one again, or too late.
fn late(report: &Report, key: &JobKey, state: &StateRow, draft: &Draft<'_>) -> Result<Reply, Halt> {
    let task = &report.task;
    if let Some(returned) = state
        .returned
        .filter(|returned| returned.nonce == task.nonce)
    {
        if report.outcome.returns() == Some(returned.how) {
            return Ok(Reply::Reported);
        }
        return Err(match returned.how {
            Return::Released | Return::Snoozed { .. } => gone(task, Gone::Released),
            Return::Lost => gone(task, Gone::Expired),
        });
    }
    let attempt = match &state.last {
        Some(last) if last.number == task.attempt => Some(last.clone()),
        Some(_) | None if task.attempt <= state.attempts_ended => {
            draft.attempt(key, task.attempt)?
        }
        Some(_) | None => None,
    };
    match attempt {
        Some(attempt) if attempt.nonce == task.nonce => judge_again(report, &attempt),
        Some(_) | None => Err(gone(task, Gone::Unknown)),
    }
}

fn judge_again(report: &Report, attempt: &Attempt) -> Result<Reply, Halt> {
    let Some(end) = &attempt.end else {
        return Err(gone(&report.task, Gone::Unknown));
    };
    let same = match (&end.how, &report.outcome) {
        (Ending::Crashed, _) => return Err(gone(&report.task, Gone::Expired)),
        (Ending::Succeeded(known), Outcome::Success { data }) => *known == Data::of(data),
        (
            Ending::Failed {
                code: known,
                data: known_data,
            },
            Outcome::Failure { code, data, .. },
        ) => known == code && *known_data == Data::of(data),
        (Ending::Cancelled, Outcome::Cancelled) => true,
        (Ending::Succeeded(_) | Ending::Failed { .. } | Ending::Cancelled, _) => false,
    };
    if same {
        Ok(Reply::Reported)
    } else {
        Err(gone(&report.task, Gone::Finished))
    }
}

fn gone(task: &TaskId, gone: Gone) -> Halt {
    Refusal::LeaseNotFound {
        task: task.clone(),
        gone,
    }
    .into()
}
