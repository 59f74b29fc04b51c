//! How a job moves. One way into a queue, one way out of wherever it is, one way to a lease, one
//! way to an end, one way to be gone: every command uses these, so no path can forget an index row,
//! a head or, once they exist, a limit.

use crate::shard::commands::lease::Grantee;
use crate::shard::decision::Notice;
use crate::shard::draft::{Draft, Halt};
use crate::shard::limits::{Way, give, quit, take_or_wait};
use crate::shard::refusal::{QUEUE_WAIT, QUEUES_MAX};
use crate::shard::reply::{Content, Task};
use crate::shard::soft::SoftStep;
use crate::table::Table;
use crate::table::attempt::{Attempt, AttemptKey, Attempts};
use crate::table::due::{DueKey, DueRow, Dues};
use crate::table::expiry::{Expiries, ExpiryRow};
use crate::table::job::{JobKey, JobRow, Jobs};
use crate::table::key::Key;
use crate::table::payload::{PAYLOAD_SLOT, PayloadKey};
use crate::table::place::{Head, Place};
use crate::table::quarantine::Quarantines;
use crate::table::ready::{Readies, ReadyKey, ReadyRow};
use crate::table::running::{RunningRow, Runnings};
use crate::table::state::{EARLIER_ATTEMPTS_MAX, EndCode, Ended, Lease, Position, StateRow};
use crate::types::data::Data;
use crate::types::retention::Retention;
use crate::types::time::Timestamp;

/// Where in its queue a job enters.
#[derive(Clone, Copy)]
pub(crate) enum Entry {
    /// At the end of what is there at this time, or now if it is past.
    At(Timestamp),
    /// At a place it had before.
    Back {
        place: Place,
        /// It was ready there: a clock that was set back since does not make it wait again.
        was_ready: bool,
    },
}

/// Admits a job: the one way into a queue, for enqueue, retry, crash, release and due time. What it
/// may have to wait for besides its time, slots of its limits, is asked here and nowhere else.
/// Sets the position; the caller writes the state. (SILO-JOB-1)
pub(crate) fn enter(
    draft: &mut Draft<'_>,
    key: &JobKey,
    state: &mut StateRow,
    entry: Entry,
) -> Result<(), Halt> {
    let now = draft.now();
    let tenant = draft.tenant(&key.tenant)?;
    if matches!(entry, Entry::At(_)) {
        state.waited = None;
    }
    let (mut place, mut is_ready) = match entry {
        Entry::At(at) => (tenant.place(at.max(now)), at <= now),
        Entry::Back { place, was_ready } => (place, was_ready || place.at <= now),
    };
    if is_ready && let Some(later) = full(draft, key, state)? {
        place = later;
        is_ready = false;
    }
    if is_ready {
        match take_or_wait(draft, key, state, place)? {
            Way::Ready => {}
            Way::Parked => return Ok(()),
            Way::Later => {
                place = draft.tenant(&key.tenant)?.place(now.after(QUEUE_WAIT));
                is_ready = false;
            }
        }
    }
    if is_ready {
        queue(draft, key, state, place)
    } else {
        wait(draft, key, state, place)
    }
}

/// Puts a job that holds its slots into its queue.
pub(crate) fn queue(
    draft: &mut Draft<'_>,
    key: &JobKey,
    state: &mut StateRow,
    place: Place,
) -> Result<(), Halt> {
    let tenant = draft.tenant(&key.tenant)?;
    let head = tenant.ready.entry(state.queue.clone());
    head.and_modify(|head| *head = head.with(place))
        .or_insert(Head::first(place));
    draft.put::<Readies>(&ReadyKey::of(key, &state.queue, place), &ReadyRow {});
    state.position = Position::Ready(place);
    Ok(())
}

/// Has a job wait for a time.
pub(crate) fn wait(
    draft: &mut Draft<'_>,
    key: &JobKey,
    state: &mut StateRow,
    place: Place,
) -> Result<(), Halt> {
    let tenant = draft.tenant(&key.tenant)?;
    let head = tenant.due;
    tenant.due = Some(head.map_or(Head::first(place), |head| head.with(place)));
    draft.put::<Dues>(&DueKey::of(key, place), &DueRow::Start);
    state.position = Position::Due(place);
    Ok(())
}

/// When a job tries again that would be in one queue too many: the tenant's row names its queues
/// and is written by every command of its. Commands that add jobs are refused before they come
/// here.
pub(crate) fn full(
    draft: &mut Draft<'_>,
    key: &JobKey,
    state: &StateRow,
) -> Result<Option<Place>, Halt> {
    let later = draft.now().after(QUEUE_WAIT);
    let tenant = draft.tenant(&key.tenant)?;
    let is_full = tenant.ready.len() >= QUEUES_MAX && !tenant.ready.contains_key(&state.queue);
    Ok(is_full.then(|| tenant.place(later)))
}

