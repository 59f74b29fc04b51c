//! Limits: who holds slots, who waits for them, and who is next. What the parts do is decided in
//! `docs/decisions/0020-limits.md`, and modelled in `specs/limits.als`.
//!
//! A job holds a slot of each of its limits exactly while it is ready or leased (SILO-LIMIT-1). It
//! takes all of them at once or none, so nobody who waits holds anything, and nothing deadlocks.
//!
//! * here: one way to take slots, one way to give them back, one way out of a line
//! * [`look`]: reading them, for operators
//! * [`anew`]: lines made anew of which the rows are damaged
//! * [`ledger`]: rows of limits and lines while a command changes them
//! * [`ahead`]: what searches will read
//! * [`search`]: whoever waits for what a command freed is looked at

pub(crate) mod ahead;
pub mod anew;
pub(crate) mod ledger;
pub(crate) mod look;
pub mod search;

use crate::shard::decision::Notice;
use crate::shard::draft::{Draft, Halt, damaged, gather};
use crate::shard::limits::ledger::{is_damaged, limit, line, put_line};
use crate::shard::refusal::Refusal;
use crate::shard::view::Need;
use crate::table::Table as _;
use crate::table::job::JobKey;
use crate::table::limit::LimitName;
use crate::table::line::{LineId, LineName, LineRow, WaitPlace, WaiterKey, WaiterRow, Waiters};
use crate::table::place::Place;
use crate::table::state::{Position, StateRow};
use crate::types::limit::Slot;
use crate::types::name::LimitKey;
use crate::types::tenant::Tenant;

/// What becomes of a job that may run as far as its time is concerned.
pub(crate) enum Way {
    /// It holds all its slots.
    Ready,
    /// It waits in line; its state says so.
    Parked,
    /// A row of a limit cannot be read: it must try again later.
    Later,
}

/// Takes a slot of each of a job's limits, or has it wait in line. (SILO-LIMIT-1)
pub(crate) fn take_or_wait(
    draft: &mut Draft<'_>,
    key: &JobKey,
    state: &mut StateRow,
    place: Place,
) -> Result<Way, Halt> {
    if state.slots.is_empty() {
        return Ok(Way::Ready);
    }
    ask(draft, &key.tenant, &state.slots)?;
    let mut shut: Option<LimitKey> = None;
    let mut is_parked_on = None;
    for slot in &state.slots {
        let Some(row) = limit(draft, &name(&key.tenant, &slot.key))? else {
            return Ok(Way::Later);
        };
        row.adopt(slot.maximum);
        if !row.fits(None) {
            shut.get_or_insert_with(|| slot.key.clone());
        } else if row.parked.is_some() {
            // Newcomers stand behind those that wait there already.
            is_parked_on.get_or_insert_with(|| slot.key.clone());
        }
    }
    let Some(at) = shut.or(is_parked_on) else {
        return hold(draft, &key.tenant, &state.slots).map(|()| Way::Ready);
    };
    let new = WaitPlace::new(state.queue.priority, place);
    let place = state.waited.take().unwrap_or(new);
    let line = join(draft, key, &state.slots, at, place)?;
    state.position = Position::Parked { line, place };
    Ok(Way::Parked)
}

/// Puts a job into the line of those that want the same, or makes that line and parks it.
fn join(
    draft: &mut Draft<'_>,
    key: &JobKey,
    slots: &[Slot],
    at: LimitKey,
    place: WaitPlace,
) -> Result<LineId, Halt> {
    let wanted: Vec<LimitKey> = slots.iter().map(|slot| slot.key.clone()).collect();
    let (name, known) = find_line(draft, &key.tenant, &wanted)?;
    let mut row = known.unwrap_or_else(|| LineRow {
        wanted,
        at,
        head: place,
        first: key.job.clone(),
        count: 0,
        passes: 0,
        ticket: None,
    });
    row.count = row.count.saturating_add(1);
    if place <= row.head {
        row.head = place;
        row.first = key.job.clone();
    }
    draft.put::<Waiters>(&WaiterKey::of(key, name.id, place), &WaiterRow {});
    put_line(draft, &name, Some(row))?;
    Ok(name.id)
}

