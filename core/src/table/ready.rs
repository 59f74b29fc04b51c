//! Jobs that may be leased now, in the order in which a tenant's jobs are served: priority, the
//! time a job became ready, arrival.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::table::codec::Row;
use crate::table::job::{JobKey, read_job};
use crate::table::key::{
    Key, KeyError, KeyParts, KeyRange, KeyReader, KeyWriter, of_tenant, within,
};
use crate::table::place::Place;
use crate::table::tenant::Queue;
use crate::table::{Table, TableId};
use crate::types::name::{JobId, Priority, TaskGroup};
use crate::types::tenant::Tenant;

/// The table.
pub struct Readies;

impl Table for Readies {
    const ID: TableId = TableId::Ready;
    type Key = ReadyKey;
    type Row = ReadyRow;
}

/// Everything that a ready row says stands in its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReadyKey {
    /// Whose job.
    pub tenant: Tenant,
    /// Which queue.
    pub queue: Queue,
    /// Where in it.
    pub place: Place,
    /// Which job.
    pub job: JobId,
}

impl ReadyKey {
    /// The ready row of a job.
    pub fn of(key: &JobKey, queue: &Queue, place: Place) -> Self {
        Self {
            tenant: key.tenant.clone(),
            queue: queue.clone(),
            place,
            job: key.job.clone(),
        }
    }

    /// Every row of a tenant.
    pub fn of_tenant(tenant: &Tenant) -> KeyRange {
        of_tenant(TableId::Ready, tenant)
    }

    /// Every row of a queue from a place on.
    pub fn from(tenant: &Tenant, queue: &Queue, low: Place) -> KeyRange {
        let whole = within(&queue_prefix(tenant, queue).finish());
        let mut writer = queue_prefix(tenant, queue);
        low.write(&mut writer);
        let start: Key = writer.finish();
        start..whole.end
    }
}

impl KeyParts for ReadyKey {
    fn write(&self, writer: &mut KeyWriter) {
        self.tenant.write(writer);
        write_queue(&self.queue, writer);
        self.place.write(writer);
        writer.text(self.job.as_str());
    }

    fn read(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        let tenant = Tenant::read(reader)?;
        let group = TaskGroup::parse(&reader.text()?).map_err(|_| KeyError)?;
        let priority = Priority::parse(reader.byte()?.into()).map_err(|_| KeyError)?;
        let place = Place::read(reader)?;
        let queue = Queue { group, priority };
        Ok(Self {
            tenant,
            queue,
            place,
            job: read_job(reader)?,
        })
    }
}

/// Nothing yet; a job's limits come here, so that leasing reads no more than it does now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ReadyRow {}

impl Row for ReadyRow {}

fn queue_prefix(tenant: &Tenant, queue: &Queue) -> KeyWriter {
    let mut writer = KeyWriter::new(TableId::Ready.byte());
    tenant.write(&mut writer);
    write_queue(queue, &mut writer);
    writer
}

fn write_queue(queue: &Queue, writer: &mut KeyWriter) {
    writer.text(queue.group.as_str());
    writer.byte(queue.priority.get());
}
