//! The tables of a shard: what its rows say, and in which order their keys stand.
//!
//! Every table's key is `(table byte, 8-byte big-endian tenant hash, tenant, …)`, so a range of the
//! hash space is one contiguous range of every table; shard-wide singletons have a table of their
//! own. Keys order as their bytes do. The first byte is the storage segment.
//!
//! | table | key after the tenant | row |
//! |---|---|---|
//! | [`tenant`] | – | tallies, heads of the tenant's queues, next sequence number, weight, pauses |
//! | [`job`] | job | what was asked for |
//! | [`state`] | job | where the job stands, its latest attempt |
//! | [`attempt`] | job, number | an earlier attempt |
//! | [`payload`] | job, slot | large payloads, results and error data, as they came |
//! | [`ready`] | group, priority, place, job | may be leased now |
//! | [`due`] | place, job | becomes something else at its time |
//! | [`expiry`] | place, job | ended, removed at its time |
//! | [`running`] | job | a lease |
//! | [`quarantine`] | job | set aside, with the reason |
//! | [`limit`] | key | slots held, lines that wait for one, the lowest ticket |
//! | [`mod@line`]: `waiter` | line, wait place, job | waits for a slot |
//! | [`mod@line`] | line | jobs that want the same slots: where they are parked, who is first |
//! | [`mod@line`]: `parked` | limit, wait place, line | a line that waits for a slot of the limit |
//! | [`limit`]: `ticket` | limit, number, line | a line that a slot is kept for |
//! | [`limit`]: `admit` | limit | lines parked there are still to be looked at |
//! | [`singleton`] | (no tenant) | what the shard says of itself, task groups that are paused |

pub mod attempt;
pub mod codec;
pub mod due;
pub mod expiry;
pub mod job;
pub mod key;
pub mod limit;
pub mod line;
pub mod payload;
pub mod place;
pub mod quarantine;
pub mod ready;
pub mod running;
pub mod singleton;
pub mod state;
mod state_v1;
pub mod tenant;

use crate::table::codec::{Row, RowError};
use crate::table::key::{Key, KeyError, KeyParts, KeyReader, KeyWriter};

/// The first byte of a key. Never renumber: data is stored under these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum TableId {
    /// Shard-wide singletons.
    Singleton = 0x01,
    /// One row per tenant that has jobs, or of which something is set.
    Tenant = 0x10,
    /// What was asked for.
    Job = 0x20,
    /// Large data.
    Payload = 0x21,
    /// Where a job stands.
    State = 0x22,
    /// Earlier attempts.
    Attempt = 0x23,
    /// Jobs that may be leased.
    Ready = 0x30,
    /// Jobs that wait for a time.
    Due = 0x31,
    /// Leases.
    Running = 0x32,
    /// Jobs set aside.
    Quarantine = 0x33,
    /// Jobs that have ended and are removed at a time.
    Expiry = 0x34,
    /// Limits in use.
    Limit = 0x40,
    /// Jobs that wait for a slot.
    Waiter = 0x41,
    /// Jobs that wait for the same slots.
    Line = 0x42,
    /// Where lines are parked.
    Parked = 0x43,
    /// For whom slots are kept.
    Ticket = 0x44,
    /// Limits that are still to be searched.
    Admit = 0x45,
}

impl TableId {
    /// Every table that holds rows today, in key order.
    pub const ALL: [Self; 17] = [
        Self::Singleton,
        Self::Tenant,
        Self::Job,
        Self::Payload,
        Self::State,
        Self::Attempt,
        Self::Ready,
        Self::Due,
        Self::Running,
        Self::Quarantine,
        Self::Expiry,
        Self::Limit,
        Self::Waiter,
        Self::Line,
        Self::Parked,
        Self::Ticket,
        Self::Admit,
    ];

    /// The table a key belongs to, if it is one of ours.
    pub fn of(key: &[u8]) -> Option<Self> {
        let first = *key.first()?;
        Self::ALL.into_iter().find(|table| table.byte() == first)
    }

    /// The key's first byte.
    pub const fn byte(self) -> u8 {
        self as u8
    }
}

/// One table: the type of its keys and of its rows.
pub trait Table {
    /// First byte of its keys.
    const ID: TableId;
    /// What follows the first byte.
    type Key: KeyParts;
    /// What stands there.
    type Row: Row;

    /// The bytes of a key.
    fn key(parts: &Self::Key) -> Key {
        let mut writer = KeyWriter::new(Self::ID.byte());
        parts.write(&mut writer);
        writer.finish()
    }

    /// Reads a key of this table.
    ///
    /// # Errors
    /// [`KeyError`] for bytes that [`Table::key`] does not write.
    fn read_key(bytes: &[u8]) -> Result<Self::Key, KeyError> {
        let mut reader = KeyReader::new(bytes);
        if reader.byte()? != Self::ID.byte() {
            return Err(KeyError);
        }
        let parts = Self::Key::read(&mut reader)?;
        reader.end()?;
        Ok(parts)
    }

    /// Reads a row of this table, of this version or an older one.
    ///
    /// # Errors
    /// [`RowError`] for a row of a newer version, or bytes that are none of ours.
    fn read_row(bytes: &[u8]) -> Result<Self::Row, RowError> {
        codec::decode(bytes)
    }
}
