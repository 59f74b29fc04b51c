//! LeaseJob: hand out one given job, out of its turn. For tests and for people. (SILO-LEASE-T2)

use crate::shard::commands::lease::Grantee;
use crate::shard::draft::{Draft, Halt};
use crate::shard::limits::{first_full, had_turn, hold};
use crate::shard::moves::{grant, step_out};
use crate::shard::refusal::Refusal;
use crate::shard::reply::Reply;
use crate::table::job::JobKey;
use crate::table::state::Position;

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
    let Some((job, state)) = draft.job_and_state(key)? else {
        return Err(Refusal::JobNotFound(key.clone()).into());
    };
    let place = match &state.position {
        Position::Due(place) | Position::Ready(place) => *place,
        Position::Parked { place, .. } => place.place(),
        position
        @ (Position::Leased(_) | Position::Ended { .. } | Position::Quarantined { .. }) => {
            return Err(Refusal::not_leasable(key, position).into());
        }
    };
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
