//! What operators see of limits and of jobs: who holds, who waits, and why a job does not run are
//! what the rows say of all jobs of the tenant, looked through one by one.

use std::collections::{BTreeMap, BTreeSet};

use silo_core::shard::command::Command;
use silo_core::shard::commands::list_limits::ListLimits;
use silo_core::shard::commands::show_limit::{LINES_SHOWN, ShowLimit};
use silo_core::shard::reply::Reply;
use silo_core::shard::seen::{Count, Explanation, LimitPage, LimitShown, LimitView, Wait};
use silo_core::shard::view::Rows;
use silo_core::table::Table;
use silo_core::table::job::JobKey;
use silo_core::table::limit::{LimitName, Limits};
use silo_core::table::line::{LineId, LineName, LineRow, Lines, WaitPlace};
use silo_core::table::state::{Position, StateRow, States};
use silo_core::types::name::JobId;
use silo_core::types::tenant::Tenant;
use silo_runtime::executor::trace::Decided;

use crate::check::settings::Settings;
use crate::check::touched::read;
use crate::check::{Checked, Promise, ensure};
use crate::cover::{Cover, Mark};

/// Checks what is shown, if this shows something. True if it did.
///
/// # Errors
/// [`crate::check::Violation`] when it is not what the rows say.
pub fn check(
    rows: &Rows,
    settings: &Settings,
    decided: &Decided,
    cover: &mut Cover,
) -> Result<bool, crate::check::Violation> {
    let is_true = match (&decided.command, &decided.decision.reply) {
        (Command::ListLimits(list), Reply::Limits(page)) => is_page(rows, list, page),
        (Command::ShowLimit(show), Reply::Limit(shown)) => {
            if shown.holders.len().min(shown.waiters.len()) > 0 {
                cover.hit(Mark::HoldersShown);
            }
            is_limit(rows, show, shown)
        }
        (Command::Explain(key), Reply::Explained(queue, why)) => {
            if matches!(why, Explanation::Waits(_)) {
                cover.hit(Mark::WaitExplained);
            }
            let state = read::<States>(rows, &States::key(key));
            state.is_some_and(|state| {
                state.queue == *queue && is_why(rows, settings, (key, &state), why)
            })
        }
        _ => return Ok(false),
    };
    let is_shown: Checked = ensure(is_true, Promise::Transition, || {
        let (command, reply) = (&decided.command, &decided.decision.reply);
        format!("{command:?} was answered {reply:?}, and the rows say otherwise")
    });
    is_shown.map(|()| true)
}

/// Who holds a slot of a limit, and who waits in lines that are parked on it.
struct Found {
    holders: BTreeSet<JobId>,
    waiters: BTreeMap<(WaitPlace, LineId), JobId>,
    /// Lines that want it and have a ticket.
    tickets: BTreeSet<LineId>,
}

impl Found {
    fn of(rows: &Rows, name: &LimitName) -> Self {
        let mut found = Self {
            holders: BTreeSet::new(),
            waiters: BTreeMap::new(),
            tickets: BTreeSet::new(),
        };
        for (key, state) in states(rows, &name.tenant) {
            if !state.slots.iter().any(|slot| slot.key == name.key) {
                continue;
            }
            match state.position {
                Position::Ready(_) | Position::Leased(_) => {
                    found.holders.insert(key.job);
                }
                Position::Parked { line, place } => {
                    let Some(row) = line_of(rows, &name.tenant, line) else {
                        continue;
                    };
                    if row.ticket.is_some() {
                        found.tickets.insert(line);
                    }
                    if row.at == name.key {
                        found.waiters.insert((place, line), key.job);
                    }
                }
                Position::Due(_) | Position::Ended { .. } | Position::Quarantined { .. } => {}
            }
        }
        found
    }

    fn is_seen(&self, rows: &Rows, name: &LimitName, view: &LimitView) -> bool {
        let Some(row) = read::<Limits>(rows, &Limits::key(name)) else {
            return false;
        };
        let first = self.waiters.first_key_value();
        let first = first.map(|((place, _), job)| (job, place.place().at));
        view.key == name.key
            && view.held as usize == self.holders.len()
            && (view.slots, view.maximum) == (row.slots(), row.maximum)
            && (view.set, view.is_paused) == (row.set, row.is_paused)
            && is_number(view.waiting, self.waiters.len())
            && view.first.as_ref().map(|first| (&first.job, first.since)) == first
            && view.tickets as usize == self.tickets.len()
    }
}

fn is_page(rows: &Rows, list: &ListLimits, page: &LimitPage) -> bool {
    let limits_max = list.limits_max.max(1) as usize;
    let range = LimitName::of_tenant(&list.tenant, &list.prefix);
    let names = rows.map.range(range);
    let names = names.filter_map(|(key, _)| Limits::read_key(key).ok());
    let names = names.filter(|name| list.after.as_ref().is_none_or(|after| name.key > *after));
    let names: Vec<LimitName> = names.collect();
    let shown = names.iter().take(limits_max);
    let last = shown.clone().next_back();
    let mut pairs = shown.clone().zip(&page.limits);
    page.damaged == 0
        && page.limits.len() == shown.len()
        && (page.next.is_some() || names.len() <= limits_max)
        && (page.next.as_ref()).is_none_or(|next| last.is_some_and(|last| last.key == *next))
        && pairs.all(|(name, view)| Found::of(rows, name).is_seen(rows, name, view))
}

