//! RecountLimits: counts anew what a tenant's jobs hold of each limit, from its leases and its
//! ready jobs, and who waits for it, from its lines. Nothing differs, unless something was damaged;
//! a row of a limit or a line that cannot be read is made anew. All in one command: what was
//! counted in several would not be of one moment.

use std::collections::{BTreeMap, BTreeSet};

use crate::shard::decision::Notice;
use crate::shard::draft::{Draft, Halt, ask};
use crate::shard::limits::anew::{All, keep_only};
use crate::shard::limits::ledger::{limit, replace_limit};
use crate::shard::limits::look;
use crate::shard::limits::name;
use crate::shard::refusal::Refusal;
use crate::shard::reply::Reply;
use crate::shard::view::Need;
use crate::table::Table as _;
use crate::table::TableId;
use crate::table::job::JobKey;
use crate::table::key::Key;
use crate::table::limit::{LimitName, LimitRow, Limits, TicketRow, Tickets};
use crate::table::line::{LineId, LineRow, Parked, ParkedRow, WaitPlace};
use crate::table::place::Head;
use crate::table::state::{Position, States};
use crate::types::limit::Slot;
use crate::types::name::LimitKey;
use crate::types::tenant::Tenant;

/// Most leases and ready jobs of a tenant that are counted, and most limits, lines and tickets.
pub const RECOUNTED_MAX: usize = 10_000;

/// What jobs and lines say of a limit.
#[derive(Default)]
struct Said {
    held: u32,
    lines: u32,
    parked: Option<Head<WaitPlace>>,
    tickets: BTreeSet<(u64, LineId)>,
    /// The least maximum that any of them said: an enqueue to come says it anew.
    maximum: Option<u32>,
}

impl Said {
    fn hear(&mut self, slot: &Slot) {
        let least = self.maximum.unwrap_or(slot.maximum);
        self.maximum = Some(least.min(slot.maximum));
    }

    /// Whether a row says the same, but for what an operator set. Its mark may stand lower.
    fn is_that_of(&self, row: &LimitRow) -> bool {
        let is_marked = match (row.parked, self.parked) {
            (None, None) => true,
            (Some(known), Some(found)) => known.count == found.count && known.low <= found.low,
            (None, Some(_)) | (Some(_), None) => false,
        };
        let counts = |row: &LimitRow| (row.held, row.lines, row.tickets, row.lowest);
        is_marked && counts(row) == counts(&self.told(row.clone()))
    }

    /// A row that says the same.
    fn told(&self, row: LimitRow) -> LimitRow {
        LimitRow {
            held: self.held,
            lines: self.lines,
            parked: self.parked,
            lowest: self.tickets.first().copied(),
            tickets: u32::try_from(self.tickets.len()).unwrap_or(u32::MAX),
            ..row
        }
    }
}

