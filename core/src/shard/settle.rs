//! What becomes of a job when a lease of it is over: the rules of retries, crashes and cancellation
//! in one place, for reports and for expiry alike.

use crate::shard::draft::{Draft, Halt, damaged};
use crate::shard::moves::{Entry, end, enter};
use crate::table::attempt::{AttemptEnd, Ending};
use crate::table::job::{JobKey, JobRow};
use crate::table::state::{EndCode, Ended, Lease, Position, Return, Returned, StateRow};
use crate::types::retry::crash_delay;
use crate::types::time::Millis;

/// How a worker wants a failure to be treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FailureAdvice {
    /// False: final, whatever the policy says.
    pub(crate) retryable: bool,
    /// The delay before the retry, instead of the policy's.
    pub(crate) retry_after: Option<Millis>,
}

/// Writes down how the running attempt ended, with an outcome or a crash. (SILO-ATT-2)
pub(crate) fn close_attempt(
    draft: &mut Draft<'_>,
    key: &JobKey,
    state: &mut StateRow,
    how: Ending,
) -> Result<(), Halt> {
    let at = draft.now();
    let leased = state.lease().map(|lease| (lease.attempt, lease.nonce));
    match &mut state.last {
        Some(last) if leased == Some((last.number, last.nonce)) && last.end.is_none() => {
            draft.counts.ended(&how);
            last.end = Some(AttemptEnd { at, how });
            state.attempts_ended = last.number;
            Ok(())
        }
        Some(_) | None => Err(damaged(key, "its lease and its last attempt disagree")),
    }
}

/// After a failure: Cancelled if that was asked for, another run while retries remain, else Failed.
pub(crate) fn after_failure(
    draft: &mut Draft<'_>,
    key: &JobKey,
    job: &JobRow,
    state: &mut StateRow,
    advice: FailureAdvice,
) -> Result<(), Halt> {
    if state.cancel_asked_at.is_some() {
        return end(draft, key, state, Ended::Cancelled, None);
    }
    let now = draft.now();
    let policy = job
        .retry
        .as_ref()
        .filter(|p| advice.retryable && state.retries_used < p.retry_count);
    let Some(policy) = policy else {
        return end(draft, key, state, Ended::Failed, None);
    };
    state.retries_used = state.retries_used.saturating_add(1);
    draft.counts.retried();
    let random = draft.draw();
    let computed = policy.delay(state.retries_used, state.retry_delay, random);
    let delay = advice.retry_after.unwrap_or(computed);
    state.retry_delay = delay;
    enter(draft, key, state, Entry::At(now.after(delay)))
}

/// After a crash: Cancelled if that was asked for, another run while the budget lasts, else Failed.
/// A crash uses no retry.
pub(crate) fn after_crash(
    draft: &mut Draft<'_>,
    key: &JobKey,
    job: &JobRow,
    state: &mut StateRow,
) -> Result<(), Halt> {
    if state.cancel_asked_at.is_some() {
        return end(draft, key, state, Ended::Cancelled, None);
    }
    let now = draft.now();
    state.crashes = state.crashes.saturating_add(1);
    if state.crashes > job.max_crashes {
        return end(draft, key, state, Ended::Failed, None);
    }
    enter(
        draft,
        key,
        state,
        Entry::At(now.after(crash_delay(state.crashes))),
    )
}

/// After a lease that ended without an outcome: back to where the job stood, or to a later time if
/// the worker wants that, the attempt's number to be used again, no retry spent. Cancelled instead
/// if that was asked for: nothing runs that would have to be told.
pub(crate) fn give_back(
    draft: &mut Draft<'_>,
    key: &JobKey,
    state: &mut StateRow,
    how: Return,
) -> Result<(), Halt> {
    let Position::Leased(Lease { nonce, place, .. }) = state.position else {
        return Err(damaged(key, "it was given back without a lease"));
    };
    let began = state.last.take().map(|last| last.started_at);
    let was_ready = began.is_some_and(|began| place.at <= began);
    state.returned = Some(Returned { nonce, how });
    draft.counts.returned(how);
    if state.cancel_asked_at.is_some() {
        return end(
            draft,
            key,
            state,
            Ended::Cancelled,
            Some(EndCode::Cancelled),
        );
    }
    let entry = match how {
        Return::Released | Return::Lost => Entry::Back { place, was_ready },
        Return::Snoozed { delay } => Entry::At(draft.now().after(delay)),
    };
    enter(draft, key, state, entry)
}
