//! RecountLimits: counts anew what a tenant's jobs hold of each limit, from its leases and its
//! ready jobs. Nothing differs, unless something was damaged; a row that cannot be read is made
//! anew. All in one command: what was counted in several would not be of one moment.

use std::collections::{BTreeMap, BTreeSet};

use crate::shard::decision::Notice;
use crate::shard::draft::{Draft, Halt, ask};
use crate::shard::limits::ledger::{limit, replace};
use crate::shard::limits::look;
use crate::shard::limits::name;
use crate::shard::refusal::Refusal;
use crate::shard::reply::Reply;
use crate::shard::view::Need;
use crate::table::job::JobKey;
use crate::table::key::{Key, KeyRange};
use crate::table::limit::{LimitName, LimitRow, Limits, TicketKey, Tickets};
use crate::table::line::{Lines, Parked, ParkedKey};
use crate::table::place::Head;
use crate::table::state::{Position, States};
use crate::table::{Table as _, TableId};
use crate::types::limit::Slot;
use crate::types::name::LimitKey;
use crate::types::tenant::Tenant;

/// Most leases and ready jobs of a tenant that are counted, and most limits.
pub const RECOUNTED_MAX: usize = 10_000;

/// What jobs say of a limit.
#[derive(Clone, Copy)]
struct Said {
    held: u32,
    /// The least maximum that any of them said: an enqueue to come says it anew.
    maximum: Option<u32>,
}

impl Said {
    const NOTHING: Self = Self {
        held: 0,
        maximum: None,
    };

    fn hear(&mut self, slot: &Slot) {
        let least = self.maximum.unwrap_or(slot.maximum);
        self.maximum = Some(least.min(slot.maximum));
    }
}

pub(crate) fn decide(tenant: &Tenant, draft: &mut Draft<'_>) -> Result<Reply, Halt> {
    let rows_max = RECOUNTED_MAX.saturating_add(1);
    let mut need = Need::default();
    let jobs = look::of_those_that_hold(draft, tenant, None, rows_max);
    let jobs = ask(&mut need, jobs)?.unwrap_or_default();
    let limits = draft.range(&LimitName::of_tenant(tenant, ""), rows_max);
    let limits = ask(&mut need, limits)?.unwrap_or_default();
    need.settled()?;
    if jobs.len().max(limits.len()) > RECOUNTED_MAX {
        return Err(Refusal::TooManyToCount(tenant.clone()).into());
    }

    let mut said = held(draft, &jobs)?;
    for (row, _) in limits {
        match Limits::read_key(&row) {
            Ok(name) => {
                said.entry(name.key).or_insert(Said::NOTHING);
            }
            Err(_) => draft.notice(Notice::Unreadable(TableId::Limit)),
        }
    }
    let mut need = Need::default();
    let mut differed: u64 = 0;
    for (key, said) in said {
        let name = name(tenant, &key);
        if let Some(is_other) = ask(&mut need, correct(draft, &name, said))? {
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
            let said = said.entry(slot.key.clone()).or_insert(Said::NOTHING);
            said.held = said.held.saturating_add(1);
            said.hear(slot);
        }
    }
    need.settled()?;
    Ok(said)
}

/// Whether the limit's row said otherwise. Whoever waits for it is looked at then.
fn correct(draft: &mut Draft<'_>, name: &LimitName, said: Said) -> Result<bool, Halt> {
    if let Some(row) = limit(draft, name)? {
        if row.held == said.held {
            return Ok(false);
        }
        row.held = said.held;
        draft.notice(Notice::Mended("a limit counted other slots than are held"));
    } else {
        let row = anew(draft, name, said)?;
        replace(draft, name, row);
        draft.notice(Notice::Mended("a limit's row did not decode"));
    }
    draft.ledger.free(name.clone());
    Ok(true)
}

/// A limit's row from all other rows that speak of it. What an operator had set is lost.
fn anew(draft: &Draft<'_>, name: &LimitName, mut said: Said) -> Result<LimitRow, Halt> {
    let mut need = Need::default();
    let lines = ask(&mut need, all(draft, name, &Lines::of_tenant(&name.tenant)))?;
    let parked = ask(&mut need, all(draft, name, &ParkedKey::all(name)))?.unwrap_or_default();
    let tickets = ask(&mut need, all(draft, name, &TicketKey::all(name)))?.unwrap_or_default();
    need.settled()?;
    let mut front: Option<Head<_>> = None;
    for head in parked
        .iter()
        .filter_map(|(key, _)| Parked::read_key(key).ok())
    {
        let head = head.head;
        front = Some(front.map_or(Head::first(head), |front| front.with(head)));
    }
    let mut need = Need::default();
    let mut wanting: u32 = 0;
    let lines = lines.unwrap_or_default();
    let lines = lines
        .iter()
        .filter_map(|(_, row)| Lines::read_row(row).ok());
    for line in lines.filter(|line| line.wanted.contains(&name.key)) {
        wanting = wanting.saturating_add(1);
        let first = JobKey {
            tenant: name.tenant.clone(),
            job: line.first,
        };
        let state = ask(&mut need, draft.bytes(&States::key(&first)))?.flatten();
        let state = state.and_then(|bytes| States::read_row(&bytes).ok());
        let slots = state.map_or_else(Vec::new, |state| state.slots);
        for slot in slots.iter().filter(|slot| slot.key == name.key) {
            said.hear(slot);
        }
    }
    need.settled()?;
    let tickets = tickets
        .iter()
        .filter_map(|(key, _)| Tickets::read_key(key).ok());
    let tickets: Vec<TicketKey> = tickets.collect();
    Ok(LimitRow {
        held: said.held,
        lines: wanting,
        parked: front,
        lowest: tickets.first().map(|key| (key.ticket, key.line)),
        tickets: u32::try_from(tickets.len()).unwrap_or(u32::MAX),
        ..LimitRow::new(said.maximum.unwrap_or(0))
    })
}

fn all(
    draft: &Draft<'_>,
    name: &LimitName,
    range: &KeyRange,
) -> Result<Vec<(Key, bytes::Bytes)>, Halt> {
    let rows = draft.range(range, RECOUNTED_MAX.saturating_add(1))?;
    if rows.len() > RECOUNTED_MAX {
        return Err(Refusal::TooManyToCount(name.tenant.clone()).into());
    }
    Ok(rows)
}
