//! LeaseJob: hand out one given job, out of its turn. For tests and for people. (SILO-LEASE-T2)
//!
//! A pause holds here too: an operator who paused something relies on it that nothing of it starts.

use crate::shard::commands::lease::Grantee;
use crate::shard::draft::{Draft, Halt};
use crate::shard::limits::{first_full, had_turn, hold};
use crate::shard::moves::{grant, step_out};
use crate::shard::refusal::{Paused, Refusal};
use crate::shard::reply::Reply;
use crate::shard::view::Need;
use crate::table::job::JobKey;
use crate::table::state::Position;
use crate::types::name::TaskGroup;
use crate::types::tenant::Tenant;

/// A request for one given job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseJob {
    /// Which job.
    pub key: JobKey,
    /// For whom.
    pub grantee: Grantee,
}

pub(crate) fn decide(lease: &LeaseJob, draft: &mut Draft<'_>) -> Result<Reply, Halt> {
    let key = &lease.key;
    let Some((job, mut state)) = draft.job_and_state(key)? else {
        return Err(Refusal::JobNotFound(key.clone()).into());
    };
    let place = match &state.position {
        Position::Due(place) | Position::Ready(place) => *place,
        Position::Parked { place, .. } => {
            state.waited = Some(*place);
            place.place()
        }
        position
        @ (Position::Leased(_) | Position::Ended { .. } | Position::Quarantined { .. }) => {
            return Err(Refusal::not_leasable(key, position).into());
        }
    };
    if let Some(by) = paused(draft, &key.tenant, &state.queue.group)? {
        let key = key.clone();
        return Err(Refusal::Paused { key, by }.into());
    }
    if !matches!(state.position, Position::Ready(_)) {
        if let Some(limit) = first_full(draft, &key.tenant, &state)? {
            let key = key.clone();
            return Err(Refusal::LimitFull { key, limit }.into());
        }
        hold(draft, &key.tenant, &state.slots)?;
    }
    step_out(draft, key, &state)?;
    if let Position::Parked { line, .. } = state.position {
        had_turn(draft, &key.tenant, line)?;
    }
    let task = grant(draft, key, &job, state, place, &lease.grantee)?;
    Ok(Reply::Leased(vec![task]))
}

/// What keeps jobs of a tenant in a task group from being leased, if anything does.
pub(crate) fn paused(
    draft: &mut Draft<'_>,
    tenant: &Tenant,
    group: &TaskGroup,
) -> Result<Option<Paused>, Halt> {
    let mut need = Need::default();
    let for_all = match draft.paused_queues() {
        Err(Halt::Need(missing)) => {
            need.add(missing);
            false
        }
        other => other?.since.contains_key(group),
    };
    let row = match draft.tenant(tenant) {
        Err(Halt::Need(missing)) => {
            need.add(missing);
            return Err(need.into());
        }
        other => other?,
    };
    let by = if row.paused.is_some() {
        Some(Paused::Tenant(tenant.clone()))
    } else if row.paused_queues.contains_key(group) {
        Some(Paused::QueueOfTenant(group.clone()))
    } else {
        for_all.then(|| Paused::Queue(group.clone()))
    };
    need.settled()?;
    Ok(by)
}
