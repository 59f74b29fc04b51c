//! What is due of one tenant: its turn. Jobs whose time has come enter their queues
//! (SILO-TICK-T2), jobs that were kept long enough go (SILO-TICK-T3), a bounded number of each.

use crate::shard::commands::tick::is_readable;
use crate::shard::decision::Notice;
use crate::shard::draft::{Draft, Halt, gather};
use crate::shard::limits::ask;
use crate::shard::moves::{Entry, enter, leave, remove};
use crate::shard::soft::SoftStep;
use crate::shard::view::Need;
use crate::table::Table;
use crate::table::due::{DueKey, Dues};
use crate::table::expiry::Expiries;
use crate::table::job::JobKey;
use crate::table::place::{Head, Place};
use crate::table::state::{Position, StateRow};
use crate::types::tenant::Tenant;

/// Jobs of one tenant that start in one turn, and jobs that are removed.
pub const TICK_DUE_MAX: usize = 64;
/// A removal of a job with so many earlier attempts counts as one more.
const ATTEMPTS_PER_REMOVAL: u32 = 8;

/// Does what is due of a tenant, a turn's worth.
pub(crate) fn take(draft: &mut Draft<'_>, tenant: &Tenant) -> Result<(), Halt> {
    if !is_readable(draft, tenant)? {
        draft.forget(tenant);
        return Ok(());
    }
    let row = draft.tenant(tenant)?.clone();
    let now = draft.now();
    if row.wake().is_none_or(|at| at > now) {
        // The hint was of something that is no longer so.
        draft.step(SoftStep::tenant(tenant.clone(), &row));
        return Ok(());
    }
    let mut need = Need::default();
    gather(&mut need, start(draft, tenant, row.due))?;
    gather(&mut need, clean(draft, tenant, row.expiry))?;
    need.settled()?;
    draft.step(SoftStep::DueServed(now, tenant.clone()));
    Ok(())
}

/// Moves due jobs into their queues.
fn start(draft: &mut Draft<'_>, tenant: &Tenant, head: Option<Head>) -> Result<(), Halt> {
    let stands = |state: &StateRow, place| state.position == Position::Due(place);
    let Some(mut page) = read::<Dues>(draft, tenant, head, stands, |_| 1)? else {
        return Ok(());
    };
    let mut need = Need::default();
    for state in page.jobs.iter().filter_map(|found| found.state.as_ref()) {
        gather(&mut need, ask(draft, tenant, &state.slots))?;
    }
    need.settled()?;
    for Found { place, key, state } in &page.jobs {
        let Some(state) = state else {
            drop_row::<Dues>(draft, key, *place);
            let row = draft.tenant(tenant)?;
            row.due = row.due.and_then(|head| head.without(*place));
            continue;
        };
        let (before, mut state) = (state.status(), state.clone());
        leave(draft, key, &state)?;
        let back = Entry::Back {
            place: *place,
            was_ready: false,
        };
        enter(draft, key, &mut state, back)?;
        if let Position::Due(later) = state.position {
            // It has to wait on, and stands before what was not looked at.
            page.stays = Some(page.stays.map_or(later, |stays| stays.min(later)));
        }
        draft.put_state(key, Some(before), &mut state)?;
    }
    let row = draft.tenant(tenant)?;
    let (front, is_mended) = page.front_of(row.due);
    row.due = front;
    if is_mended {
        draft.notice(Notice::Mended("a due head counted jobs that are not there"));
    }
    Ok(())
}

/// Removes jobs that have been kept long enough.
fn clean(draft: &mut Draft<'_>, tenant: &Tenant, head: Option<Head>) -> Result<(), Halt> {
    let stands = |state: &StateRow, place| match &state.position {
        Position::Ended { expires, .. } => *expires == Some(place),
        Position::Due(_)
        | Position::Ready(_)
        | Position::Leased(_)
        | Position::Parked { .. }
        | Position::Quarantined { .. } => false,
    };
    let cost = |state: &StateRow| {
        let earlier = state.attempts_ended.saturating_sub(state.attempts_from);
        let more = usize::try_from(earlier / ATTEMPTS_PER_REMOVAL).unwrap_or(usize::MAX);
        more.saturating_add(1)
    };
    let Some(page) = read::<Expiries>(draft, tenant, head, stands, cost)? else {
        return Ok(());
    };
    for Found { place, key, state } in &page.jobs {
        if let Some(state) = state {
            remove(draft, key, state)?;
            continue;
        }
        drop_row::<Expiries>(draft, key, *place);
        let row = draft.tenant(tenant)?;
        row.expiry = row.expiry.and_then(|head| head.without(*place));
    }
    let row = draft.tenant(tenant)?;
    let (front, is_mended) = page.front_of(row.expiry);
    row.expiry = front;
    if is_mended {
        draft.notice(Notice::Mended(
            "an expiry head counted jobs that are not there",
        ));
    }
    Ok(())
}

fn drop_row<T: Table<Key = DueKey>>(draft: &mut Draft<'_>, key: &JobKey, place: Place) {
    draft.drop_index(T::ID, &T::key(&DueKey::of(key, place)));
}

/// The front of one of a tenant's queues.
struct Page {
    /// What is due, up to a turn's worth.
    jobs: Vec<Found>,
    /// The first row that stays.
    stays: Option<Place>,
    /// Whether these were all rows there are.
    is_all: bool,
}

/// A row that is due, and its job's state when the two agree.
struct Found {
    place: Place,
    key: JobKey,
    state: Option<StateRow>,
}

impl Page {
    /// The head once the page was taken off: the first row that stays is the front of the queue
    /// now. True when the head counted rows that are not there.
    fn front_of(&self, head: Option<Head>) -> (Option<Head>, bool) {
        match (self.stays, head) {
            (Some(stays), Some(head)) => (Some(head.raised(stays)), false),
            (None, Some(_)) if self.is_all => (None, true),
            (_, head) => (head, false),
        }
    }
}

/// Reads what is due of one queue, its jobs all loaded at once; none when nothing is.
fn read<T: Table<Key = DueKey>>(
    draft: &mut Draft<'_>,
    tenant: &Tenant,
    head: Option<Head>,
    stands: fn(&StateRow, Place) -> bool,
    cost: fn(&StateRow) -> usize,
) -> Result<Option<Page>, Halt> {
    let now = draft.now();
    let Some(head) = head.filter(|head| head.low.at <= now) else {
        return Ok(None);
    };
    let limit = TICK_DUE_MAX.saturating_add(1);
    let rows = draft.range(&DueKey::from::<T>(tenant, head.low), limit)?;
    let mut page = Page {
        jobs: Vec::new(),
        stays: None,
        is_all: rows.len() < limit,
    };
    let mut need = Need::default();
    let mut budget = TICK_DUE_MAX;
    for (bytes, _) in &rows {
        let Ok(DueKey { place, job, .. }) = T::read_key(bytes) else {
            draft.drop_index(T::ID, bytes);
            continue;
        };
        if place.at > now || budget == 0 {
            page.stays = Some(place);
            break;
        }
        let key = JobKey {
            tenant: tenant.clone(),
            job,
        };
        match draft.state(&key) {
            Ok(state) => {
                let state = state.filter(|state| stands(state, place));
                budget = budget.saturating_sub(state.as_ref().map_or(1, cost));
                page.jobs.push(Found { place, key, state });
            }
            Err(Halt::Need(missing)) => {
                need.add(missing);
                budget = budget.saturating_sub(1);
            }
            Err(other) => return Err(other),
        }
    }
    need.settled()?;
    Ok(Some(page))
}