fn is_limit(rows: &Rows, show: &ShowLimit, shown: &LimitShown) -> bool {
    let name = &show.limit;
    let Some(view) = &shown.limit else {
        return !rows.map.contains_key(&Limits::key(name));
    };
    let found = Found::of(rows, name);
    let holders: BTreeSet<&JobId> = shown.holders.iter().map(|holder| &holder.job).collect();
    let are_all = shown.next.is_some()
        || shown.holders.len() == show.holders_max as usize
        || holders.len() == found.holders.len();
    // Behind the lines that are gone through there may be others.
    let asked = show.waiters_max as usize;
    let least = if view.waiting.is_exact {
        found.waiters.len()
    } else {
        LINES_SHOWN
    };
    let waiters = shown.waiters.iter().map(|waiter| &waiter.job);
    let first = found.waiters.values().take(shown.waiters.len());
    found.is_seen(rows, name, view)
        && holders.len() == shown.holders.len()
        && holders.iter().all(|job| found.holders.contains(*job))
        && (show.holders_after.is_some() || are_all)
        && (least.min(asked)..=asked).contains(&shown.waiters.len())
        && waiters.eq(first)
}

fn is_why(
    rows: &Rows,
    settings: &Settings,
    (key, state): (&JobKey, &StateRow),
    why: &Explanation,
) -> bool {
    match (&state.position, why) {
        (Position::Due(place), Explanation::NotDue { until, .. }) => place.at == *until,
        (
            Position::Ready(place),
            Explanation::Ready {
                since,
                before,
                of,
                paused,
            },
        ) => {
            let group = &state.queue.group;
            let is_paused = settings.is_paused(&key.tenant, group);
            let (mut all, mut first) = (0, 0);
            for (_, other) in states(rows, &key.tenant) {
                if let Position::Ready(its) = other.position
                    && other.queue.group == *group
                {
                    all += 1;
                    let is_first = (other.queue.priority, its) < (state.queue.priority, *place);
                    first += usize::from(is_first);
                }
            }
            *since == place.at
                && is_number(*before, first)
                && *of == all
                && paused.is_some() == is_paused
        }
        (Position::Parked { line, place }, Explanation::Waits(wait)) => {
            is_wait(rows, (key, state), (*line, *place), wait)
        }
        (
            Position::Leased(lease),
            Explanation::Runs {
                worker, attempt, ..
            },
        ) => (&lease.worker, lease.attempt) == (worker, *attempt),
        (
            Position::Ended { status, at, .. },
            Explanation::Ended {
                status: told,
                at: then,
                ..
            },
        ) => (status, at) == (told, then),
        (Position::Quarantined { at }, Explanation::Quarantined { at: then, .. }) => at == then,
        _ => false,
    }
}

/// Whoever waits is told what for: one of its limits has no slot for it, or will be searched.
fn is_wait(
    rows: &Rows,
    (key, state): (&JobKey, &StateRow),
    (line, place): (LineId, WaitPlace),
    wait: &Wait,
) -> bool {
    let Some(row) = line_of(rows, &key.tenant, line) else {
        return false;
    };
    let at = LimitName {
        tenant: key.tenant.clone(),
        key: row.at.clone(),
    };
    let (mut earlier, mut of, mut heads) = (0, 0, BTreeSet::new());
    for (_, other) in states(rows, &key.tenant) {
        let Position::Parked {
            line: its,
            place: there,
        } = other.position
        else {
            continue;
        };
        if its == line {
            of += 1;
            earlier += usize::from(there < place);
        } else if there < row.head
            && line_of(rows, &key.tenant, its).is_some_and(|other| other.at == row.at)
        {
            heads.insert(its);
        }
    }
    let found = Found::of(rows, &at);
    let is_blocked = wait
        .limits
        .iter()
        .any(|limit| limit.key == wait.at && limit.obstacle.is_some());
    let are_same = wait.limits.iter().all(|limit| {
        let name = LimitName {
            tenant: key.tenant.clone(),
            key: limit.key.clone(),
        };
        let known = read::<Limits>(rows, &Limits::key(&name));
        known.map(|known| (known.held, known.slots())) == Some((limit.held, limit.slots))
    });
    let wanted = state.slots.iter().map(|slot| &slot.key);
    wait.at == row.at
        && (wait.since, wait.is_expedited) == (place.place().at, place.is_expedited())
        && wait.limits.iter().map(|limit| &limit.key).eq(wanted)
        && are_same
        && (is_blocked || wait.is_to_be_searched)
        && is_number(wait.before, earlier)
        && wait.of == of
        && is_number(wait.lines_before, heads.len())
        && wait.has_ticket == row.ticket.is_some()
        && wait
            .holders
            .iter()
            .all(|holder| found.holders.contains(&holder.job))
        && wait.holders.is_empty() == found.holders.is_empty()
}

/// Jobs of a tenant.
fn states(rows: &Rows, tenant: &Tenant) -> impl Iterator<Item = (JobKey, StateRow)> {
    let of_tenant = rows.map.range(States::of_tenant(tenant, ""));
    of_tenant.filter_map(|(key, row)| {
        let key = States::read_key(key).ok()?;
        Some((key, States::read_row(row).ok()?))
    })
}

fn line_of(rows: &Rows, tenant: &Tenant, id: LineId) -> Option<LineRow> {
    let tenant = tenant.clone();
    read::<Lines>(rows, &Lines::key(&LineName { tenant, id }))
}

fn is_number(told: Count, counted: usize) -> bool {
    let counted = counted as u64;
    if told.is_exact {
        told.number == counted
    } else {
        told.number <= counted
    }
}
