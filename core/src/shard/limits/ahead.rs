//! What searches will read is asked for at once: a command gives up after some rounds of loading,
//! so nothing may cost a round for each line or each job.

use std::collections::{BTreeMap, BTreeSet};

use crate::shard::draft::{Draft, Halt, ask, gather};
use crate::shard::limits::ledger::{limit, line};
use crate::shard::limits::name;
use crate::shard::view::Need;
use crate::table::Table as _;
use crate::table::job::JobKey;
use crate::table::key::{Key, KeyRange};
use crate::table::limit::{TicketKey, Tickets};
use crate::table::line::{LineId, LineName, ParkedRow, WaitPlace, WaiterKey, Waiters};
use crate::types::name::{JobId, LimitKey};
use crate::types::tenant::Tenant;

/// For judging these lines, and for serving their jobs in their order as long as there are slots,
/// so many at the most.
pub(crate) fn for_lines<'c>(
    draft: &mut Draft<'_>,
    tenant: &Tenant,
    lines: impl Iterator<Item = (WaitPlace, LineId, &'c ParkedRow)>,
    jobs_max: usize,
) -> Result<(), Halt> {
    let mut need = Need::default();
    let mut free: BTreeMap<&LimitKey, u32> = BTreeMap::new();
    let mut jobs: BTreeMap<(WaitPlace, LineId), (JobKey, &[LimitKey])> = BTreeMap::new();
    for (head, id, row) in lines {
        let mut slots = u32::MAX;
        for key in &row.wanted {
            let limit = ask(&mut need, limit(draft, &name(tenant, key)))?;
            // One that is not known yet may have slots for all.
            let limit = limit.map_or(u32::MAX, |row| row.map_or(0, |row| row.free()));
            slots = slots.min(limit);
            free.insert(key, limit);
        }
        if slots == 0 {
            continue;
        }
        let job = |job: JobId| JobKey {
            tenant: tenant.clone(),
            job,
        };
        jobs.insert((head, id), (job(row.first.clone()), &row.wanted));
        let name = line_name(tenant, id);
        gather(&mut need, line(draft, &name).map(|_| ()))?;
        let slots = usize::try_from(slots).unwrap_or(usize::MAX);
        let behind = WaiterKey::from(&name, head);
        for (key, _) in rows(draft, &mut need, &behind, slots.min(jobs_max))? {
            if let Ok(waiter) = Waiters::read_key(&key) {
                jobs.insert((waiter.place, id), (job(waiter.job), &row.wanted));
            }
        }
    }
    let mut served: usize = 0;
    for (key, wanted) in jobs.into_values() {
        if served == jobs_max {
            break;
        }
        if wanted.iter().any(|key| free.get(key) == Some(&0)) {
            continue;
        }
        for limit in wanted {
            free.entry(limit)
                .and_modify(|left| *left = left.saturating_sub(1));
        }
        served = served.saturating_add(1);
        // Whether it is damaged is seen when it is served.
        if let Err(Halt::Need(missing)) = draft.state_now(&key) {
            need.add(missing);
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
