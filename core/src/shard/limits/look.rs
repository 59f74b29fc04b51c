//! Reading limits, who holds their slots and who waits for one, for operators. It changes nothing,
//! and looks at a bounded number of rows.

use bytes::Bytes;

use crate::shard::draft::{Draft, Halt, ask};
use crate::shard::seen::{Count, FirstWaiter, Holder, LimitView, Waiting};
use crate::shard::view::Need;
use crate::table::Table as _;
use crate::table::job::JobKey;
use crate::table::key::{Key, successor};
use crate::table::limit::{Admits, LimitName, LimitRow};
use crate::table::line::{LineName, LineRow, Lines, Parked, ParkedKey, WaitPlace};
use crate::table::line::{WaiterKey, Waiters};
use crate::table::ready::{Readies, ReadyKey};
use crate::table::running::Runnings;
use crate::table::state::{Position, StateRow, States};
use crate::types::name::{JobId, LimitKey};
use crate::types::tenant::Tenant;
use crate::types::time::Timestamp;

/// A limit as its row and the first `lines_max` lines parked on it say.
pub(crate) fn view(
    draft: &Draft<'_>,
    name: &LimitName,
    row: &LimitRow,
    lines_max: usize,
) -> Result<LimitView, Halt> {
    let mut need = Need::default();
    let admit = ask(&mut need, draft.bytes(&Admits::key(name)))?;
    let lines = ask(&mut need, lines(draft, name, row, lines_max))?.unwrap_or_default();
    need.settled()?;
    let jobs = |sum: u64, line: &Line| sum.saturating_add(line.row.as_ref().map_or(1, |r| r.count));
    let number = lines.iter().fold(0, jobs);
    let parked = row.parked.map_or(0, |head| head.count);
    let seen = u64::try_from(lines.len()).unwrap_or(u64::MAX);
    let first = lines.into_iter().next();
    Ok(LimitView {
        key: name.key.clone(),
        held: row.held,
        slots: row.slots(),
        maximum: row.maximum,
        set: row.set,
        is_paused: row.is_paused,
        waiting: Count {
            // Each line that was not looked at has a job at least.
            number: number.saturating_add(parked.saturating_sub(seen)),
            is_exact: seen >= parked,
        },
        first: first.map(|line| FirstWaiter {
            job: line.first,
            since: line.head.place().at,
        }),
        tickets: row.tickets,
        is_to_be_searched: admit.flatten().is_some(),
    })
}

/// A line where it is parked.
pub(crate) struct Line {
    pub(crate) name: LineName,
    pub(crate) head: WaitPlace,
    pub(crate) first: JobId,
    /// None if it cannot be read.
    pub(crate) row: Option<LineRow>,
}

/// The first lines that are parked on a limit.
pub(crate) fn lines(
    draft: &Draft<'_>,
    name: &LimitName,
    row: &LimitRow,
    lines_max: usize,
) -> Result<Vec<Line>, Halt> {
    let Some(parked) = row.parked else {
        return Ok(Vec::new());
    };
    let rows = draft.range(&ParkedKey::from(name, parked.low), lines_max)?;
    let mut need = Need::default();
    let mut lines = Vec::new();
    for (key, value) in rows {
        let (Ok(parked), Ok(row)) = (Parked::read_key(&key), Parked::read_row(&value)) else {
            continue;
        };
        let name = LineName {
            tenant: name.tenant.clone(),
            id: parked.line,
        };
        let bytes = ask(&mut need, draft.bytes(&Lines::key(&name)))?.flatten();
        lines.push(Line {
            name,
            head: parked.head,
            first: row.first,
            row: bytes.and_then(|bytes| Lines::read_row(&bytes).ok()),
        });
    }
    need.settled()?;
    Ok(lines)
}

