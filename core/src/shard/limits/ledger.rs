//! The rows of limits and lines while a command changes them: a command that serves many jobs of a
//! line writes its rows once.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::shard::decision::Notice;
use crate::shard::draft::{Draft, Halt, gather};
use crate::shard::limits::ahead::for_lowest;
use crate::shard::view::Need;
use crate::table::codec::encode;
use crate::table::key::Key;
use crate::table::limit::{LimitName, LimitRow, Limits, TicketKey, TicketRow, Tickets};
use crate::table::line::{LineId, LineName, LineRow, Lines, Parked};
use crate::table::place::Head;
use crate::table::{Table, TableId};
use crate::types::name::LimitKey;
use crate::types::tenant::Tenant;

/// Rows that a command has read, as it leaves them so far.
#[derive(Default)]
pub(crate) struct Ledger {
    limits: BTreeMap<LimitName, Kept<LimitRow>>,
    lines: BTreeMap<LineName, Kept<Option<LineRow>>>,
    freed: BTreeMap<Tenant, BTreeSet<LimitKey>>,
}

struct Kept<R> {
    before: Option<Bytes>,
    /// None: it does not decode, and is left as it is.
    now: Option<R>,
}

impl Ledger {
    /// Whoever waits for this limit is to be looked at when the command ends.
    pub(crate) fn free(&mut self, name: LimitName) {
        self.freed.entry(name.tenant).or_default().insert(name.key);
    }

    /// All limits of one tenant that are to be looked at.
    pub(crate) fn take_freed(&mut self) -> Option<(Tenant, BTreeSet<LimitKey>)> {
        self.freed.pop_first()
    }

    /// How many tenants have limits that are to be looked at.
    pub(crate) fn freed_tenants(&self) -> usize {
        self.freed.len()
    }

    /// The rows to write.
    pub(crate) fn changes(self) -> impl Iterator<Item = (Key, Option<Bytes>)> {
        let limits = self.limits.into_iter().filter_map(|(name, kept)| {
            let after = kept.now?;
            let after = after.is_used().then(|| encode(&after));
            (after != kept.before).then(|| (Limits::key(&name), after))
        });
        let lines = self.lines.into_iter().filter_map(|(name, kept)| {
            let after = kept.now?.as_ref().map(encode);
            (after != kept.before).then(|| (Lines::key(&name), after))
        });
        limits.chain(lines)
    }
}

/// A limit, to change; one that is not in use has no slots yet. None if it cannot be read.
pub(crate) fn limit<'d>(
    draft: &'d mut Draft<'_>,
    name: &LimitName,
) -> Result<Option<&'d mut LimitRow>, Halt> {
    if !draft.ledger.limits.contains_key(name) {
        let before = draft.bytes(&Limits::key(name))?;
        let now = match &before {
            None => Some(LimitRow::new(0)),
            Some(bytes) => readable::<Limits>(draft, bytes),
        };
        let kept = Kept { before, now };
        draft.ledger.limits.insert(name.clone(), kept);
    }
    let kept = draft.ledger.limits.get_mut(name);
    Ok(kept.and_then(|kept| kept.now.as_mut()))
}

/// Puts a limit's row in the place of one that cannot be read.
pub(crate) fn replace_limit(draft: &mut Draft<'_>, name: &LimitName, row: LimitRow) {
    if let Some(kept) = draft.ledger.limits.get_mut(name) {
        kept.now = Some(row);
    }
}

/// Puts a line's row in the place of one that cannot be read, or is not there, and no other rows.
pub(crate) fn replace_line(
    draft: &mut Draft<'_>,
    name: &LineName,
    row: Option<LineRow>,
) -> Result<(), Halt> {
    line(draft, name)?;
    if let Some(kept) = draft.ledger.lines.get_mut(name) {
        kept.now = Some(row);
    }
    Ok(())
}

/// Whether a limit has a slot for a line. One that cannot be read has none for anybody.
pub(crate) fn fits(draft: &mut Draft<'_>, name: &LimitName, line: LineId) -> Result<bool, Halt> {
    Ok(limit(draft, name)?.is_some_and(|row| row.fits(Some(line))))
}

/// A line. None if there is none, or it cannot be read.
pub(crate) fn line(draft: &mut Draft<'_>, name: &LineName) -> Result<Option<LineRow>, Halt> {
    if !draft.ledger.lines.contains_key(name) {
        let before = draft.bytes(&Lines::key(name))?;
        let now = match &before {
            None => Some(None),
            Some(bytes) => readable::<Lines>(draft, bytes).map(Some),
        };
        let kept = Kept { before, now };
        draft.ledger.lines.insert(name.clone(), kept);
    }
    let kept = draft.ledger.lines.get(name);
    Ok(kept.and_then(|kept| kept.now.clone().flatten()))
}

/// Whether the row of a line that was looked at cannot be read.
pub(crate) fn is_damaged(draft: &Draft<'_>, name: &LineName) -> bool {
    let kept = draft.ledger.lines.get(name);
    kept.is_some_and(|kept| kept.now.is_none())
}

