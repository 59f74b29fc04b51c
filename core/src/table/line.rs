//! Jobs that wait for slots. Those of a tenant that want slots of the same limits stand in one
//! *line*, in order; the line as a whole is *parked* on one limit that has no slot for it.
//!
//! * `waiter`: one row per job that waits, in the order of its line
//! * `line`: one row per line
//! * `parked`: one row per line, in the order in which lines that are parked on a limit are looked
//!   at

use borsh::{BorshDeserialize, BorshSerialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::table::codec::Row;
use crate::table::job::{JobKey, read_job};
use crate::table::key::{KeyError, KeyParts, KeyRange, KeyReader, KeyWriter, of_tenant, within};
use crate::table::limit::{LimitName, TicketKey, limit_prefix, within_limit};
use crate::table::place::{Place, Spot};
use crate::table::{Table, TableId};
use crate::types::name::{JobId, LimitKey, Priority};
use crate::types::tenant::Tenant;

/// Names a line within its tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct LineId {
    high: u64,
    low: u64,
}

impl LineId {
    /// The `n`-th name for jobs that want these, in the order of their keys. Not against forgery: a
    /// tenant that has two sets collide has a second name for one of them.
    pub fn of<'a>(wanted: impl Iterator<Item = &'a LimitKey>, n: u8) -> Self {
        let mut bytes = Vec::with_capacity(64);
        for key in wanted {
            bytes.extend_from_slice(key.as_str().as_bytes());
            // No key has such a byte.
            bytes.push(0xff);
        }
        bytes.push(n);
        let hash = xxh3_128(&bytes).to_be_bytes();
        let (high, low) = hash.split_at(size_of::<u64>());
        let number = |half: &[u8]| half.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        Self {
            high: number(high),
            low: number(low),
        }
    }
}

impl KeyParts for LineId {
    fn write(&self, writer: &mut KeyWriter) {
        writer.u64(self.high);
        writer.u64(self.low);
    }

    fn read(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        Ok(Self {
            high: reader.u64()?,
            low: reader.u64()?,
        })
    }
}

/// Where a job stands among all that wait for slots: those that were expedited, then priority, time
/// and arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct WaitPlace {
    rank: u8,
    priority: Priority,
    place: Place,
}

impl WaitPlace {
    /// Where a job of this priority stands.
    pub const fn new(priority: Priority, place: Place) -> Self {
        Self {
            rank: 1,
            priority,
            place,
        }
    }

    /// The same, before all that were not expedited.
    pub const fn expedited(priority: Priority, place: Place) -> Self {
        Self {
            rank: 0,
            priority,
            place,
        }
    }

    /// Whether the job was expedited.
    pub const fn is_expedited(&self) -> bool {
        self.rank == 0
    }

    /// The job's priority.
    pub const fn priority(&self) -> Priority {
        self.priority
    }

    /// When the job began to wait, and its turn among those that did then.
    pub const fn place(&self) -> Place {
        self.place
    }
}

impl Spot for WaitPlace {
    fn next(self) -> Self {
        Self {
            place: self.place.next(),
            ..self
        }
    }
}

impl KeyParts for WaitPlace {
    fn write(&self, writer: &mut KeyWriter) {
        writer.byte(self.rank);
        writer.byte(self.priority.get());
        self.place.write(writer);
    }

    fn read(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        Ok(Self {
            rank: reader.byte()?,
            priority: Priority::parse(reader.byte()?.into()).map_err(|_| KeyError)?,
            place: Place::read(reader)?,
        })
    }
}

/// The table of jobs that wait for a slot.
pub struct Waiters;

impl Table for Waiters {
    const ID: TableId = TableId::Waiter;
    type Key = WaiterKey;
    type Row = WaiterRow;
}

/// A job in its line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WaiterKey {
    /// Which line.
    pub line: LineName,
    /// Where in it.
    pub place: WaitPlace,
    /// Which job.
    pub job: JobId,
}

impl WaiterKey {
    /// The row of a job.
    pub fn of(key: &JobKey, line: LineId, place: WaitPlace) -> Self {
        Self {
            line: LineName {
                tenant: key.tenant.clone(),
                id: line,
            },
            place,
            job: key.job.clone(),
        }
    }

    /// Every row of a line.
    pub fn all(line: &LineName) -> KeyRange {
        within(&Self::prefix(line).finish())
    }

    /// Every row of a line from a place on.
    pub fn from(line: &LineName, low: WaitPlace) -> KeyRange {
        let mut start = Self::prefix(line);
        low.write(&mut start);
        start.finish()..Self::all(line).end
    }

