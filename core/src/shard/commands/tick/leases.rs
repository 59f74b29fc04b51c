//! Leases whose time is over.

use crate::shard::commands::tick::is_readable;
use crate::shard::decision::Notice;
use crate::shard::draft::{Draft, Halt, damaged, gather};
use crate::shard::limits::ask;
use crate::shard::moves::leave;
use crate::shard::settle::{after_crash, close_attempt, give_back};
use crate::shard::soft::SoftStep;
use crate::shard::view::Need;
use crate::table::attempt::Ending;
use crate::table::job::JobKey;
use crate::table::running::Runnings;
use crate::table::state::{Return, StateRow};
use crate::table::{Table, TableId};

/// A lease that was never heartbeated counts as a crash after so many times `max_crashes` in a row.
const LOSSES_PER_CRASH: u32 = 3;

/// Ends a lease whose time is over. (SILO-LEASE-T5)
pub(crate) fn expire(draft: &mut Draft<'_>, key: &JobKey) -> Result<(), Halt> {
    let Some(known) = draft.soft.lease(key) else {
        return Ok(());
    };
    if !is_readable(draft, &key.tenant)? {
        draft.step(SoftStep::LeaseEnded(key.clone()));
        return Ok(());
    }
    let mut need = Need::default();
    gather(&mut need, draft.state(key).map(|_| ()))?;
    if let Err(Halt::Need(missing)) = draft.job(key) {
        need.add(missing);
    }
    need.settled()?;
    // The description is looked at only for a lease that is there: a job that was set aside may
    // have a damaged one, and must not be met here for ever.
    let state = draft.state(key)?;
    let is_known = |state: &StateRow| state.lease().is_some_and(|l| l.nonce == known.nonce);
    let Some(mut state) = state.clone().filter(is_known) else {
        draft.step(SoftStep::LeaseEnded(key.clone()));
        return drop_running(draft, key, state.as_ref(), known.nonce);
    };
    let job = draft
        .job(key)?
        .ok_or_else(|| damaged(key, "its job row is missing"))?;
    ask(draft, &key.tenant, &state.slots)?;
    let before = state.status();
    leave(draft, key, &state)?;
    let losses_max = job.max_crashes.saturating_mul(LOSSES_PER_CRASH);
    if !known.heartbeated && state.losses < losses_max && state.cancel_asked_at.is_none() {
        state.losses = state.losses.saturating_add(1);
        give_back(draft, key, &mut state, Return::Lost)?;
        draft.notice(Notice::Lost(key.clone()));
    } else {
        if known.heartbeated {
            state.losses = 0;
        }
        close_attempt(draft, key, &mut state, Ending::Crashed)?;
        after_crash(draft, key, &job, &mut state)?;
        draft.notice(Notice::Crashed(key.clone()));
    }
    draft.put_state(key, Some(before), &mut state)
}

/// A running row that named the lease `nonce`, which the job does not have, goes.
fn drop_running(
    draft: &mut Draft<'_>,
    key: &JobKey,
    state: Option<&StateRow>,
    nonce: u64,
) -> Result<(), Halt> {
    let row_key = Runnings::key(key);
    let bytes = draft.bytes(&row_key)?;
    let row = bytes.and_then(|bytes| Runnings::read_row(&bytes).ok());
    if row.is_none_or(|row| row.nonce != nonce) {
        return Ok(());
    }
    if state.and_then(StateRow::lease).is_some() {
        return Err(damaged(key, "its lease and its running row disagree"));
    }
    draft.drop_index(TableId::Running, &row_key);
    Ok(())
}
