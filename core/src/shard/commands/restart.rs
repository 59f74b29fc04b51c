//! Restart: run a job again that failed or was cancelled, or give back one that was set aside.
//! Attempt numbers go on, everything that counts within a run begins anew. (SILO-JOB-T4)

use crate::shard::draft::{Draft, Halt};
use crate::shard::moves::{Entry, drop_attempt, enter, kept_attempts, leave};
use crate::shard::refusal::Refusal;
use crate::shard::reply::Reply;
use crate::table::Table;
use crate::table::attempt::{AttemptKey, Attempts};
use crate::table::job::{JobKey, JobRow, Jobs};
use crate::table::payload::PayloadKey;
use crate::table::state::{EARLIER_ATTEMPTS_MAX, Ended, Position, Return, Returned, StateRow};
use crate::types::limit::slots_of;
use crate::types::time::Millis;

pub(crate) fn decide(key: &JobKey, draft: &mut Draft<'_>) -> Result<Reply, Halt> {
    let Some(mut state) = draft.state(key)? else {
        return Err(Refusal::JobNotFound(key.clone()).into());
    };
    let before = state.status();
    match &state.position {
        Position::Ended {
            status: Ended::Failed | Ended::Cancelled,
            ..
        } => {}
        Position::Quarantined { .. } => mend(draft, key, &mut state)?,
        Position::Due(_)
        | Position::Ready(_)
        | Position::Parked { .. }
        | Position::Leased(_)
        | Position::Ended {
            status: Ended::Succeeded,
            ..
        } => return Err(Refusal::NotRestartable(key.clone(), before).into()),
    }
    leave(draft, key, &state)?;
    begin_run(&mut state);
    enter(draft, key, &mut state, Entry::At(draft.now()))?;
    draft.put_state(key, Some(before), &mut state)?;
    Ok(Reply::Restarted)
}

/// Everything that counts within a run begins anew.
fn begin_run(state: &mut StateRow) {
    state.attempts_before = state.attempts_ended;
    state.retries_used = 0;
    state.retry_delay = Millis::ZERO;
    state.crashes = 0;
    state.losses = 0;
    state.cancel_asked_at = None;
}

/// Makes the state of a job that was set aside say what the rest of its rows say. What was asked
/// for must still be readable; of its history, what cannot be read, and whatever came before that,
/// is given up. (SILO-QUAR-T2)
fn mend(draft: &mut Draft<'_>, key: &JobKey, state: &mut StateRow) -> Result<(), Halt> {
    let job = readable(draft, key)?.ok_or_else(|| Refusal::Quarantined(key.clone()))?;
    let kept = kept_attempts(draft, key)?;
    // The attempt that was open when the job was set aside never ended: its number is used again.
    if let Some(open) = state.last.take_if(|last| last.end.is_none()) {
        state.returned = Some(Returned {
            nonce: open.nonce,
            how: Return::Lost,
        });
    }
    let earlier_end = match &state.last {
        Some(last) => last.number.saturating_sub(1),
        None => kept.last().copied().unwrap_or(0).max(state.attempts_ended),
    };
    let mut from = earlier_end.saturating_add(1);
    for number in kept.iter().rev() {
        let is_next = number.checked_add(1) == Some(from);
        if !is_next || !is_whole(draft, key, *number)? {
            break;
        }
        from = *number;
    }
    let oldest = earlier_end.saturating_sub(EARLIER_ATTEMPTS_MAX);
    for number in state.attempts_from.max(oldest)..from {
        drop_attempt(draft, key, number);
    }
    state.attempts_from = from;
    if state.last.is_none() {
        state.attempts_ended = earlier_end;
        // The latest attempt was in a state that could not be read: what it reported is nobody's.
        draft.delete_key(&PayloadKey::key(key, earlier_end.saturating_add(1)));
    }
    state.slots = slots_of(&job.limits);
    state.queue = job.queue;
    state.has_payload_row = job.payload.is_stored();
    Ok(())
}

fn readable(draft: &Draft<'_>, key: &JobKey) -> Result<Option<JobRow>, Halt> {
    let bytes = draft.bytes(&Jobs::key(key))?;
    Ok(bytes.and_then(|bytes| Jobs::read_row(&bytes).ok()))
}

/// Whether an earlier attempt can be read, and ended as those do.
fn is_whole(draft: &Draft<'_>, key: &JobKey, number: u32) -> Result<bool, Halt> {
    let bytes = draft.bytes(&Attempts::key(&AttemptKey::of(key, number)))?;
    let row = bytes.and_then(|bytes| Attempts::read_row(&bytes).ok());
    Ok(row.is_some_and(|row| row.number == number && row.end.is_some()))
}
