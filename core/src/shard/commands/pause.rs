//! PauseQueue and ResumeQueue: whether anything is leased of a task group, of one tenant or of all.
//! ListPaused: the task groups that are paused for everybody.

use crate::shard::commands::tenant::view;
use crate::shard::decision::Notice;
use crate::shard::draft::{Draft, Halt};
use crate::shard::refusal::{PAUSED_MAX, Refusal};
use crate::shard::reply::Reply;
use crate::table::singleton::{PausedQueues, PausedQueuesKey};
use crate::types::name::TaskGroup;
use crate::types::tenant::Tenant;

/// Whether anything of a task group is leased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetQueue {
    /// Which task group; there need not be jobs in it.
    pub group: TaskGroup,
    /// For this tenant only; else for everybody in the shard. These are two things: what is paused
    /// both ways must be resumed both ways.
    pub tenant: Option<Tenant>,
    /// Whether it is paused.
    pub is_paused: bool,
}

pub(crate) fn set(set: &SetQueue, draft: &mut Draft<'_>) -> Result<Reply, Halt> {
    match &set.tenant {
        Some(tenant) => of_tenant(set, tenant, draft),
        None => of_all(set, draft),
    }
}

pub(crate) fn list(draft: &mut Draft<'_>) -> Result<Reply, Halt> {
    Ok(Reply::PausedQueues(draft.paused_queues()?.since))
}

fn of_tenant(set: &SetQueue, tenant: &Tenant, draft: &mut Draft<'_>) -> Result<Reply, Halt> {
    let now = draft.now();
    let row = draft.tenant(tenant)?;
    if set.is_paused {
        let is_new = !row.paused_queues.contains_key(&set.group);
        if is_new && row.paused_queues.len() >= PAUSED_MAX {
            return Err(Refusal::TooManyPaused.into());
        }
        row.paused_queues.entry(set.group.clone()).or_insert(now);
    } else {
        row.paused_queues.remove(&set.group);
    }
    Ok(view(row))
}

fn of_all(set: &SetQueue, draft: &mut Draft<'_>) -> Result<Reply, Halt> {
    let now = draft.now();
    let mut row = draft.paused_queues()?;
    let is_paused = row.since.contains_key(&set.group);
    if is_paused != set.is_paused {
        if set.is_paused {
            if row.since.len() >= PAUSED_MAX {
                return Err(Refusal::TooManyPaused.into());
            }
            row.since.insert(set.group.clone(), now);
        } else {
            row.since.remove(&set.group);
            draft.notice(Notice::Ready(set.group.clone()));
        }
        if row.since.is_empty() {
            draft.delete::<PausedQueues>(&PausedQueuesKey);
        } else {
            draft.put::<PausedQueues>(&PausedQueuesKey, &row);
        }
    }
    let since = row.since.clone();
    draft.knows_paused(row);
    Ok(Reply::PausedQueues(since))
}