/// Takes a job out of wherever it is: the one way out. What it held is free for others; the caller
/// sets its new position at once.
pub(crate) fn leave(draft: &mut Draft<'_>, key: &JobKey, state: &StateRow) -> Result<(), Halt> {
    step_out(draft, key, state)?;
    match &state.position {
        Position::Ready(_) | Position::Leased(_) => give(draft, &key.tenant, &state.slots),
        Position::Due(_)
        | Position::Parked { .. }
        | Position::Ended { .. }
        | Position::Quarantined { .. } => Ok(()),
    }
}

/// The same for a job that keeps its slots.
pub(crate) fn step_out(draft: &mut Draft<'_>, key: &JobKey, state: &StateRow) -> Result<(), Halt> {
    match &state.position {
        Position::Due(place) => {
            let tenant = draft.tenant(&key.tenant)?;
            let held = tenant.due.take();
            tenant.due = held.and_then(|head| head.without(*place));
            draft.delete::<Dues>(&DueKey::of(key, *place));
            if held.is_none() {
                draft.notice(Notice::Mended("a due row had no head"));
            }
        }
        Position::Ready(place) => {
            let tenant = draft.tenant(&key.tenant)?;
            let held = tenant.ready.remove(&state.queue);
            if let Some(head) = held.and_then(|head| head.without(*place)) {
                tenant.ready.insert(state.queue.clone(), head);
            }
            draft.delete::<Readies>(&ReadyKey::of(key, &state.queue, *place));
            if held.is_none() {
                draft.notice(Notice::Mended("a ready row had no head"));
            }
        }
        Position::Leased(_) => {
            draft.delete::<Runnings>(key);
            draft.step(SoftStep::LeaseEnded(key.clone()));
        }
        Position::Ended { expires, .. } => {
            if let Some(place) = expires {
                let tenant = draft.tenant(&key.tenant)?;
                let held = tenant.expiry.take();
                tenant.expiry = held.and_then(|head| head.without(*place));
                draft.delete::<Expiries>(&DueKey::of(key, *place));
                if held.is_none() {
                    draft.notice(Notice::Mended("an expiry row had no head"));
                }
            }
        }
        Position::Quarantined { .. } => draft.delete::<Quarantines>(key),
        Position::Parked { line, place } => quit(draft, key, *line, *place)?,
    }
    Ok(())
}

/// Leases a job that has left its queue, from `place`, and writes its state. `state` still says
/// where it stood.
pub(crate) fn grant(
    draft: &mut Draft<'_>,
    key: &JobKey,
    job: &JobRow,
    mut state: StateRow,
    place: Place,
    to: &Grantee,
) -> Result<Task, Halt> {
    let before = state.status();
    let place = match &state.position {
        // It was ready before the clock was set back: what gives it back must see that.
        Position::Ready(_) => Place {
            at: place.at.min(draft.now()),
            ..place
        },
        Position::Due(_)
        | Position::Leased(_)
        | Position::Ended { .. }
        | Position::Quarantined { .. }
        | Position::Parked { .. } => place,
    };
    let attempt = state.attempts_ended.saturating_add(1);
    if let Some(last) = state.last.take() {
        keep_earlier(draft, key, &mut state, &last);
    }
    let nonce = draft.draw();
    let duration = to.lease.or(job.lease).unwrap_or(to.lease_default);
    let worker = to.worker.clone();
    state.last = Some(Attempt {
        number: attempt,
        nonce,
        worker: worker.clone(),
        started_at: draft.now(),
        end: None,
    });
    let lease = Lease {
        attempt,
        nonce,
        worker,
        duration,
        place,
    };
    let id = lease.task(&key.tenant, &key.job);
    state.position = Position::Leased(lease);
    draft.put::<Runnings>(
        key,
        &RunningRow {
            attempt,
            nonce,
            duration,
        },
    );
    let deadline = draft.deadline(duration);
    draft.step(SoftStep::Leased {
        key: key.clone(),
        nonce,
        deadline,
    });
    draft.put_state(key, Some(before), &mut state)?;
    Ok(Task {
        id,
        relative_attempt: attempt.saturating_sub(state.attempts_before),
        is_last_attempt: job
            .retry
            .as_ref()
            .is_none_or(|r| state.retries_used >= r.retry_count),
        queue: state.queue,
        limits: job.limits.clone(),
        metadata: job.metadata.clone(),
        payload: Content::of(&job.payload, key, PAYLOAD_SLOT),
        lease: duration,
    })
}

