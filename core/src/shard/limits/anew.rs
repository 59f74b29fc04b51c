//! Lines as the rows of a tenant say, all of them together: one of which the row cannot be read, or
//! is not there, is made anew from its jobs.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::shard::decision::Notice;
use crate::shard::draft::{Draft, Halt, ask};
use crate::shard::limits::ledger::replace_line;
use crate::shard::refusal::Refusal;
use crate::shard::view::Need;
use crate::table::codec::Row;
use crate::table::job::JobKey;
use crate::table::key::Key;
use crate::table::limit::{TicketKey, Tickets};
use crate::table::line::{LineName, LineRow, Lines, Parked, ParkedKey, WaiterKey, Waiters};
use crate::table::state::{Position, StateRow, States};
use crate::table::{Table, TableId};
use crate::types::tenant::Tenant;

/// Most jobs of a damaged line that are counted.
pub const WAITERS_COUNTED_MAX: usize = 100_000;
/// Jobs of a damaged line that are asked at once what it wants: one that can be read is enough.
const ASKED: usize = 64;

/// The rows of a tenant that speak of lines.
#[derive(Default)]
pub(crate) struct All {
    lines: Vec<(Key, Bytes)>,
    pub(crate) parked: Vec<Key>,
    pub(crate) tickets: Vec<Key>,
}

impl All {
    /// Loads at most so many rows of each table.
    pub(crate) fn load(draft: &Draft<'_>, tenant: &Tenant, rows_max: usize) -> Result<Self, Halt> {
        let mut need = Need::default();
        let lines = ask(&mut need, draft.range(&Lines::of_tenant(tenant), rows_max))?;
        let keys = [ParkedKey::of_tenant(tenant), TicketKey::of_tenant(tenant)];
        let [parked, tickets] = keys.map(|range| ask(&mut need, draft.range(&range, rows_max)));
        let keys = |rows: Option<Vec<(Key, Bytes)>>| {
            let rows = rows.unwrap_or_default().into_iter();
            rows.map(|(key, _)| key).collect()
        };
        let all = Self {
            lines: lines.unwrap_or_default(),
            parked: keys(parked?),
            tickets: keys(tickets?),
        };
        need.settled()?;
        Ok(all)
    }

    /// How many rows there are of the table that has most.
    pub(crate) fn longest(&self) -> usize {
        let keys = self.parked.len().max(self.tickets.len());
        self.lines.len().max(keys)
    }

    /// The lines in which jobs wait, and how many of them had to be mended.
    pub(crate) fn lines(
        &self,
        draft: &mut Draft<'_>,
    ) -> Result<(BTreeMap<LineName, LineRow>, u64), Halt> {
        let mut lines = BTreeMap::new();
        let mut damaged = BTreeSet::new();
        for (key, row) in &self.lines {
            match (Lines::read_key(key), Lines::read_row(row)) {
                (Ok(name), Ok(row)) => {
                    lines.insert(name, row);
                }
                (Ok(name), Err(_)) => {
                    damaged.insert(name);
                }
                (Err(_), _) => draft.notice(Notice::Unreadable(TableId::Line)),
            }
        }
        damaged.extend(self.spoken_of().filter(|name| !lines.contains_key(name)));
        let mut need = Need::default();
        let mut mended: u64 = 0;
        for name in damaged {
            let row = ask(&mut need, anew(draft, &name))?.flatten();
            if let Some(row) = &row {
                draft.ledger.free(name.limit(&row.at));
                lines.insert(name.clone(), row.clone());
            }
            ask(&mut need, replace_line(draft, &name, row))?;
            mended = mended.saturating_add(1);
        }
        need.settled()?;
        Ok((lines, mended))
    }

    /// Lines that other rows speak of.
    fn spoken_of(&self) -> impl Iterator<Item = LineName> {
        let parked = self.parked.iter().filter_map(|key| {
            let key = Parked::read_key(key).ok()?;
            Some((key.limit.tenant, key.line))
        });
        let tickets = self.tickets.iter().filter_map(|key| {
            let key = Tickets::read_key(key).ok()?;
            Some((key.limit.tenant, key.line))
        });
        parked
            .chain(tickets)
            .map(|(tenant, id)| LineName { tenant, id })
    }
}

/// Drops the rows of a table that are not said, and writes those that are not there.
pub(crate) fn keep_only<T: Table>(
    draft: &mut Draft<'_>,
    known: Vec<Key>,
    mut said: BTreeMap<Key, (T::Key, T::Row)>,
) where
    T::Row: Row,
{
    for row in known {
        if said.remove(&row).is_none() {
            draft.drop_index(T::ID, &row);
        }
    }
    for (key, row) in said.into_values() {
        draft.put::<T>(&key, &row);
    }
}

/// A line as its jobs say: it has no ticket, and is parked at the first of its limits until it has
/// been looked at. None if no job waits in it.
fn anew(draft: &mut Draft<'_>, name: &LineName) -> Result<Option<LineRow>, Halt> {
    let rows_max = WAITERS_COUNTED_MAX.saturating_add(1);
    let rows = draft.range(&WaiterKey::all(name), rows_max)?;
    if rows.len() > WAITERS_COUNTED_MAX {
        return Err(Refusal::TooManyToCount(name.tenant.clone()).into());
    }
    draft.notice(Notice::Mended("a line's row did not decode"));
    let waiters: Vec<WaiterKey> = rows
        .iter()
        .filter_map(|(key, _)| Waiters::read_key(key).ok())
        .collect();
    let Some(first) = waiters.first() else {
        return Ok(None);
    };
    for some in waiters.chunks(ASKED) {
        let mut need = Need::default();
        let mut wanted = None;
        for waiter in some {
            let state = ask(&mut need, state_of(draft, waiter))?.flatten();
            wanted = wanted.or(state.map(|state| state.slots));
        }
        need.settled()?;
        let Some(slots) = wanted else { continue };
        let Some(at) = slots.first() else { continue };
        return Ok(Some(LineRow {
            at: at.key.clone(),
            head: first.place,
            first: first.job.clone(),
            count: u64::try_from(waiters.len()).unwrap_or(u64::MAX),
            passes: 0,
            ticket: None,
            wanted: slots.into_iter().map(|slot| slot.key).collect(),
        }));
    }
    Ok(None)
}

/// The state of a job that waits where this row says.
fn state_of(draft: &Draft<'_>, waiter: &WaiterKey) -> Result<Option<StateRow>, Halt> {
    let key = JobKey {
        tenant: waiter.line.tenant.clone(),
        job: waiter.job.clone(),
    };
    let bytes = draft.bytes(&States::key(&key))?;
    let stands = Position::Parked {
        line: waiter.line.id,
        place: waiter.place,
    };
    let state = bytes.and_then(|bytes| States::read_row(&bytes).ok());
    Ok(state.filter(|state| state.position == stands))
}
