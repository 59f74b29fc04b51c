//! How a job moves. One way into a queue, one way out of wherever it is, one way to a lease: every
//! command uses these, so no path can forget an index row, a head or, once they exist, a limit.

use crate::shard::commands::lease::Grantee;
use crate::shard::decision::Notice;
use crate::shard::draft::{Draft, Halt};
use crate::shard::reply::{Content, Task};
use crate::shard::soft::SoftStep;
use crate::table::attempt::{Attempt, AttemptKey, Attempts};
use crate::table::due::{DueKey, DueRow, Dues};
use crate::table::job::{JobKey, JobRow};
use crate::table::payload::PAYLOAD_SLOT;
use crate::table::place::{Head, Place};
use crate::table::ready::{Readies, ReadyKey, ReadyRow};
use crate::table::running::{RunningRow, Runnings};
use crate::table::state::{EndCode, Ended, Lease, Position, StateRow};
use crate::types::time::Timestamp;

/// Where in its queue a job enters.
#[derive(Clone, Copy)]
pub(crate) enum Entry {
    /// At the end of what is there at this time, or now if it is past.
    At(Timestamp),
    /// At a place it had before.
    Back(Place),
}

/// Admits a job: the one way into a queue, for enqueue, retry, crash, release and due time. What it
/// may have to wait for besides its time (limits, once they exist) is asked here and nowhere else.
/// Sets the position; the caller writes the state. (SILO-JOB-1)
pub(crate) fn enter(
    draft: &mut Draft<'_>,
    key: &JobKey,
    state: &mut StateRow,
    entry: Entry,
) -> Result<(), Halt> {
    let now = draft.now();
    let tenant = draft.tenant(&key.tenant)?;
    let place = match entry {
        Entry::At(at) => tenant.place(at.max(now)),
        Entry::Back(place) => place,
    };
    if place.at > now {
        tenant.due = Some(
            tenant
                .due
                .map_or(Head::first(place), |head| head.with(place)),
        );
        draft.put::<Dues>(&DueKey::of(key, place), &DueRow::Start);
        state.position = Position::Due(place);
    } else {
        let head = tenant.ready.entry(state.queue.clone());
        head.and_modify(|head| *head = head.with(place))
            .or_insert(Head::first(place));
        draft.put::<Readies>(&ReadyKey::of(key, &state.queue, place), &ReadyRow {});
        state.position = Position::Ready(place);
    }
    Ok(())
}

/// Takes a job out of wherever it is: the one way out. The caller sets its new position at once.
pub(crate) fn leave(draft: &mut Draft<'_>, key: &JobKey, state: &StateRow) -> Result<(), Halt> {
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
        Position::Ended { .. } | Position::Quarantined { .. } => {}
    }
    Ok(())
}

/// Leases a job that has left its queue, from `place`, and writes its state.
pub(crate) fn grant(
    draft: &mut Draft<'_>,
    key: &JobKey,
    job: &JobRow,
    mut state: StateRow,
    place: Place,
    to: &Grantee,
) -> Result<Task, Halt> {
    let before = state.status();
    let attempt = state.attempts_ended.saturating_add(1);
    if let Some(last) = state.last.take() {
        draft.put::<Attempts>(&AttemptKey::of(key, last.number), &last);
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
    state.returned = None;
    draft.put::<Runnings>(
        key,
        &RunningRow {
            attempt,
            nonce,
            duration,
        },
    );
    let deadline = draft.now().after(duration);
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
        metadata: job.metadata.clone(),
        payload: Content::of(&job.payload, key, PAYLOAD_SLOT),
        lease: duration,
    })
}

/// Ends a job that has left wherever it was. The caller writes the state.
pub(crate) fn end(state: &mut StateRow, now: Timestamp, status: Ended, code: Option<EndCode>) {
    state.position = Position::Ended {
        status,
        at: now,
        code,
    };
}