/// The line of those that want these, or the name of one to make.
fn find_line(
    draft: &mut Draft<'_>,
    tenant: &Tenant,
    wanted: &[LimitKey],
) -> Result<(LineName, Option<LineRow>), Halt> {
    let mut n = 0;
    loop {
        let name = LineName {
            tenant: tenant.clone(),
            id: LineId::of(wanted.iter(), n),
        };
        let known = line(draft, &name)?;
        let is_of_others = match &known {
            Some(row) => row.wanted != wanted,
            // Jobs stand in it as well: what takes its place would leave them out.
            None => is_damaged(draft, &name),
        };
        if !is_of_others || n == u8::MAX {
            return Ok((name, known.filter(|_| !is_of_others)));
        }
        n = n.saturating_add(1);
    }
}

/// Gives back a slot of each. Whoever waits for one is looked at when the command ends.
pub(crate) fn give(draft: &mut Draft<'_>, tenant: &Tenant, slots: &[Slot]) -> Result<(), Halt> {
    load(draft, tenant, slots)?;
    for slot in slots {
        let name = name(tenant, &slot.key);
        // One that cannot be read is counted anew when an operator has it mended.
        let Some(row) = limit(draft, &name)? else {
            continue;
        };
        let was_held = row.held > 0;
        row.held = row.held.saturating_sub(1);
        if !was_held {
            draft.notice(Notice::Mended("a limit counted fewer slots than were held"));
        }
        draft.ledger.free(name);
    }
    Ok(())
}

/// Takes a slot of each: the caller has seen that there is one.
pub(crate) fn hold(draft: &mut Draft<'_>, tenant: &Tenant, slots: &[Slot]) -> Result<(), Halt> {
    for slot in slots {
        if let Some(row) = limit(draft, &name(tenant, &slot.key))? {
            row.held = row.held.saturating_add(1);
        }
    }
    Ok(())
}

/// The first of a job's limits that has no slot for it: for a lease out of turn. Whoever waits for
/// slots counts as the line that it waits in.
pub(crate) fn first_full(
    draft: &mut Draft<'_>,
    tenant: &Tenant,
    state: &StateRow,
) -> Result<Option<LimitKey>, Halt> {
    load(draft, tenant, &state.slots)?;
    let line = match &state.position {
        Position::Parked { line, .. } => Some(*line),
        Position::Due(_)
        | Position::Ready(_)
        | Position::Leased(_)
        | Position::Ended { .. }
        | Position::Quarantined { .. } => None,
    };
    for slot in &state.slots {
        let Some(row) = limit(draft, &name(tenant, &slot.key))? else {
            return Ok(Some(slot.key.clone()));
        };
        row.adopt(slot.maximum);
        if !row.fits(line) {
            return Ok(Some(slot.key.clone()));
        }
    }
    Ok(None)
}

/// Takes a job out of its line. The last one takes the line's rows along, and what was kept for it
/// may go to others.
pub(crate) fn quit(
    draft: &mut Draft<'_>,
    key: &JobKey,
    line_id: LineId,
    place: WaitPlace,
) -> Result<(), Halt> {
    draft.delete::<Waiters>(&WaiterKey::of(key, line_id, place));
    let name = LineName {
        tenant: key.tenant.clone(),
        id: line_id,
    };
    let Some(row) = line(draft, &name)? else {
        draft.notice(Notice::Mended("a job waited in a line that had no row"));
        return Ok(());
    };
    let ticket = row.ticket;
    let wanted = row.wanted.clone();
    let rest = without(draft, &name, row, place)?;
    if rest.is_none() && ticket.is_some() {
        for key in wanted {
            draft.ledger.free(LimitName {
                tenant: name.tenant.clone(),
                key,
            });
        }
    }
    put_line(draft, &name, rest)
}

/// The line that a job waits in cannot be read, or is not there.
pub(crate) fn line_damaged(key: &JobKey, state: &StateRow) -> Halt {
    match state.slots.first() {
        Some(slot) => Refusal::LimitDamaged(slot.key.clone()).into(),
        None => damaged(key, "it waits in line for nothing"),
    }
}

