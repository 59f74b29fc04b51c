//! The id of one leased attempt. It says whose job and which attempt it is, so there is no table
//! of task ids: an outcome finds its job from the id alone, however late it comes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use borsh::{BorshDeserialize, BorshSerialize};

use crate::types::Invalid;
use crate::types::name::JobId;
use crate::types::tenant::Tenant;

/// First byte of the encoded form, so that the form can change.
const VERSION: u8 = 1;

/// One lease of one attempt of a job. Unique per lease, hence its fencing token.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskId {
    /// Whose job.
    pub tenant: Tenant,
    /// Which job.
    pub job: JobId,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// Drawn from entropy for each lease: two leases of the same attempt differ in it.
    pub nonce: u64,
}

#[derive(BorshSerialize, BorshDeserialize)]
struct Encoded {
    version: u8,
    attempt: u32,
    nonce: u64,
    tenant: String,
    job: JobId,
}

impl TaskId {
    /// Reads an id from the text that a worker was given.
    ///
    /// # Errors
    /// [`Invalid`] for any text that [`TaskId::encode`] does not write. Such a task was never
    /// leased.
    pub fn decode(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("task_id", text, "an id given with a lease");
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| invalid())?;
        let encoded = Encoded::try_from_slice(&bytes).map_err(|_| invalid())?;
        if encoded.version != VERSION {
            return Err(invalid());
        }
        let tenant = Tenant::parse(&encoded.tenant).map_err(|_| invalid())?;
        let Encoded {
            attempt,
            nonce,
            job,
            ..
        } = encoded;
        Ok(Self {
            tenant,
            job,
            attempt,
            nonce,
        })
    }

    /// The id as opaque text, safe in file names and URLs.
    pub fn encode(&self) -> String {
        let encoded = Encoded {
            version: VERSION,
            attempt: self.attempt,
            nonce: self.nonce,
            tenant: self.tenant.as_str().to_owned(),
            job: self.job.clone(),
        };
        // Writing to memory cannot fail; an id that did would be refused when it comes back.
        URL_SAFE_NO_PAD.encode(borsh::to_vec(&encoded).unwrap_or_default())
    }
}
