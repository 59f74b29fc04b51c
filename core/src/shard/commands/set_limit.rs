//! SetLimit: what an operator says of a limit, until told otherwise. Slots that are held stay
//! held; whoever waits is looked at when the command ends. (SILO-LIMIT-T3)

use crate::shard::draft::{Draft, Halt};
use crate::shard::limits::ledger::limit;
use crate::shard::refusal::Refusal;
use crate::shard::reply::Reply;
use crate::table::limit::LimitName;

/// What an operator says of a limit. One that nobody uses yet is kept for as long as something is
/// set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetLimit {
    /// Of which limit.
    pub limit: LimitName,
    /// What.
    pub change: LimitChange,
}

/// What is set, or no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitChange {
    /// So many slots, whatever enqueues say; 0: nobody gets one.
    Maximum(u32),
    /// As many slots as the newest enqueue says.
    Clear,
    /// Nobody gets a slot until told otherwise.
    Pause,
    /// As if it had not been paused.
    Resume,
}

pub(crate) fn decide(set: &SetLimit, draft: &mut Draft<'_>) -> Result<Reply, Halt> {
    let Some(row) = limit(draft, &set.limit)? else {
        return Err(Refusal::LimitDamaged(set.limit.key.clone()).into());
    };
    let before = row.clone();
    match set.change {
        LimitChange::Maximum(maximum) => row.set = Some(maximum),
        LimitChange::Clear => row.set = None,
        LimitChange::Pause => row.is_paused = true,
        LimitChange::Resume => row.is_paused = false,
    }
    if *row != before {
        draft.ledger.free(set.limit.clone());
    }
    Ok(Reply::LimitSet)
}
