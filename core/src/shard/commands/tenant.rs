//! SetTenant: a tenant's weight, and whether anything of it is leased. GetTenant: how it stands.
//!
//! A pause takes nothing from anybody: what is leased goes on, and everything but leasing is done
//! as ever. Jobs that are ready keep their slots.

use crate::shard::draft::{Draft, Halt};
use crate::shard::reply::{Reply, TenantView};
use crate::table::tenant::TenantRow;
use crate::types::tenant::Tenant;
use crate::types::weight::Weight;

/// What is to be different of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetTenant {
    /// Which tenant; it need not have jobs.
    pub tenant: Tenant,
    /// Its weight.
    pub weight: SetWeight,
    /// Whether it is paused; `None` leaves it as it is.
    pub paused: Option<bool>,
}

/// What is to become of a weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SetWeight {
    /// It stays as it is.
    #[default]
    Keep,
    /// The configuration's counts again.
    Clear,
    /// This counts, until told otherwise.
    To(Weight),
}

pub(crate) fn set(set: &SetTenant, draft: &mut Draft<'_>) -> Result<Reply, Halt> {
    let now = draft.now();
    let row = draft.tenant(&set.tenant)?;
    match set.weight {
        SetWeight::Keep => {}
        SetWeight::Clear => row.weight = None,
        SetWeight::To(weight) => row.weight = Some(weight),
    }
    match set.paused {
        None => {}
        // Since when it has been so stays true of a second call.
        Some(true) => row.paused = row.paused.or(Some(now)),
        Some(false) => row.paused = None,
    }
    Ok(view(row))
}

pub(crate) fn get(tenant: &Tenant, draft: &mut Draft<'_>) -> Result<Reply, Halt> {
    Ok(view(draft.tenant(tenant)?))
}

pub(crate) fn view(row: &TenantRow) -> Reply {
    Reply::Tenant(Box::new(TenantView {
        weight: row.weight,
        paused: row.paused,
        paused_queues: row.paused_queues.clone(),
        tallies: row.tallies,
    }))
}
