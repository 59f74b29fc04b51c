//! Attempts. The latest stands in the job's state; it moves here when the next one starts.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::table::codec::Row;
use crate::table::job::{JobKey, read_job};
use crate::table::key::{KeyError, KeyParts, KeyRange, KeyReader, KeyWriter, successor};
use crate::table::{Table, TableId};
use crate::types::data::Data;
use crate::types::name::{JobId, WorkerId};
use crate::types::tenant::Tenant;
use crate::types::time::Timestamp;

/// The table of earlier attempts.
pub struct Attempts;

impl Table for Attempts {
    const ID: TableId = TableId::Attempt;
    type Key = AttemptKey;
    type Row = Attempt;
}

/// Whose job, which, and the attempt's number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttemptKey {
    /// Whose job.
    pub tenant: Tenant,
    /// Which job.
    pub job: JobId,
    /// From 1.
    pub number: u32,
}

impl AttemptKey {
    /// An attempt of the job `key`.
    pub fn of(key: &JobKey, number: u32) -> Self {
        Self {
            tenant: key.tenant.clone(),
            job: key.job.clone(),
            number,
        }
    }

    /// Every earlier attempt of a job.
    pub fn all(key: &JobKey) -> KeyRange {
        let (first, last) = (Self::of(key, 0), Self::of(key, u32::MAX));
        Attempts::key(&first)..successor(&Attempts::key(&last))
    }
}

impl KeyParts for AttemptKey {
    fn write(&self, writer: &mut KeyWriter) {
        self.tenant.write(writer);
        writer.text(self.job.as_str());
        writer.u32(self.number);
    }

    fn read(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        let tenant = Tenant::read(reader)?;
        Ok(Self {
            tenant,
            job: read_job(reader)?,
            number: reader.u32()?,
        })
    }
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Attempt {
    /// From 1; grows over restarts.
    pub number: u32,
    /// With job and number it makes the task id.
    pub nonce: u64,
    /// Who had it.
    pub worker: WorkerId,
    /// When it was leased.
    pub started_at: Timestamp,
    /// How and when it ended; None while it runs.
    pub end: Option<AttemptEnd>,
}

impl Row for Attempt {}

impl Attempt {
    /// What it reported, if it did.
    pub fn data(&self) -> Option<&Data> {
        self.end.as_ref().and_then(|end| end.how.data())
    }
}

/// How and when an attempt ended. Never changes once written (SILO-ATT-2).
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AttemptEnd {
    /// When.
    pub at: Timestamp,
    /// How.
    pub how: Ending,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Ending {
    /// With a result.
    Succeeded(Data),
    /// With an error of the worker's.
    Failed {
        /// The worker's own code.
        code: String,
        /// The worker's own data.
        data: Data,
    },
    /// The worker stopped because it was asked to.
    Cancelled,
    /// The lease expired.
    Crashed,
}

impl Ending {
    /// The error code of an attempt whose lease expired.
    pub const CRASHED_CODE: &str = "WORKER_CRASHED";

    /// The data that was reported, if there was any.
    pub const fn data(&self) -> Option<&Data> {
        match self {
            Self::Succeeded(data) | Self::Failed { data, .. } => Some(data),
            Self::Cancelled | Self::Crashed => None,
        }
    }
}
