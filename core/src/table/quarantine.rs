//! Jobs that were set aside because a row of theirs could not be read or contradicted another.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::table::codec::Row;
use crate::table::job::JobKey;
use crate::table::key::{KeyRange, of_tenant};
use crate::table::{Table, TableId};
use crate::types::tenant::Tenant;
use crate::types::time::Timestamp;

/// The table: an operator's list.
pub struct Quarantines;

impl Table for Quarantines {
    const ID: TableId = TableId::Quarantine;
    type Key = JobKey;
    type Row = QuarantineRow;
}

impl Quarantines {
    /// Every job of a tenant that was set aside.
    pub fn of_tenant(tenant: &Tenant) -> KeyRange {
        of_tenant(Self::ID, tenant)
    }
}

/// Why a job was set aside.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct QuarantineRow {
    /// When.
    pub at: Timestamp,
    /// What was found, in a sentence.
    pub reason: String,
}

impl Row for QuarantineRow {}
