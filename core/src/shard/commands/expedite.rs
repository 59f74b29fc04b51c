//! Expedite: a job that waits for its time is due now, whatever it waits for: its start or a
//! back-off. One that waits for a slot goes first. (SILO-JOB-T5)

use crate::shard::draft::{Draft, Halt};
use crate::shard::limits::go_first;
use crate::shard::moves::{Entry, enter, leave};
use crate::shard::refusal::Refusal;
use crate::shard::reply::Reply;
use crate::table::job::JobKey;
use crate::table::state::Position;

pub(crate) fn decide(key: &JobKey, draft: &mut Draft<'_>) -> Result<Reply, Halt> {
    let Some(mut state) = draft.state(key)? else {
        return Err(Refusal::JobNotFound(key.clone()).into());
    };
    let now = draft.now();
    let entry = match &state.position {
        // It has waited long enough, and nobody has looked since: it is not put behind others.
        Position::Due(place) if place.at <= now => Entry::Back {
            place: *place,
            was_ready: true,
        },
        Position::Due(_) => Entry::At(now),
        // It waits for a slot, and goes before others.
        Position::Parked { line, place } => {
            let (line, place) = (*line, *place);
            if let Some(place) = go_first(draft, key, &state, line, place)? {
                state.position = Position::Parked { line, place };
                let status = state.status();
                draft.put_state(key, Some(status), &mut state)?;
            }
            return Ok(Reply::Expedited);
        }
        Position::Ready(_) => return Err(Refusal::AlreadyReady(key.clone()).into()),
        Position::Quarantined { .. } => return Err(Refusal::Quarantined(key.clone()).into()),
        Position::Leased(_) | Position::Ended { .. } => {
            return Err(Refusal::NotExpeditable(key.clone(), state.status()).into());
        }
    };
    let before = state.status();
    leave(draft, key, &state)?;
    enter(draft, key, &mut state, entry)?;
    draft.put_state(key, Some(before), &mut state)?;
    Ok(Reply::Expedited)
}
