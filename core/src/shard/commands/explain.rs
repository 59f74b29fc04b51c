//! Explain: why a job does not run, or that it does. It changes nothing.

use crate::shard::commands::lease_job::paused;
use crate::shard::draft::{Draft, Halt, ask};
use crate::shard::limits::{line_damaged, look};
use crate::shard::refusal::Refusal;
use crate::shard::reply::Reply;
use crate::shard::seen::{Count, DueBecause, Explanation, LimitFacts, Obstacle, Wait};
use crate::shard::view::Need;
use crate::table::Table as _;
use crate::table::job::JobKey;
use crate::table::key::KeyRange;
use crate::table::limit::{Admits, LimitName, LimitRow, Limits};
use crate::table::line::{LineId, LineName, LineRow, Lines, ParkedKey};
use crate::table::line::{WaitPlace, WaiterKey, Waiters};
use crate::table::place::Place;
use crate::table::quarantine::Quarantines;
use crate::table::ready::{Readies, ReadyKey};
use crate::table::state::{Position, Return, StateRow};
use crate::types::limit::Slot;
use crate::types::name::JobId;

/// Jobs that are counted before another, of its own queue or line.
pub const COUNTED_MAX: usize = 1000;
/// Lines that are counted before another.
const LINES_COUNTED_MAX: usize = 1000;
/// Who holds a slot is looked for among so many leases and ready jobs, until so many are found.
const HOLDERS: (usize, usize) = (256, 5);

pub(crate) fn explain(key: &JobKey, draft: &mut Draft<'_>) -> Result<Reply, Halt> {
    let Some(state) = draft.state(key)? else {
        return Err(Refusal::JobNotFound(key.clone()).into());
    };
    let explanation = match &state.position {
        Position::Due(place) => Explanation::NotDue {
            until: place.at,
            because: due_because(&state),
        },
        Position::Ready(place) => ready(key, &state, *place, draft)?,
        Position::Parked { line, place } => {
            Explanation::Waits(Box::new(wait(key, &state, (*line, *place), draft)?))
        }
        Position::Leased(lease) => Explanation::Runs {
            worker: lease.worker.clone(),
            since: look::started(&state).unwrap_or(state.changed_at),
            attempt: lease.attempt,
            cancel_asked_at: state.cancel_asked_at,
        },
        Position::Ended {
            status, at, code, ..
        } => Explanation::Ended {
            status: *status,
            at: *at,
            code: *code,
        },
        Position::Quarantined { at } => {
            let row = draft.bytes(&Quarantines::key(key))?;
            let row = row.and_then(|bytes| Quarantines::read_row(&bytes).ok());
            let unknown = || "the row that says why cannot be read".to_owned();
            Explanation::Quarantined {
                at: *at,
                reason: row.map_or_else(unknown, |row| row.reason),
            }
        }
    };
    Ok(Reply::Explained(state.queue.clone(), explanation))
}

/// What a job waits for that is not due.
const fn due_because(state: &StateRow) -> DueBecause {
    // What was given back is remembered for longer: an attempt that has begun since counts.
    match &state.returned {
        Some(returned)
            if matches!(returned.how, Return::Snoozed { .. }) && state.last.is_none() =>
        {
            DueBecause::Snooze
        }
        Some(_) | None if state.attempts_ended > state.attempts_before => DueBecause::BackOff,
        Some(_) | None => DueBecause::Start,
    }
}

/// Which of its tenant's ready jobs of its task group it is.
fn ready(
    key: &JobKey,
    state: &StateRow,
    place: Place,
    draft: &mut Draft<'_>,
) -> Result<Explanation, Halt> {
    let paused = paused(draft, &key.tenant, &state.queue.group)?;
    let tenant = draft.tenant(&key.tenant)?;
    let (mut before, mut of, mut low) = (0_u64, 0_u64, place);
    for (queue, head) in tenant.waiting(&state.queue.group) {
        of = of.saturating_add(head.count);
        if queue.priority < state.queue.priority {
            before = before.saturating_add(head.count);
        } else if *queue == state.queue {
            low = head.low;
        }
    }
    let mut range = ReadyKey::from(&key.tenant, &state.queue, low);
    range.end = Readies::key(&ReadyKey::of(key, &state.queue, place));
    let earlier = Count {
        number: before,
        is_exact: true,
    };
    Ok(Explanation::Ready {
        since: place.at,
        before: earlier.with(count(draft, &range, COUNTED_MAX)?),
        of,
        paused,
    })
}

