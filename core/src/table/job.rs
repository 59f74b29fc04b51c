//! What was asked for: written once, when the job is enqueued.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::table::codec::{Row, RowError, longer};
use crate::table::key::{KeyError, KeyParts, KeyReader, KeyWriter};
use crate::table::tenant::Queue;
use crate::table::{Table, TableId};
use crate::types::data::Data;
use crate::types::entropy::RequestId;
use crate::types::limit::Limit;
use crate::types::name::JobId;
use crate::types::retry::RetryPolicy;
use crate::types::tenant::Tenant;
use crate::types::time::{Millis, Timestamp};

/// The table.
pub struct Jobs;

impl Table for Jobs {
    const ID: TableId = TableId::Job;
    type Key = JobKey;
    type Row = JobRow;
}

/// Whose job, and which: the key of every table with one row per job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobKey {
    /// Whose job.
    pub tenant: Tenant,
    /// Its name, unique within the tenant.
    pub job: JobId,
}

impl KeyParts for JobKey {
    fn write(&self, writer: &mut KeyWriter) {
        self.tenant.write(writer);
        writer.text(self.job.as_str());
    }

    fn read(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        let tenant = Tenant::read(reader)?;
        Ok(Self {
            tenant,
            job: read_job(reader)?,
        })
    }
}

/// Reads a job id that ends a key or stands in it.
pub(crate) fn read_job(reader: &mut KeyReader<'_>) -> Result<JobId, KeyError> {
    JobId::parse(&reader.text()?).map_err(|_| KeyError)
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct JobRow {
    /// Task group and priority.
    pub queue: Queue,
    /// When the server took the job.
    pub enqueued_at: Timestamp,
    /// The start that the caller asked for, if any.
    pub start_at: Option<Timestamp>,
    /// None: a failure is final.
    pub retry: Option<RetryPolicy>,
    /// How many crashes in a row the job survives.
    pub max_crashes: u32,
    /// How long its leases last, unless the lease request says otherwise.
    pub lease: Option<Millis>,
    /// The caller's own pairs.
    pub metadata: BTreeMap<String, String>,
    /// What the worker is given.
    pub payload: Data,
    /// What makes the enqueue safe to repeat.
    pub request: Option<Request>,
    /// What must have room before it runs, as the caller gave it. Since version 2.
    pub limits: Vec<Limit>,
}

/// An empty list.
const NO_LIMITS: &[u8] = &[0; 4];

impl Row for JobRow {
    const VERSION: u8 = 2;

    fn upgrade(version: u8, body: &[u8]) -> Result<Self, RowError> {
        match version {
            1 => longer(body, NO_LIMITS),
            other => Err(RowError::unknown(other)),
        }
    }
}

/// Identifies the call that made a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Request {
    /// As the caller gave it.
    pub id: RequestId,
    /// XXH3-128 of everything the call asked for.
    pub fingerprint: [u8; 16],
}
