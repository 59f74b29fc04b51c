//! LeaseJob: hand out one given job, out of its turn. For tests and for people. (SILO-LEASE-T2)

use crate::shard::commands::lease::Grantee;
use crate::shard::draft::{Draft, Halt};
use crate::shard::moves::{grant, leave};
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
        position
        @ (Position::Leased(_) | Position::Ended { .. } | Position::Quarantined { .. }) => {
            return Err(Refusal::not_leasable(key, position).into());
        }
    };
    leave(draft, key, &state)?;
    let task = grant(draft, key, &job, state, place, &lease.grantee)?;
    Ok(Reply::Leased(vec![task]))
}
