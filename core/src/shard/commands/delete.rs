//! Delete: remove a job with its attempts and results. One that runs stays: its worker would report
//! to nobody. One that was set aside goes like any other. (SILO-JOB-T3)

use crate::shard::draft::{Draft, Halt};
use crate::shard::moves::remove;
use crate::shard::refusal::Refusal;
use crate::shard::reply::Reply;
use crate::table::job::JobKey;
use crate::table::state::Position;

pub(crate) fn decide(key: &JobKey, draft: &mut Draft<'_>) -> Result<Reply, Halt> {
    // What is not there is gone already: a delete that is sent again succeeds.
    let Some(state) = draft.state(key)? else {
        return Ok(Reply::Deleted);
    };
    match &state.position {
        Position::Leased(_) => return Err(Refusal::JobRunning(key.clone()).into()),
        Position::Due(_)
        | Position::Ready(_)
        | Position::Parked { .. }
        | Position::Ended { .. }
        | Position::Quarantined { .. } => {}
    }
    remove(draft, key, &state)?;
    Ok(Reply::Deleted)
}
