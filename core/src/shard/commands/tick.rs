//! Tick: time has passed. Due jobs enter their queues, expired leases end, and soft state that was
//! lost is found again. A tick does a bounded amount; the machine asks for another at once while
//! more is due. (SILO-TICK-T1)

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::shard::decision::Notice;
use crate::shard::draft::{Draft, Halt, damaged, gather};
use crate::shard::moves::{Entry, enter, leave};
use crate::shard::reply::Reply;
use crate::shard::settle::{after_crash, close_attempt, give_back};
use crate::shard::soft::{Recovery, SoftStep};
use crate::shard::view::Need;
use crate::table::attempt::Ending;
use crate::table::due::{DueKey, Dues};
use crate::table::job::JobKey;
use crate::table::key::{Key, successor, whole};
use crate::table::running::{RunningRow, Runnings};
use crate::table::state::{Position, Return, StateRow};
use crate::table::tenant::{TenantRow, Tenants};
use crate::table::{Table, TableId};
use crate::types::tenant::Tenant;

/// Leases ended by one tick.
pub const TICK_LEASES_MAX: usize = 256;
/// Tenants whose due jobs get a turn in one tick.
pub const TICK_TENANTS_MAX: usize = 16;
/// Due jobs of one tenant in one turn.
pub const TICK_DUE_MAX: usize = 64;
/// Rows read by one tick to find lost soft state again.
pub const TICK_RECOVERY_MAX: usize = 1024;
/// A lease that was never heartbeated counts as a crash after so many times `max_crashes` in a row.
const LOSSES_PER_CRASH: u32 = 3;

pub(crate) fn decide(draft: &mut Draft<'_>) -> Result<Reply, Halt> {
    let now = draft.now();
    // What is missing for any part is loaded at once for all of them.
    let mut need = Need::default();
    gather(&mut need, recover(draft))?;
    let soft = draft.soft;
    // Due jobs first: their part raises low-water marks by what stood there before this command,
    // and must not raise them over what an expiry puts back.
    for tenant in soft.due_tenants(now).take(TICK_TENANTS_MAX) {
        gather(&mut need, start_due(draft, tenant))?;
    }
    for key in soft.expired(now).take(TICK_LEASES_MAX) {
        gather(&mut need, expire(draft, key))?;
    }
    need.settled()?;
    Ok(Reply::Ticked)
}

/// Reads the next page of what soft state is rebuilt from.
fn recover(draft: &mut Draft<'_>) -> Result<(), Halt> {
    let Some((table, range)) = draft.soft.recovering() else {
        return Ok(());
    };
    let rows = draft.range(&range, TICK_RECOVERY_MAX)?;
    let is_last = rows.len() < TICK_RECOVERY_MAX;
    let next = rows.last().map(|(key, _)| successor(key));
    let mut need = Need::default();
    let mut groups = BTreeSet::new();
    for (key, value) in rows {
        if table == TableId::Tenant {
            match found_tenant(&key, &value) {
                Some((tenant, row)) => {
                    groups.extend(row.groups());
                    draft.step(SoftStep::tenant(tenant, &row));
                }
                None => draft.notice(Notice::Unreadable(table)),
            }
        } else {
            gather(&mut need, found_lease(draft, &key, &value))?;
        }
    }
    need.settled()?;
    // Whoever asked for work before it was found again is waiting to be told.
    for group in groups {
        if !draft.soft.has_ready(&group) {
            draft.notice(Notice::Ready(group));
        }
    }
    draft.step(SoftStep::Recovered(match (next, is_last) {
        (Some(next), false) if table == TableId::Tenant => Recovery::Tenants(next),
        (Some(next), false) => Recovery::Leases(next),
        (_, _) if table == TableId::Tenant => Recovery::Leases(whole(TableId::Running).start),
        (_, _) => Recovery::Done,
    }));
    Ok(())
}

fn found_tenant(key: &Key, value: &[u8]) -> Option<(Tenant, TenantRow)> {
    let tenant = Tenants::read_key(key).ok()?;
    Some((tenant, Tenants::read_row(value).ok()?))
}

