//! Large payloads, results and error data: the only rows without a codec. Their bytes are the
//! caller's, stored and returned as they came; the rows that refer to them know their length.

use crate::table::TableId;
use crate::table::job::{JobKey, read_job};
use crate::table::key::{Key, KeyError, KeyParts, KeyReader, KeyWriter};
use crate::types::tenant::Tenant;

/// The slot of the job's own payload; slot *n* has what attempt *n* reported.
pub const PAYLOAD_SLOT: u32 = 0;

/// Where data of a job is stored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PayloadKey {
    /// Whose job, and which.
    pub job: JobKey,
    /// [`PAYLOAD_SLOT`], or an attempt's number.
    pub slot: u32,
}

impl PayloadKey {
    /// The bytes of the key.
    pub fn key(job: &JobKey, slot: u32) -> Key {
        let mut writer = KeyWriter::new(TableId::Payload.byte());
        job.write(&mut writer);
        writer.u32(slot);
        writer.finish()
    }

    /// Reads a key of this table.
    ///
    /// # Errors
    /// [`KeyError`] for bytes that [`PayloadKey::key`] does not write.
    pub fn read_key(bytes: &[u8]) -> Result<Self, KeyError> {
        let mut reader = KeyReader::new(bytes);
        if reader.byte()? != TableId::Payload.byte() {
            return Err(KeyError);
        }
        let tenant = Tenant::read(&mut reader)?;
        let job = JobKey {
            tenant,
            job: read_job(&mut reader)?,
        };
        let slot = reader.u32()?;
        reader.end()?;
        Ok(Self { job, slot })
    }
}