/// What a job waits for that has no slots.
fn wait(
    key: &JobKey,
    state: &StateRow,
    (line, place): (LineId, WaitPlace),
    draft: &Draft<'_>,
) -> Result<Wait, Halt> {
    let name = LineName {
        tenant: key.tenant.clone(),
        id: line,
    };
    let mut need = Need::default();
    let row = ask(&mut need, draft.bytes(&Lines::key(&name)))?.flatten();
    let row = row.and_then(|bytes| Lines::read_row(&bytes).ok());
    for slot in &state.slots {
        ask(&mut need, limit(key, slot, draft))?;
    }
    need.settled()?;
    let Some(row) = row else {
        return Err(line_damaged(key, state));
    };

    let at = LimitName {
        tenant: key.tenant.clone(),
        key: row.at.clone(),
    };
    let mut need = Need::default();
    let mut limits = Vec::new();
    for slot in &state.slots {
        limits.extend(ask(&mut need, facts(key, slot, line, draft))?);
    }
    let admit = ask(&mut need, draft.bytes(&Admits::key(&at)))?.flatten();
    let mut earlier = WaiterKey::from(&name, row.head);
    earlier.end = Waiters::key(&WaiterKey::of(key, line, place));
    let before = ask(&mut need, count(draft, &earlier, COUNTED_MAX))?;
    let lines = ask(&mut need, lines_before(&at, &row, draft))?;
    let holders = ask(&mut need, look::holders(draft, &at, None, HOLDERS))?;
    need.settled()?;
    Ok(Wait {
        since: place.place().at,
        is_expedited: place.is_expedited(),
        at: at.key,
        limits,
        before: before.unwrap_or_default(),
        of: row.count,
        lines_before: lines.unwrap_or_default(),
        has_ticket: row.ticket.is_some(),
        is_to_be_searched: admit.is_some(),
        holders: holders.map_or_else(Vec::new, |holders| holders.found),
    })
}

/// A limit as its row says, or as a job says that would be the first to use it. None: it cannot be
/// read.
fn limit(key: &JobKey, slot: &Slot, draft: &Draft<'_>) -> Result<Option<LimitRow>, Halt> {
    let name = LimitName {
        tenant: key.tenant.clone(),
        key: slot.key.clone(),
    };
    let row = match draft.bytes(&Limits::key(&name))? {
        None => Some(LimitRow::new(slot.maximum)),
        Some(bytes) => Limits::read_row(&bytes).ok(),
    };
    Ok(row.map(|mut row| {
        row.adopt(slot.maximum);
        row
    }))
}

/// Whether a limit has a slot for a line, and why not.
fn facts(key: &JobKey, slot: &Slot, line: LineId, draft: &Draft<'_>) -> Result<LimitFacts, Halt> {
    let Some(row) = limit(key, slot, draft)? else {
        return Ok(LimitFacts {
            key: slot.key.clone(),
            held: 0,
            slots: 0,
            obstacle: Some(Obstacle::Damaged),
        });
    };
    let obstacle = if row.fits(Some(line)) {
        None
    } else if row.is_paused || row.set == Some(0) {
        Some(Obstacle::Paused)
    } else if row.slots() == 0 {
        Some(Obstacle::MaximumZero)
    } else if row.free() == 0 {
        Some(Obstacle::Full)
    } else {
        let id = row.lowest.map(|(_, id)| id);
        Some(Obstacle::Kept(first_of(key, id, draft)?))
    };
    Ok(LimitFacts {
        key: slot.key.clone(),
        held: row.held,
        slots: row.slots(),
        obstacle,
    })
}

/// The first job of another line of the tenant.
fn first_of(key: &JobKey, line: Option<LineId>, draft: &Draft<'_>) -> Result<Option<JobId>, Halt> {
    let Some(id) = line else { return Ok(None) };
    let name = LineName {
        tenant: key.tenant.clone(),
        id,
    };
    let row = draft.bytes(&Lines::key(&name))?;
    let row = row.and_then(|bytes| Lines::read_row(&bytes).ok());
    Ok(row.map(|row| row.first))
}

/// Lines parked on the same limit that are looked at before this one.
fn lines_before(at: &LimitName, row: &LineRow, draft: &Draft<'_>) -> Result<Count, Halt> {
    let Some(bytes) = draft.bytes(&Limits::key(at))? else {
        return Ok(Count::NONE);
    };
    let parked = Limits::read_row(&bytes).ok().and_then(|row| row.parked);
    let Some(parked) = parked else {
        return Ok(Count::NONE);
    };
    let mut range = ParkedKey::from(at, parked.low);
    range.end = ParkedKey::from(at, row.head).start;
    count(draft, &range, LINES_COUNTED_MAX)
}

/// The rows of a range, counted as far as `rows_max`.
fn count(draft: &Draft<'_>, range: &KeyRange, rows_max: usize) -> Result<Count, Halt> {
    let rows = draft.range(range, rows_max)?.len();
    Ok(Count::of_rows(rows, rows_max))
}
