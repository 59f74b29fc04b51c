//! Cancel: stop a job. One that waits ends at once; one that runs is flagged, and its worker learns
//! it with the next heartbeat. (SILO-JOB-T2)

use crate::shard::decision::Notice;
use crate::shard::draft::{Draft, Halt};
use crate::shard::moves::{end, leave};
use crate::shard::refusal::Refusal;
use crate::shard::reply::Reply;
use crate::table::job::JobKey;
use crate::table::state::{EndCode, Ended, Position};

pub(crate) fn decide(key: &JobKey, draft: &mut Draft<'_>) -> Result<Reply, Halt> {
    let Some(mut state) = draft.state(key)? else {
        return Err(Refusal::JobNotFound(key.clone()).into());
    };
    let before = state.status();
    match &state.position {
        Position::Due(_) | Position::Ready(_) | Position::Parked { .. } => {
            leave(draft, key, &state)?;
            state.cancel_asked_at = Some(draft.now());
            let code = Some(EndCode::Cancelled);
            end(draft, key, &mut state, Ended::Cancelled, code)?;
        }
        Position::Leased(lease) => {
            if state.cancel_asked_at.is_some() {
                return Err(Refusal::AlreadyCancelled(key.clone()).into());
            }
            draft.notice(Notice::CancelAsked(lease.task(&key.tenant, &key.job)));
            state.cancel_asked_at = Some(draft.now());
        }
        Position::Ended { status, .. } => {
            return Err(match status {
                Ended::Cancelled => Refusal::AlreadyCancelled(key.clone()),
                Ended::Succeeded | Ended::Failed => Refusal::AlreadyTerminal(key.clone()),
            }
            .into());
        }
        Position::Quarantined { .. } => return Err(Refusal::Quarantined(key.clone()).into()),
    }
    draft.put_state(key, Some(before), &mut state)?;
    Ok(Reply::Cancelled)
}
