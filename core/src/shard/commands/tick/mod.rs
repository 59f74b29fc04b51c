//! Tick: time has passed. Due jobs enter their queues, jobs that were kept long enough go, expired
//! leases end, limits that were left are searched, and soft state that was lost is found again. A
//! tick does a bounded amount; the machine asks for another at once while more is due.
//! (SILO-TICK-T1)
//!
//! * [`turn`]: what is due of one tenant
//! * [`leases`]: leases whose time is over
//! * [`recovery`]: what soft state is rebuilt from

pub mod leases;
pub mod recovery;
pub mod turn;

use crate::shard::draft::{Draft, Halt, gather};
use crate::shard::limits::search::{TICK_ADMITS_MAX, go_on};
use crate::shard::reply::Reply;
use crate::shard::soft::SoftStep;
use crate::shard::view::Need;
use crate::types::tenant::Tenant;

/// Leases ended by one tick.
pub const TICK_LEASES_MAX: usize = 256;
/// Tenants whose due jobs get a turn in one tick.
pub const TICK_TENANTS_MAX: usize = 16;

pub(crate) fn decide(draft: &mut Draft<'_>) -> Result<Reply, Halt> {
    let now = draft.now();
    // What is missing for any part is loaded at once for all of them.
    let mut need = Need::default();
    gather(&mut need, recovery::recover(draft))?;
    let soft = draft.soft;
    // Due jobs first: their part raises low-water marks by what stood there before this command,
    // and must not raise them over what an expiry puts back.
    for tenant in soft.due_tenants(now).take(TICK_TENANTS_MAX) {
        gather(&mut need, turn::take(draft, tenant))?;
    }
    for key in soft.expired(draft.stamp().now.uptime).take(TICK_LEASES_MAX) {
        gather(&mut need, leases::expire(draft, key))?;
    }
    for name in soft.to_search().take(TICK_ADMITS_MAX) {
        if is_readable(draft, &name.tenant)? {
            go_on(draft, name);
        } else {
            draft.step(SoftStep::Searched(name.clone()));
        }
    }
    need.settled()?;
    Ok(Reply::Ticked)
}

/// Whether the tenant's row decodes. One that does not must not stop the tick for the others.
pub(crate) fn is_readable(draft: &mut Draft<'_>, tenant: &Tenant) -> Result<bool, Halt> {
    match draft.tenant(tenant) {
        Ok(_) => Ok(true),
        Err(Halt::Refused(_)) => Ok(false),
        Err(other) => Err(other),
    }
}