/// The first jobs that wait here, in the order in which they are looked at; those of the first
/// `lines_max` lines, and none that may come after one of another line.
pub(crate) fn waiters(
    draft: &Draft<'_>,
    name: &LimitName,
    row: &LimitRow,
    (lines_max, jobs_max): (usize, usize),
) -> Result<Vec<Waiting>, Halt> {
    if jobs_max == 0 {
        return Ok(Vec::new());
    }
    let lines = lines(draft, name, row, lines_max)?;
    let parked = row.parked.map_or(0, |head| head.count);
    let is_cut = u64::try_from(lines.len()).unwrap_or(u64::MAX) < parked;
    let horizon = lines.last().map(|line| line.head).filter(|_| is_cut);
    let mut need = Need::default();
    let mut waiters: Vec<(WaitPlace, JobId, bool)> = Vec::new();
    for line in lines {
        let has_ticket = line.row.is_some_and(|row| row.ticket.is_some());
        let range = WaiterKey::from(&line.name, line.head);
        let rows = ask(&mut need, draft.range(&range, jobs_max))?.unwrap_or_default();
        let keys = rows.iter().filter_map(|row| Waiters::read_key(&row.0).ok());
        waiters.extend(keys.map(|key| (key.place, key.job, has_ticket)));
    }
    need.settled()?;
    waiters.retain(|(place, ..)| horizon.is_none_or(|horizon| *place <= horizon));
    waiters.sort_unstable();
    let shown = |(place, job, has_ticket): (WaitPlace, JobId, bool)| Waiting {
        job,
        priority: place.priority(),
        since: place.place().at,
        is_expedited: place.is_expedited(),
        has_ticket,
    };
    Ok(waiters.into_iter().take(jobs_max).map(shown).collect())
}

/// Who holds a slot of a limit.
pub(crate) struct Holders {
    pub(crate) found: Vec<Holder>,
    /// The row after which to go on; none when all have been looked at.
    pub(crate) next: Option<Key>,
}

/// Looks through a tenant's leases and then its ready jobs for those that hold a slot, from behind
/// a row on: at most `rows_max` rows, and until so many are found. There are no rows of who holds.
pub(crate) fn holders(
    draft: &Draft<'_>,
    name: &LimitName,
    after: Option<&Key>,
    (rows_max, found_max): (usize, usize),
) -> Result<Holders, Halt> {
    let mut holders = Holders {
        found: Vec::new(),
        next: None,
    };
    if found_max == 0 {
        return Ok(holders);
    }
    let rows = of_those_that_hold(draft, &name.tenant, after, rows_max)?;
    let is_cut = rows.len() == rows_max;
    let mut need = Need::default();
    let mut last = None;
    for row in rows {
        let Some(key) = job_of(&row) else { continue };
        let state = ask(&mut need, draft.bytes(&States::key(&key)))?.flatten();
        if need.is_empty() && holders.found.len() == found_max {
            holders.next = last;
            return Ok(holders);
        }
        holders.found.extend(holder(&name.key, key, state));
        last = Some(row);
    }
    need.settled()?;
    holders.next = last.filter(|_| is_cut);
    Ok(holders)
}

/// Keys of the tenant's leases and of its ready jobs, behind one of these.
pub(crate) fn of_those_that_hold(
    draft: &Draft<'_>,
    tenant: &Tenant,
    after: Option<&Key>,
    rows_max: usize,
) -> Result<Vec<Key>, Halt> {
    let (mut leases, mut ready) = (Runnings::of_tenant(tenant), ReadyKey::of_tenant(tenant));
    let mut ranges = Vec::new();
    match after {
        Some(after) if ready.contains(after) => ready.start = successor(after),
        Some(after) => {
            leases.start = leases.start.max(successor(after));
            ranges.push(leases);
        }
        None => ranges.push(leases),
    }
    ranges.push(ready);
    let mut rows = Vec::new();
    let mut need = Need::default();
    for range in ranges {
        let left = rows_max.saturating_sub(rows.len());
        let more = ask(&mut need, draft.range(&range, left))?.unwrap_or_default();
        rows.extend(more.into_iter().map(|(key, _)| key));
    }
    need.settled()?;
    Ok(rows)
}

/// The job that a row of those is about.
pub(crate) fn job_of(row: &Key) -> Option<JobKey> {
    if let Ok(key) = Runnings::read_key(row) {
        return Some(key);
    }
    let ready = Readies::read_key(row).ok()?;
    Some(JobKey {
        tenant: ready.tenant,
        job: ready.job,
    })
}

/// The job as one that holds a slot, if it is there, holds slots and wants this limit.
fn holder(limit: &LimitKey, key: JobKey, state: Option<Bytes>) -> Option<Holder> {
    let state = States::read_row(&state?).ok()?;
    if !state.slots.iter().any(|slot| slot.key == *limit) {
        return None;
    }
    let (since, worker) = match &state.position {
        Position::Ready(place) => (place.at, None),
        Position::Leased(lease) => (started(&state)?, Some(lease.worker.clone())),
        Position::Due(_)
        | Position::Parked { .. }
        | Position::Ended { .. }
        | Position::Quarantined { .. } => return None,
    };
    Some(Holder {
        job: key.job,
        queue: state.queue,
        since,
        worker,
    })
}

/// When the attempt began that runs.
pub(crate) fn started(state: &StateRow) -> Option<Timestamp> {
    state.last.as_ref().map(|last| last.started_at)
}
