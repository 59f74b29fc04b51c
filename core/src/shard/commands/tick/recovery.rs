//! What soft state is rebuilt from, page by page.

use std::collections::BTreeSet;

use crate::shard::commands::tick::is_readable;
use crate::shard::decision::Notice;
use crate::shard::draft::{Draft, Halt, gather};
use crate::shard::soft::{Recovery, SoftStep};
use crate::shard::view::Need;
use crate::table::key::{Key, successor, whole};
use crate::table::limit::Admits;
use crate::table::running::{RunningRow, Runnings};
use crate::table::state::StateRow;
use crate::table::tenant::{TenantRow, Tenants};
use crate::table::{Table, TableId};
use crate::types::tenant::Tenant;

/// Rows read by one tick to find lost soft state again.
pub const TICK_RECOVERY_MAX: usize = 1024;

/// Reads the next page of what soft state is rebuilt from.
pub(crate) fn recover(draft: &mut Draft<'_>) -> Result<(), Halt> {
    let Some((table, range)) = draft.soft.recovering() else {
        return Ok(());
    };
    let rows = draft.range(&range, TICK_RECOVERY_MAX)?;
    let is_last = rows.len() < TICK_RECOVERY_MAX;
    let next = rows.last().map(|(key, _)| successor(key));
    let mut need = Need::default();
    let mut groups = BTreeSet::new();
    for (key, value) in rows {
        if table == TableId::Admit {
            match Admits::read_key(&key) {
                Ok(name) => draft.step(SoftStep::ToSearch(name)),
                Err(_) => draft.notice(Notice::Unreadable(table)),
            }
        } else if table == TableId::Tenant {
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
        (Some(next), false) if table == TableId::Admit => Recovery::Admits(next),
        (Some(next), false) => Recovery::Leases(next),
        (_, _) if table == TableId::Tenant => Recovery::Admits(whole(TableId::Admit).start),
        (_, _) if table == TableId::Admit => Recovery::Leases(whole(TableId::Running).start),
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
    let deadline = draft.deadline(row.duration);
    draft.step(SoftStep::Found {
        key,
        nonce: row.nonce,
        deadline,
    });
    Ok(())
}