/// Moves a job before all of its line that were not expedited, and the line as far forward. Nobody
/// is looked at for it: its limit has no slot for it, or will be searched. None if it is there
/// already.
pub(crate) fn go_first(
    draft: &mut Draft<'_>,
    key: &JobKey,
    state: &StateRow,
    line_id: LineId,
    place: WaitPlace,
) -> Result<Option<WaitPlace>, Halt> {
    if place.is_expedited() {
        return Ok(None);
    }
    let name = LineName {
        tenant: key.tenant.clone(),
        id: line_id,
    };
    let Some(mut row) = line(draft, &name)? else {
        return Err(line_damaged(key, state));
    };
    let now = draft.now();
    let drawn = draft.tenant(&key.tenant)?.place(now);
    let to = WaitPlace::expedited(state.queue.priority, drawn);
    draft.delete::<Waiters>(&WaiterKey::of(key, line_id, place));
    draft.put::<Waiters>(&WaiterKey::of(key, line_id, to), &WaiterRow {});
    if to < row.head {
        row.head = to;
        row.first = key.job.clone();
    }
    put_line(draft, &name, Some(row))?;
    Ok(Some(to))
}

/// A lease out of turn is one for the line that the job waited in.
pub(crate) fn had_turn(
    draft: &mut Draft<'_>,
    tenant: &Tenant,
    line_id: LineId,
) -> Result<(), Halt> {
    let name = LineName {
        tenant: tenant.clone(),
        id: line_id,
    };
    let Some(mut row) = line(draft, &name)? else {
        return Ok(());
    };
    row.passes = 0;
    row.ticket = None;
    put_line(draft, &name, Some(row))
}

/// A line without the job that stood at `place`, the row of which is gone; none when it was the
/// last.
fn without(
    draft: &mut Draft<'_>,
    name: &LineName,
    mut row: LineRow,
    place: WaitPlace,
) -> Result<Option<LineRow>, Halt> {
    row.count = row.count.saturating_sub(1);
    if row.count == 0 {
        return Ok(None);
    }
    if place != row.head {
        return Ok(Some(row));
    }
    let rows = draft.range_now(&WaiterKey::from(name, place), 1)?;
    let next = rows
        .first()
        .and_then(|(key, _)| Waiters::read_key(key).ok());
    let Some(next) = next else {
        draft.notice(Notice::Mended("a line counted jobs that are not there"));
        return Ok(None);
    };
    row.head = next.place;
    row.first = next.job;
    Ok(Some(row))
}

/// The newest enqueue says how many slots there are. A limit that is not in use has no row to say
/// it in: whoever is the first to use it says it again. (SILO-LIMIT-T3)
pub(crate) fn newest(draft: &mut Draft<'_>, tenant: &Tenant, slots: &[Slot]) -> Result<(), Halt> {
    load(draft, tenant, slots)?;
    for slot in slots {
        let name = name(tenant, &slot.key);
        if let Some(row) = limit(draft, &name)?
            && row.is_used()
            && row.maximum != slot.maximum
        {
            row.maximum = slot.maximum;
            draft.ledger.free(name);
        }
    }
    Ok(())
}

/// Asks at once for what a way in or out needs of limits. Whoever moves several jobs asks for all
/// of them first.
pub(crate) fn ask(draft: &mut Draft<'_>, tenant: &Tenant, slots: &[Slot]) -> Result<(), Halt> {
    if slots.is_empty() {
        return Ok(());
    }
    let mut need = Need::default();
    gather(&mut need, load(draft, tenant, slots))?;
    let wanted: Vec<LimitKey> = slots.iter().map(|slot| slot.key.clone()).collect();
    gather(&mut need, find_line(draft, tenant, &wanted).map(|_| ()))?;
    need.settled()
}

/// Loads the rows of limits at once.
fn load(draft: &mut Draft<'_>, tenant: &Tenant, slots: &[Slot]) -> Result<(), Halt> {
    let mut need = Need::default();
    for slot in slots {
        let found = limit(draft, &name(tenant, &slot.key));
        gather(&mut need, found.map(|_| ()))?;
    }
    need.settled()
}

pub(crate) fn name(tenant: &Tenant, key: &LimitKey) -> LimitName {
    LimitName {
        tenant: tenant.clone(),
        key: key.clone(),
    }
}
