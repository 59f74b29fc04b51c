//! What searches will read is asked for at once: a command gives up after some rounds of loading,
//! so nothing may cost a round for each line or each job.

use std::collections::BTreeSet;

use crate::shard::draft::{Draft, Halt, gather};
use crate::shard::limits::ledger::{limit, line};
use crate::shard::limits::name;
use crate::shard::view::Need;
use crate::table::Table as _;
use crate::table::job::JobKey;
use crate::table::key::{Key, KeyRange};
use crate::table::limit::{TicketKey, Tickets};
use crate::table::line::{LineId, LineName, ParkedRow, WaitPlace, WaiterKey, Waiters};
use crate::types::name::LimitKey;
use crate::types::tenant::Tenant;

/// For judging these lines, and for serving as many of their jobs as there are slots.
pub(crate) fn for_lines<'c>(
    draft: &mut Draft<'_>,
    tenant: &Tenant,
    lines: impl ExactSizeIterator<Item = (WaitPlace, LineId, &'c ParkedRow)>,
    slots: usize,
) -> Result<(), Halt> {
    let mut need = Need::default();
    let each = slots.checked_div(lines.len()).unwrap_or(0);
    for (index, (head, id, row)) in lines.enumerate() {
        for key in &row.wanted {
            gather(&mut need, limit(draft, &name(tenant, key)).map(|_| ()))?;
        }
        if index >= slots {
            continue;
        }
        let name = line_name(tenant, id);
        gather(&mut need, line(draft, &name).map(|_| ()))?;
        let next = WaiterKey::from(&name, head);
        let next = rows(draft, &mut need, &next, each.saturating_add(2))?;
        let next = next.iter().filter_map(|(key, _)| {
            let WaiterKey { line, job, .. } = Waiters::read_key(key).ok()?;
            let tenant = line.tenant;
            Some(JobKey { tenant, job })
        });
        let first = std::iter::once(JobKey {
            tenant: tenant.clone(),
            job: row.first.clone(),
        });
        for job in first.chain(next.take(each.saturating_add(1))) {
            // Whether it is damaged is seen when it is served.
            if let Err(Halt::Need(missing)) = draft.state_now(&job) {
                need.add(missing);
            }
        }
    }
    need.settled()
}

/// For taking the tickets of those that want what is paused, so many at the most.
pub(crate) fn for_tickets(
    draft: &mut Draft<'_>,
    tenant: &Tenant,
    freed: &BTreeSet<LimitKey>,
    tickets_max: usize,
) -> Result<(), Halt> {
    let mut need = Need::default();
    for key in freed {
        gather(&mut need, limit(draft, &name(tenant, key)).map(|_| ()))?;
    }
    need.settled()?;
    let mut need = Need::default();
    for key in freed {
        let name = name(tenant, key);
        let row = limit(draft, &name)?;
        if row.is_none_or(|row| row.slots() > 0 || row.tickets == 0) {
            continue;
        }
        for (key, _) in rows(draft, &mut need, &TicketKey::all(&name), tickets_max)? {
            if let Ok(ticket) = Tickets::read_key(&key) {
                let name = line_name(tenant, ticket.line);
                gather(&mut need, for_ticket(draft, &name))?;
            }
        }
    }
    need.settled()
}

fn for_ticket(draft: &mut Draft<'_>, name: &LineName) -> Result<(), Halt> {
    match line(draft, name)? {
        Some(row) => for_lowest(draft, name, &row.wanted),
        None => Ok(()),
    }
}

/// For taking a line's ticket: the limits that it wants, and who is the next of each.
pub(crate) fn for_lowest(
    draft: &mut Draft<'_>,
    line: &LineName,
    wanted: &[LimitKey],
) -> Result<(), Halt> {
    let mut need = Need::default();
    for key in wanted {
        let name = name(&line.tenant, key);
        gather(&mut need, limit(draft, &name).map(|_| ()))?;
        // The line's own, and the one after it.
        rows(draft, &mut need, &TicketKey::all(&name), 2)?;
    }
    need.settled()
}

/// Rows of a range; none, and what is missing, when they are not known.
fn rows(
    draft: &Draft<'_>,
    need: &mut Need,
    range: &KeyRange,
    limit: usize,
) -> Result<Vec<(Key, bytes::Bytes)>, Halt> {
    match draft.range_now(range, limit) {
        Err(Halt::Need(missing)) => {
            need.add(missing);
            Ok(Vec::new())
        }
        other => other,
    }
}

fn line_name(tenant: &Tenant, id: LineId) -> LineName {
    LineName {
        tenant: tenant.clone(),
        id,
    }
}