/// Writes an attempt that is no longer the latest, and drops the oldest when there are too many.
pub(crate) fn keep_earlier(
    draft: &mut Draft<'_>,
    key: &JobKey,
    state: &mut StateRow,
    attempt: &Attempt,
) {
    draft.put::<Attempts>(&AttemptKey::of(key, attempt.number), attempt);
    let from = attempt.number.saturating_sub(EARLIER_ATTEMPTS_MAX);
    while state.attempts_from <= from {
        drop_attempt(draft, key, state.attempts_from);
        state.attempts_from = state.attempts_from.saturating_add(1);
    }
}

/// Ends a job that has left wherever it was. The caller writes the state.
pub(crate) fn end(
    draft: &mut Draft<'_>,
    key: &JobKey,
    state: &mut StateRow,
    status: Ended,
    code: Option<EndCode>,
) -> Result<(), Halt> {
    let at = draft.now();
    end_as_of(draft, key, state, status, code, at)
}

/// The same, of a job that ended at a time of its own. How long it is kept counts from now.
pub(crate) fn end_as_of(
    draft: &mut Draft<'_>,
    key: &JobKey,
    state: &mut StateRow,
    status: Ended,
    code: Option<EndCode>,
    at: Timestamp,
) -> Result<(), Halt> {
    let now = draft.now();
    let kept = |retention: &Retention| match status {
        Ended::Succeeded => retention.succeeded,
        Ended::Failed => retention.failed,
        Ended::Cancelled => retention.cancelled,
    };
    let mut expires = None;
    if let Some(kept) = kept(&state.retention).or_else(|| kept(&draft.stamp().retention)) {
        let tenant = draft.tenant(&key.tenant)?;
        let place = tenant.place(now.after(kept));
        let head = tenant.expiry;
        tenant.expiry = Some(head.map_or(Head::first(place), |head| head.with(place)));
        draft.put::<Expiries>(&DueKey::of(key, place), &ExpiryRow {});
        expires = Some(place);
    }
    state.waited = None;
    state.position = Position::Ended {
        status,
        at,
        code,
        expires,
    };
    Ok(())
}

/// Removes a job with everything that belongs to it, wherever it is. Reads nothing but what is set
/// aside; writes at most two rows for each attempt that is kept, and a handful more. (SILO-JOB-3)
pub(crate) fn remove(draft: &mut Draft<'_>, key: &JobKey, state: &StateRow) -> Result<(), Halt> {
    if matches!(state.position, Position::Quarantined { .. }) {
        remove_set_aside(draft, key, state)?;
    } else {
        for number in state.attempts_from..=state.attempts_ended {
            let is_last = state.last.as_ref().is_some_and(|l| l.number == number);
            if !is_last {
                drop_attempt(draft, key, number);
            }
        }
        if let Some(last) = &state.last
            && last.data().is_some_and(Data::is_stored)
        {
            draft.delete_key(&PayloadKey::key(key, last.number));
        }
        if state.has_payload_row {
            draft.delete_key(&PayloadKey::key(key, PAYLOAD_SLOT));
        }
    }
    leave(draft, key, state)?;
    draft.delete::<Jobs>(key);
    draft.remove_state(key, state.status())
}

/// What is left of a job whose rows could not be relied on: whatever stands under its name goes.
fn remove_set_aside(draft: &mut Draft<'_>, key: &JobKey, state: &StateRow) -> Result<(), Halt> {
    let kept = kept_attempts(draft, key)?;
    for number in &kept {
        drop_attempt(draft, key, *number);
    }
    // The latest attempt was in the state, which may have been what could not be read: then it came
    // after those that are kept.
    let next = || kept.last().map_or(1, |last| last.saturating_add(1));
    let last = state.last.as_ref().map_or_else(next, |last| last.number);
    draft.delete_key(&PayloadKey::key(key, last));
    draft.delete_key(&PayloadKey::key(key, PAYLOAD_SLOT));
    Ok(())
}

/// The numbers of the earlier attempts that have rows, in order.
pub(crate) fn kept_attempts(draft: &Draft<'_>, key: &JobKey) -> Result<Vec<u32>, Halt> {
    let range = AttemptKey::all(key);
    let limit = usize::try_from(EARLIER_ATTEMPTS_MAX).unwrap_or(usize::MAX);
    let rows = draft.range(&range, limit.saturating_add(1))?;
    let number = |(row, _): &(Key, _)| Some(Attempts::read_key(row).ok()?.number);
    Ok(rows.iter().filter_map(number).collect())
}

/// Takes away an earlier attempt and what it reported, if that has a row.
pub(crate) fn drop_attempt(draft: &mut Draft<'_>, key: &JobKey, number: u32) {
    draft.delete::<Attempts>(&AttemptKey::of(key, number));
    draft.delete_key(&PayloadKey::key(key, number));
}
