//! Leases. One row per leased job, so that a shard which lost its soft state finds them again by
//! reading this table once.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::table::codec::Row;
use crate::table::job::JobKey;
use crate::table::key::{KeyRange, of_tenant};
use crate::table::{Table, TableId};
use crate::types::tenant::Tenant;
use crate::types::time::Millis;

/// The table.
pub struct Runnings;

impl Table for Runnings {
    const ID: TableId = TableId::Running;
    type Key = JobKey;
    type Row = RunningRow;
}

impl Runnings {
    /// Every lease of a tenant.
    pub fn of_tenant(tenant: &Tenant) -> KeyRange {
        of_tenant(Self::ID, tenant)
    }
}

/// What is needed to give a lease a deadline anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RunningRow {
    /// The attempt that is leased.
    pub attempt: u32,
    /// Which lease of it.
    pub nonce: u64,
    /// How long the lease lasts from each heartbeat.
    pub duration: Millis,
}

impl Row for RunningRow {}