/// Gives a lease a deadline. What a damaged row should say, the job's state says as well.
fn found_lease(draft: &mut Draft<'_>, row_key: &Key, value: &[u8]) -> Result<(), Halt> {
    let Ok(key) = Runnings::read_key(row_key) else {
        draft.notice(Notice::Unreadable(TableId::Running));
        return Ok(());
    };
    let row = match Runnings::read_row(value) {
        Ok(row) => row,
        Err(_) if !is_readable(draft, &key.tenant)? => {
            draft.notice(Notice::Unreadable(TableId::Running));
            return Ok(());
        }
        Err(_) => {
            let state = draft.state(&key)?;
            let Some(lease) = state.as_ref().and_then(StateRow::lease) else {
                draft.drop_index(TableId::Running, row_key);
                return Ok(());
            };
            let row = RunningRow {
                attempt: lease.attempt,
                nonce: lease.nonce,
                duration: lease.duration,
            };
            draft.put::<Runnings>(&key, &row);
            draft.notice(Notice::Mended("the row of a lease did not decode"));
            row
        }
    };
    let deadline = draft.now().after(row.duration);
    draft.step(SoftStep::Found {
        key,
        nonce: row.nonce,
        deadline,
    });
    Ok(())
}

/// Ends a lease whose time is over. (SILO-LEASE-T5)
fn expire(draft: &mut Draft<'_>, key: &JobKey) -> Result<(), Halt> {
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

/// Moves a tenant's due jobs into their queues, a turn's worth. (SILO-TICK-T2)
fn start_due(draft: &mut Draft<'_>, tenant: &Tenant) -> Result<(), Halt> {
    if !is_readable(draft, tenant)? {
        draft.forget(tenant);
        return Ok(());
    }
    let Some(head) = draft.tenant(tenant)?.due else {
        // The hint was of something that is no longer so.
        let row = draft.tenant(tenant)?.clone();
        draft.step(SoftStep::tenant(tenant.clone(), &row));
        return Ok(());
    };
    let read = TICK_DUE_MAX.saturating_add(1);
    let rows = draft.range(&DueKey::from(tenant, head.low), read)?;
    let jobs = due_jobs(draft, &rows)?;
    for due in &jobs {
        match &due.state {
            Some(state) => {
                let (key, before, mut state) = (&due.key, state.status(), state.clone());
                leave(draft, key, &state)?;
                enter(draft, key, &mut state, Entry::Back(due.row.place))?;
                draft.put_state(key, Some(before), &mut state)?;
            }
            None => {
                draft.drop_index(TableId::Due, &Dues::key(&due.row));
                let tenant = draft.tenant(tenant)?;
                tenant.due = tenant.due.and_then(|head| head.without(due.row.place));
            }
        }
    }
    // The first row that stays is the front of the queue now.
    let stays = rows
        .iter()
        .filter_map(|(key, _)| Dues::read_key(key).ok())
        .nth(jobs.len());
    let row = draft.tenant(tenant)?;
    match (stays, row.due) {
        (Some(stays), Some(head)) => row.due = Some(head.raised(stays.place)),
        (None, Some(_)) if rows.len() < read => {
            row.due = None;
            draft.notice(Notice::Mended("a due head counted jobs that are not there"));
        }
        (_, _) => {}
    }
    draft.step(SoftStep::DueServed(draft.now(), tenant.clone()));
    Ok(())
}

/// Whether the tenant's row decodes. One that does not must not stop the tick for the others.
fn is_readable(draft: &mut Draft<'_>, tenant: &Tenant) -> Result<bool, Halt> {
    match draft.tenant(tenant) {
        Ok(_) => Ok(true),
        Err(Halt::Refused(_)) => Ok(false),
        Err(other) => Err(other),
    }
}

/// A row of the due table, and its job's state when the two agree.
struct DueJob {
    row: DueKey,
    key: JobKey,
    state: Option<StateRow>,
}

/// The jobs of `rows` that are due, up to a turn's worth, all loaded at once.
fn due_jobs(draft: &mut Draft<'_>, rows: &[(Key, Bytes)]) -> Result<Vec<DueJob>, Halt> {
    let now = draft.now();
    let mut need = Need::default();
    let mut jobs = Vec::new();
    for (bytes, _) in rows.iter().take(TICK_DUE_MAX) {
        let Ok(row) = Dues::read_key(bytes) else {
            draft.drop_index(TableId::Due, bytes);
            continue;
        };
        if row.place.at > now {
            break;
        }
        let key = JobKey {
            tenant: row.tenant.clone(),
            job: row.job.clone(),
        };
        match draft.state(&key) {
            Ok(state) => {
                let state = state.filter(|state| state.position == Position::Due(row.place));
                jobs.push(DueJob { row, key, state });
            }
            Err(Halt::Need(missing)) => need.add(missing),
            Err(other) => return Err(other),
        }
    }
    need.settled()?;
    Ok(jobs)
}