pub(crate) fn decide(tenant: &Tenant, draft: &mut Draft<'_>) -> Result<Reply, Halt> {
    let rows_max = RECOUNTED_MAX.saturating_add(1);
    let mut need = Need::default();
    let jobs = look::of_those_that_hold(draft, tenant, None, rows_max);
    let jobs = ask(&mut need, jobs)?.unwrap_or_default();
    let limits = draft.range(&LimitName::of_tenant(tenant, ""), rows_max);
    let limits = ask(&mut need, limits)?.unwrap_or_default();
    let all = ask(&mut need, All::load(draft, tenant, rows_max))?.unwrap_or_default();
    need.settled()?;
    if jobs.len().max(limits.len()).max(all.longest()) > RECOUNTED_MAX {
        return Err(Refusal::TooManyToCount(tenant.clone()).into());
    }

    let mut said = held(draft, &jobs)?;
    for (row, _) in limits {
        match Limits::read_key(&row) {
            Ok(name) => {
                said.entry(name.key).or_default();
            }
            Err(_) => draft.notice(Notice::Unreadable(TableId::Limit)),
        }
    }
    let (lines, mut differed) = all.lines(draft)?;
    let mut parked = BTreeMap::new();
    let mut tickets = BTreeMap::new();
    for (line, row) in &lines {
        let key = line.parked_key(row);
        let head = said.entry(row.at.clone()).or_default();
        let first = Head::first(row.head);
        head.parked = Some(head.parked.map_or(first, |head| head.with(row.head)));
        parked.insert(Parked::key(&key), (key, ParkedRow::from(row)));
        for wanted in &row.wanted {
            let said = said.entry(wanted.clone()).or_default();
            said.lines = said.lines.saturating_add(1);
            if let Some(ticket) = row.ticket {
                said.tickets.insert((ticket, line.id));
                let key = line.ticket_key(wanted, ticket);
                tickets.insert(Tickets::key(&key), (key, TicketRow {}));
            }
        }
    }
    keep_only::<Parked>(draft, all.parked, parked);
    keep_only::<Tickets>(draft, all.tickets, tickets);
    let mut need = Need::default();
    for (key, said) in said {
        let name = name(tenant, &key);
        let corrected = correct(draft, &name, said, lines.values());
        if let Some(is_other) = ask(&mut need, corrected)? {
            differed = differed.saturating_add(u64::from(is_other));
        }
    }
    need.settled()?;
    Ok(Reply::Recounted { differed })
}

/// What the jobs hold that these rows are about.
fn held(draft: &Draft<'_>, rows: &[Key]) -> Result<BTreeMap<LimitKey, Said>, Halt> {
    let jobs: BTreeSet<JobKey> = rows.iter().filter_map(look::job_of).collect();
    let mut need = Need::default();
    let mut said: BTreeMap<LimitKey, Said> = BTreeMap::new();
    for key in jobs {
        let Some(Some(state)) = ask(&mut need, draft.state(&key))? else {
            continue;
        };
        match &state.position {
            Position::Ready(_) | Position::Leased(_) => {}
            Position::Due(_)
            | Position::Parked { .. }
            | Position::Ended { .. }
            | Position::Quarantined { .. } => continue,
        }
        for slot in &state.slots {
            let said = said.entry(slot.key.clone()).or_default();
            said.held = said.held.saturating_add(1);
            said.hear(slot);
        }
    }
    need.settled()?;
    Ok(said)
}

/// Whether the limit's row said otherwise. Whoever waits for it is looked at then.
fn correct<'l>(
    draft: &mut Draft<'_>,
    name: &LimitName,
    said: Said,
    lines: impl Iterator<Item = &'l LineRow>,
) -> Result<bool, Halt> {
    if let Some(row) = limit(draft, name)? {
        if said.is_that_of(row) {
            return Ok(false);
        }
        *row = said.told(row.clone());
        draft.notice(Notice::Mended("a limit counted other jobs than there are"));
    } else {
        let row = anew(draft, name, said, lines)?;
        replace_limit(draft, name, row);
        draft.notice(Notice::Mended("a limit's row did not decode"));
    }
    draft.ledger.free(name.clone());
    Ok(true)
}

/// A limit's row from all other rows that speak of it. What an operator had set is lost.
fn anew<'l>(
    draft: &Draft<'_>,
    name: &LimitName,
    mut said: Said,
    lines: impl Iterator<Item = &'l LineRow>,
) -> Result<LimitRow, Halt> {
    let mut need = Need::default();
    for line in lines.filter(|line| line.wanted.contains(&name.key)) {
        let first = JobKey {
            tenant: name.tenant.clone(),
            job: line.first.clone(),
        };
        let state = ask(&mut need, draft.bytes(&States::key(&first)))?.flatten();
        let state = state.and_then(|bytes| States::read_row(&bytes).ok());
        let slots = state.map_or_else(Vec::new, |state| state.slots);
        for slot in slots.iter().filter(|slot| slot.key == name.key) {
            said.hear(slot);
        }
    }
    need.settled()?;
    Ok(said.told(LimitRow::new(said.maximum.unwrap_or(0))))
}
