//! What a shard says of itself. These rows stand in a segment of their own: a split leaves them
//! out and writes them anew.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::table::codec::Row;
use crate::table::key::{Key, KeyWriter};
use crate::table::key::{KeyError, KeyParts, KeyReader};
use crate::table::{Table, TableId};
use crate::types::name::TaskGroup;
use crate::types::time::Timestamp;

/// The version of the shard's whole layout: tables, key order, meanings. A row's own version covers
/// what is inside the row.
///
/// * 1: the foundation.
/// * 2: jobs that have ended may be removed at a time: the `expiry` table, newer rows in `tenant`
///   and `state`. Rows of format 1 are read; nothing else changed.
/// * 3: limits: the tables `limit`, `waiter`, `line`, `parked`, `ticket` and `admit`, newer rows in
///   `job`, `state` and `tenant`; a row that says which task groups are paused. Rows of format 2
///   are read.
/// * 4: newer rows in `state`: where a job waited. Rows of format 3 are read.
pub const FORMAT_VERSION: u32 = 4;

/// The table of the one row that describes the shard.
pub struct Format;

impl Table for Format {
    const ID: TableId = TableId::Singleton;
    type Key = FormatKey;
    type Row = FormatRow;
}

/// The key of [`FormatRow`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatKey;

const FORMAT_NAME: &str = "format";

impl KeyParts for FormatKey {
    fn write(&self, writer: &mut KeyWriter) {
        writer.text(FORMAT_NAME);
    }

    fn read(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        if reader.text()? == FORMAT_NAME {
            Ok(Self)
        } else {
            Err(KeyError)
        }
    }
}

/// Written when a shard is created; read at each open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct FormatRow {
    /// [`FORMAT_VERSION`] of the release that created or upgraded the data.
    pub version: u32,
    /// When the shard was created.
    pub created_at: Timestamp,
}

impl Row for FormatRow {}

/// Where the format row stands.
pub fn format_key() -> Key {
    Format::key(&FormatKey)
}

/// The table of the one row that says which task groups are paused for everybody.
pub struct PausedQueues;

impl Table for PausedQueues {
    const ID: TableId = TableId::Singleton;
    type Key = PausedQueuesKey;
    type Row = PausedQueuesRow;
}

/// The key of [`PausedQueuesRow`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PausedQueuesKey;

const PAUSED_QUEUES_NAME: &str = "paused_queues";

impl KeyParts for PausedQueuesKey {
    fn write(&self, writer: &mut KeyWriter) {
        writer.text(PAUSED_QUEUES_NAME);
    }

    fn read(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        if reader.text()? == PAUSED_QUEUES_NAME {
            Ok(Self)
        } else {
            Err(KeyError)
        }
    }
}

/// There while any task group is paused. Each lease reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PausedQueuesRow {
    /// Task groups of which nothing is leased, of any tenant, and since when.
    pub since: BTreeMap<TaskGroup, Timestamp>,
}

impl Row for PausedQueuesRow {}
