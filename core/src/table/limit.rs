//! Limits that are in use: how many slots are held, and who waits for one. A limit that nobody
//! holds, wants or has set has no row.
//!
//! * `limit`: one row per limit in use
//! * `ticket`: for whom a slot of it is kept, in order
//! * `admit`: lines parked on it are still to be looked at

use borsh::{BorshDeserialize, BorshSerialize};

use crate::table::codec::Row;
use crate::table::key::{
    Key, KeyError, KeyParts, KeyRange, KeyReader, KeyWriter, of_tenant, within,
};
use crate::table::line::{LineId, WaitPlace};
use crate::table::place::Head;
use crate::table::ready::ReadyKey;
use crate::table::running::Runnings;
use crate::table::{Table, TableId};
use crate::types::name::LimitKey;
use crate::types::tenant::Tenant;

/// The table of limits.
pub struct Limits;

impl Table for Limits {
    const ID: TableId = TableId::Limit;
    type Key = LimitName;
    type Row = LimitRow;
}

/// Whose limit, and which.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LimitName {
    /// Whose.
    pub tenant: Tenant,
    /// Which.
    pub key: LimitKey,
}

/// Limits that have slots. Rate limits will have another.
const KIND_SLOTS: u8 = 1;

impl LimitName {
    /// Whether this is the key of a row that may be of a job that holds a slot: a lease of its
    /// tenant, or a ready job.
    pub fn may_hold(&self, key: &Key) -> bool {
        Runnings::of_tenant(&self.tenant).contains(key)
            || ReadyKey::of_tenant(&self.tenant).contains(key)
    }

    /// The limits of a tenant whose keys begin so.
    pub fn of_tenant(tenant: &Tenant, prefix: &str) -> KeyRange {
        let mut writer = KeyWriter::new(TableId::Limit.byte());
        tenant.write(&mut writer);
        writer.byte(KIND_SLOTS);
        writer.open_text(prefix);
        within(&writer.finish())
    }
}

impl KeyParts for LimitName {
    fn write(&self, writer: &mut KeyWriter) {
        self.tenant.write(writer);
        writer.byte(KIND_SLOTS);
        writer.text(self.key.as_str());
    }

    fn read(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        let tenant = Tenant::read(reader)?;
        if reader.byte()? != KIND_SLOTS {
            return Err(KeyError);
        }
        let key = LimitKey::parse(&reader.text()?).map_err(|_| KeyError)?;
        Ok(Self { tenant, key })
    }
}

/// What is known of a limit without looking at who holds its slots or waits for one.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct LimitRow {
    /// How many slots there are, as the newest enqueue said.
    pub maximum: u32,
    /// How many there are instead, as an operator said.
    pub set: Option<u32>,
    /// An operator said that nobody gets a slot until told otherwise.
    pub is_paused: bool,
    /// How many ready and leased jobs hold one.
    pub held: u32,
    /// How many lines want one, wherever they are parked: while there are any, the maximum is not
    /// forgotten.
    pub lines: u32,
    /// The lines that are parked here.
    pub parked: Option<Head<WaitPlace>>,
    /// The lowest ticket of those that want a slot of this.
    pub lowest: Option<(u64, LineId)>,
    /// How many tickets there are of lines that want a slot of this.
    pub tickets: u32,
}

impl Row for LimitRow {}

impl LimitRow {
    /// A limit that nobody uses.
    pub const fn new(maximum: u32) -> Self {
        Self {
            maximum,
            set: None,
            is_paused: false,
            held: 0,
            lines: 0,
            parked: None,
            lowest: None,
            tickets: 0,
        }
    }

    /// Whether there is anything to know: else there is no row.
    pub const fn is_used(&self) -> bool {
        self.is_wanted() || self.is_set()
    }

    /// Whether anybody holds a slot or waits for one.
    const fn is_wanted(&self) -> bool {
        self.held > 0 || self.lines > 0
    }

    /// A job that wants a slot says how many there are, if nobody who is here has said it. What the
    /// newest enqueue said while an operator had something set is still known; 0: nothing was said.
    pub const fn adopt(&mut self, maximum: u32) {
        let is_known = self.is_set() && self.maximum > 0;
        if !self.is_wanted() && !is_known {
            self.maximum = maximum;
        }
    }

    /// Whether an operator has said something of it.
    pub const fn is_set(&self) -> bool {
        self.set.is_some() || self.is_paused
    }

    /// How many slots there are now; 0: it is paused, however that came about.
    pub fn slots(&self) -> u32 {
        if self.is_paused {
            0
        } else {
            self.set.unwrap_or(self.maximum)
        }
    }

    /// How many slots nobody holds; those that are kept included.
    pub fn free(&self) -> u32 {
        self.slots().saturating_sub(self.held)
    }

    /// Whether there is a slot for a line, or for a job that is in none. The line with the lowest
    /// ticket has one kept from all others. (SILO-LIMIT-2, SILO-LIMIT-5)
    pub fn fits(&self, line: Option<LineId>) -> bool {
        let is_kept = self.lowest.is_some_and(|(_, lowest)| Some(lowest) != line);
        self.free() > u32::from(is_kept)
    }
}

/// The table of tickets.
pub struct Tickets;

impl Table for Tickets {
    const ID: TableId = TableId::Ticket;
    type Key = TicketKey;
    type Row = TicketRow;
}

/// For whom a slot of a limit is kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TicketKey {
    /// Of which limit.
    pub limit: LimitName,
    /// Lower ones come first.
    pub ticket: u64,
    /// For whom.
    pub line: LineId,
}

impl TicketKey {
    /// Every row of a tenant.
    pub fn of_tenant(tenant: &Tenant) -> KeyRange {
        of_tenant(TableId::Ticket, tenant)
    }

    /// All tickets of a limit.
    pub fn all(limit: &LimitName) -> KeyRange {
        within_limit(TableId::Ticket, limit)
    }
}

impl KeyParts for TicketKey {
    fn write(&self, writer: &mut KeyWriter) {
        self.limit.write(writer);
        writer.u64(self.ticket);
        self.line.write(writer);
    }

    fn read(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        Ok(Self {
            limit: LimitName::read(reader)?,
            ticket: reader.u64()?,
            line: LineId::read(reader)?,
        })
    }
}

/// Everything there is to say stands in the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TicketRow {}

impl Row for TicketRow {}

/// The table of limits that are still to be searched.
pub struct Admits;

impl Table for Admits {
    const ID: TableId = TableId::Admit;
    type Key = LimitName;
    type Row = AdmitRow;
}

/// Everything there is to say stands in the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AdmitRow {}

impl Row for AdmitRow {}

/// A limit, to begin the keys of other tables with.
pub(crate) fn limit_prefix(table: TableId, limit: &LimitName) -> KeyWriter {
    let mut writer = KeyWriter::new(table.byte());
    limit.write(&mut writer);
    writer
}

/// Every key of a limit in another table.
pub(crate) fn within_limit(table: TableId, limit: &LimitName) -> KeyRange {
    let prefix: Key = limit_prefix(table, limit).finish();
    within(&prefix)
}