fn readable<T: Table>(draft: &mut Draft<'_>, bytes: &Bytes) -> Option<T::Row> {
    let row = T::read_row(bytes).ok();
    if row.is_none() {
        draft.notice(Notice::Unreadable(T::ID));
    }
    row
}

/// Writes a line as it is now, and where it is parked, and its ticket. (SILO-LIMIT-3)
pub(crate) fn put_line(
    draft: &mut Draft<'_>,
    name: &LineName,
    after: Option<LineRow>,
) -> Result<(), Halt> {
    let before = line(draft, name)?;
    want(draft, name, before.as_ref(), after.as_ref())?;
    park(draft, name, before.as_ref(), after.as_ref())?;
    issue(draft, name, before.as_ref(), after.as_ref())?;
    if let Some(kept) = draft.ledger.lines.get_mut(name) {
        kept.now = Some(after);
    }
    Ok(())
}

/// Limits know how many lines want them.
fn want(
    draft: &mut Draft<'_>,
    name: &LineName,
    before: Option<&LineRow>,
    after: Option<&LineRow>,
) -> Result<(), Halt> {
    let (row, is_new) = match (before, after) {
        (None, Some(row)) => (row, true),
        (Some(row), None) => (row, false),
        (None, None) | (Some(_), Some(_)) => return Ok(()),
    };
    let mut need = Need::default();
    for key in &row.wanted {
        gather(&mut need, limit(draft, &name.limit(key)).map(|_| ()))?;
    }
    need.settled()?;
    for key in &row.wanted {
        if let Some(limit) = limit(draft, &name.limit(key))? {
            limit.lines = match is_new {
                true => limit.lines.saturating_add(1),
                false => limit.lines.saturating_sub(1),
            };
        }
    }
    Ok(())
}

fn park(
    draft: &mut Draft<'_>,
    name: &LineName,
    before: Option<&LineRow>,
    after: Option<&LineRow>,
) -> Result<(), Halt> {
    let place = |row: &LineRow| (row.at.clone(), row.head, row.first.clone());
    if before.map(place) == after.map(place) {
        return Ok(());
    }
    if let Some(row) = before {
        draft.delete::<Parked>(&name.parked_key(row));
        if let Some(limit) = limit(draft, &name.limit(&row.at))? {
            limit.parked = limit.parked.and_then(|head| head.without(row.head));
        }
    }
    if let Some(row) = after {
        draft.put::<Parked>(&name.parked_key(row), &row.into());
        if let Some(limit) = limit(draft, &name.limit(&row.at))? {
            let head = limit.parked;
            limit.parked = Some(head.map_or(Head::first(row.head), |head| head.with(row.head)));
        }
    }
    Ok(())
}

/// Tickets stand at every limit that the line wants. (SILO-LIMIT-6)
fn issue(
    draft: &mut Draft<'_>,
    name: &LineName,
    before: Option<&LineRow>,
    after: Option<&LineRow>,
) -> Result<(), Halt> {
    let ticket = |row: Option<&LineRow>| row.and_then(|row| row.ticket);
    let (old, new) = (ticket(before), ticket(after));
    if old == new {
        return Ok(());
    }
    let wanted = before.or(after).map(|row| row.wanted.clone());
    let wanted = wanted.unwrap_or_default();
    if old.is_some() {
        for_lowest(draft, name, &wanted)?;
    }
    for key in wanted {
        let limit_name = name.limit(&key);
        if let Some(ticket) = old {
            draft.delete::<Tickets>(&name.ticket_key(&key, ticket));
            next_lowest(draft, &limit_name)?;
        }
        if let Some(ticket) = new {
            draft.put::<Tickets>(&name.ticket_key(&key, ticket), &TicketRow {});
            if let Some(row) = limit(draft, &limit_name)? {
                row.tickets = row.tickets.saturating_add(1);
                let drawn = (ticket, name.id);
                row.lowest = Some(row.lowest.map_or(drawn, |lowest| lowest.min(drawn)));
            }
        }
    }
    Ok(())
}

/// Drops the lowest ticket of a limit, the line of which is not there or cannot be read: a limit
/// that is paused would be searched for it for ever.
pub(crate) fn drop_lowest(draft: &mut Draft<'_>, name: &LimitName) -> Result<(), Halt> {
    let Some((ticket, line)) = limit(draft, name)?.and_then(|row| row.lowest) else {
        return Ok(());
    };
    let key = TicketKey {
        limit: name.clone(),
        ticket,
        line,
    };
    draft.drop_index(TableId::Ticket, &Tickets::key(&key));
    next_lowest(draft, name)
}

/// A limit has a ticket less: who has the lowest now.
fn next_lowest(draft: &mut Draft<'_>, name: &LimitName) -> Result<(), Halt> {
    let rows = draft.range_now(&TicketKey::all(name), 1)?;
    let lowest = rows
        .first()
        .and_then(|(key, _)| Tickets::read_key(key).ok());
    if let Some(row) = limit(draft, name)? {
        row.tickets = row.tickets.saturating_sub(1);
        row.lowest = lowest.map(|key| (key.ticket, key.line));
    }
    Ok(())
}
