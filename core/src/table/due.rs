//! Jobs that wait for a time, in the order of their times: late starts and back-off.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::table::codec::Row;
use crate::table::job::{JobKey, read_job};
use crate::table::key::{KeyError, KeyParts, KeyRange, KeyReader, KeyWriter, within};
use crate::table::place::Place;
use crate::table::{Table, TableId};
use crate::types::name::JobId;
use crate::types::tenant::Tenant;

/// The table.
pub struct Dues;

impl Table for Dues {
    const ID: TableId = TableId::Due;
    type Key = DueKey;
    type Row = DueRow;
}

/// Whose job, when, and which. Jobs that have ended stand under such keys in
/// [`crate::table::expiry`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DueKey {
    /// Whose job.
    pub tenant: Tenant,
    /// When it is due, and its turn among those due then.
    pub place: Place,
    /// Which job.
    pub job: JobId,
}

impl DueKey {
    /// The row of a job at a place.
    pub fn of(key: &JobKey, place: Place) -> Self {
        Self {
            tenant: key.tenant.clone(),
            place,
            job: key.job.clone(),
        }
    }

    /// Every row of a tenant from a place on, in a table with such keys.
    pub fn from<T: Table<Key = Self>>(tenant: &Tenant, low: Place) -> KeyRange {
        let prefix = |tenant: &Tenant| {
            let mut writer = KeyWriter::new(T::ID.byte());
            tenant.write(&mut writer);
            writer
        };
        let mut start = prefix(tenant);
        low.write(&mut start);
        start.finish()..within(&prefix(tenant).finish()).end
    }
}

impl KeyParts for DueKey {
    fn write(&self, writer: &mut KeyWriter) {
        self.tenant.write(writer);
        self.place.write(writer);
        writer.text(self.job.as_str());
    }

    fn read(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        let tenant = Tenant::read(reader)?;
        let place = Place::read(reader)?;
        Ok(Self {
            tenant,
            place,
            job: read_job(reader)?,
        })
    }
}

/// What happens when the time comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum DueRow {
    /// The job enters its queue.
    Start,
}

impl Row for DueRow {}
