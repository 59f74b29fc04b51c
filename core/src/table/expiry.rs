//! Jobs that have ended and are kept for a while, in the order in which their time is over. They
//! stand apart from [`crate::table::due`]: however many of them there are, nobody's start waits for
//! their removal.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::table::codec::Row;
use crate::table::due::DueKey;
use crate::table::{Table, TableId};

/// The table.
pub struct Expiries;

impl Table for Expiries {
    const ID: TableId = TableId::Expiry;
    type Key = DueKey;
    type Row = ExpiryRow;
}

/// Everything there is to say stands in the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ExpiryRow {}

impl Row for ExpiryRow {}
