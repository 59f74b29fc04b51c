//! Pages of lists: every job of the tenant that is asked for stands on one, in its order, as it
//! stands; and nobody else's.

use std::ops::Bound;

use silo_core::shard::command::Command;
use silo_core::shard::commands::list::List;
use silo_core::shard::reply::{ListedJob, Listing, Reply};
use silo_core::shard::view::Rows;
use silo_core::table::job::{JobKey, Jobs};
use silo_core::table::key::{Key, whole};
use silo_core::table::state::{Position, StateRow, States};
use silo_core::table::{Table, TableId};
use silo_runtime::executor::trace::Decided;

use crate::check::touched::read;
use crate::check::{Checked, Promise, ensure, violated};

/// Checks a page, if this is one. True if it was.
///
/// # Errors
/// [`crate::check::Violation`] when it is not what the rows say.
pub fn check(rows: &Rows, decided: &Decided) -> Result<bool, crate::check::Violation> {
    let (Command::List(list), Reply::Listed(page)) = (&decided.command, &decided.decision.reply)
    else {
        return Ok(false);
    };
    is_page(rows, list, page).map(|()| true)
}

fn is_page(rows: &Rows, list: &List, page: &Listing) -> Checked {
    let jobs_max = usize::try_from(list.jobs_max).unwrap_or(usize::MAX);
    if page.jobs.len() > jobs_max || page.next.is_some() && page.next <= list.after {
        return violated(
            Promise::Transition,
            format!("{list:?} was answered {page:?}"),
        );
    }
    let all = whole(TableId::State);
    let from = (list.after.as_ref()).map_or(Bound::Included(&all.start), Bound::Excluded);
    let to = (page.next.as_ref()).map_or(Bound::Excluded(&all.end), Bound::Included);
    let mut expected = Vec::new();
    for (row_key, row) in rows.map.range::<Key, _>((from, to)) {
        // Of other tenants' rows not even the state is looked at: there are many.
        let key = States::read_key(row_key).ok();
        let Some(key) = key.filter(|key| key.tenant == list.tenant) else {
            continue;
        };
        if let Ok(state) = States::read_row(row)
            && is_asked_for(list, &state)
        {
            expected.push((key, state));
        }
    }
    let mut pairs = expected.iter().zip(&page.jobs);
    let is_same = expected.len() == page.jobs.len()
        && pairs.all(|((key, state), shown)| is_shown(rows, key, state, shown));
    ensure(is_same, Promise::Transition, || {
        let expected: Vec<&JobKey> = expected.iter().map(|(key, _)| key).collect();
        format!("{list:?} was answered {page:?}, and there are {expected:?}")
    })
}

fn is_asked_for(list: &List, state: &StateRow) -> bool {
    !matches!(state.position, Position::Quarantined { .. })
        && (list.statuses.is_empty() || list.statuses.contains(&state.status()))
        && (list.group.as_ref()).is_none_or(|group| *group == state.queue.group)
}

fn is_shown(rows: &Rows, key: &JobKey, state: &StateRow, shown: &ListedJob) -> bool {
    let next_start = match &state.position {
        Position::Due(place) | Position::Ready(place) => Some(place.at),
        Position::Parked { place, .. } => Some(place.place().at),
        Position::Leased(_) | Position::Ended { .. } | Position::Quarantined { .. } => None,
    };
    let asked: Option<_> = read::<Jobs>(rows, &Jobs::key(key));
    shown.job == key.job
        && (shown.status, shown.changed_at) == (state.status(), state.changed_at)
        && shown.queue == state.queue
        && shown.next_start == next_start
        && asked.is_some_and(|asked| asked.enqueued_at == shown.enqueued_at)
}
