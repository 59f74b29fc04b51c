//! How long a job is kept once it has ended.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::types::time::Millis;

/// How long a job is kept after its end, by how it ended. `None`: nobody said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Retention {
    /// After success.
    pub succeeded: Option<Millis>,
    /// After a final failure.
    pub failed: Option<Millis>,
    /// After a cancellation.
    pub cancelled: Option<Millis>,
}

impl Retention {
    /// Keeps every job until it is deleted, when used as a default.
    pub const FOREVER: Self = Self {
        succeeded: None,
        failed: None,
        cancelled: None,
    };
}