    fn prefix(line: &LineName) -> KeyWriter {
        let mut writer = KeyWriter::new(TableId::Waiter.byte());
        line.write(&mut writer);
        writer
    }
}

impl KeyParts for WaiterKey {
    fn write(&self, writer: &mut KeyWriter) {
        self.line.write(writer);
        self.place.write(writer);
        writer.text(self.job.as_str());
    }

    fn read(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        Ok(Self {
            line: LineName::read(reader)?,
            place: WaitPlace::read(reader)?,
            job: read_job(reader)?,
        })
    }
}

/// Everything there is to say stands in the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct WaiterRow {}

impl Row for WaiterRow {}

/// The table of lines.
pub struct Lines;

impl Table for Lines {
    const ID: TableId = TableId::Line;
    type Key = LineName;
    type Row = LineRow;
}

/// Whose line, and which.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineName {
    /// Whose.
    pub tenant: Tenant,
    /// Which.
    pub id: LineId,
}

impl LineName {
    /// The row of where the line is parked.
    pub fn parked_key(&self, row: &LineRow) -> ParkedKey {
        ParkedKey {
            limit: self.limit(&row.at),
            head: row.head,
            line: self.id,
        }
    }

    /// The row of the line's ticket at a limit.
    pub fn ticket_key(&self, limit: &LimitKey, ticket: u64) -> TicketKey {
        TicketKey {
            limit: self.limit(limit),
            ticket,
            line: self.id,
        }
    }

    /// A limit of the same tenant.
    pub fn limit(&self, key: &LimitKey) -> LimitName {
        LimitName {
            tenant: self.tenant.clone(),
            key: key.clone(),
        }
    }
}

impl Lines {
    /// Every line of a tenant.
    pub fn of_tenant(tenant: &Tenant) -> KeyRange {
        of_tenant(Self::ID, tenant)
    }
}

impl KeyParts for LineName {
    fn write(&self, writer: &mut KeyWriter) {
        self.tenant.write(writer);
        self.id.write(writer);
    }

    fn read(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        Ok(Self {
            tenant: Tenant::read(reader)?,
            id: LineId::read(reader)?,
        })
    }
}

/// Jobs that want slots of the same limits. There is a row exactly while there is a job.
/// (SILO-LIMIT-3)
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct LineRow {
    /// The limits, in the order of their keys.
    pub wanted: Vec<LimitKey>,
    /// The one where the line is parked.
    pub at: LimitKey,
    /// Where the first job stands; no row of the line stands before that.
    pub head: WaitPlace,
    /// The first job.
    pub first: JobId,
    /// How many jobs there are; at least 1.
    pub count: u64,
    /// How many searches looked at this line first and served another.
    pub passes: u32,
    /// One slot of each limit is kept for the lowest.
    pub ticket: Option<u64>,
}

impl Row for LineRow {}

/// The table of lines by where they are parked.
pub struct Parked;

impl Table for Parked {
    const ID: TableId = TableId::Parked;
    type Key = ParkedKey;
    type Row = ParkedRow;
}

/// A line where it is parked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ParkedKey {
    /// On which limit.
    pub limit: LimitName,
    /// Where its first job stands.
    pub head: WaitPlace,
    /// Which line.
    pub line: LineId,
}

impl ParkedKey {
    /// Every row of a tenant.
    pub fn of_tenant(tenant: &Tenant) -> KeyRange {
        of_tenant(TableId::Parked, tenant)
    }

    /// Every row of a limit.
    pub fn all(limit: &LimitName) -> KeyRange {
        within_limit(TableId::Parked, limit)
    }

    /// Every row of a limit from a place on.
    pub fn from(limit: &LimitName, low: WaitPlace) -> KeyRange {
        let mut start = limit_prefix(TableId::Parked, limit);
        low.write(&mut start);
        start.finish()..Self::all(limit).end
    }
}

impl KeyParts for ParkedKey {
    fn write(&self, writer: &mut KeyWriter) {
        self.limit.write(writer);
        self.head.write(writer);
        self.line.write(writer);
    }

    fn read(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        Ok(Self {
            limit: LimitName::read(reader)?,
            head: WaitPlace::read(reader)?,
            line: LineId::read(reader)?,
        })
    }
}

/// What judging a line takes, so that it reads no other row of it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ParkedRow {
    /// The limits that it wants, in the order of their keys.
    pub wanted: Vec<LimitKey>,
    /// Its first job.
    pub first: JobId,
}

impl Row for ParkedRow {}

impl From<&LineRow> for ParkedRow {
    fn from(row: &LineRow) -> Self {
        Self {
            wanted: row.wanted.clone(),
            first: row.first.clone(),
        }
    }
}
