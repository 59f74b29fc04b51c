//! What must have room before a job runs.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::types::Invalid;
use crate::types::name::LimitKey;

/// Most limits of one job.
pub const LIMITS_MAX: usize = 16;

/// A limit, as a job names it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Limit {
    /// At most so many jobs of the tenant run at once under one key.
    Concurrency(Slot),
}

/// A slot that a job wants.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Slot {
    /// Of which limit.
    pub key: LimitKey,
    /// How many slots the limit has when this job is the newest that says so; 0 pauses it.
    pub maximum: u32,
}

/// Checks that a job has not too many limits.
///
/// # Errors
/// [`Invalid`] above [`LIMITS_MAX`].
pub fn check_limits(limits: &[Limit]) -> Result<(), Invalid> {
    if limits.len() <= LIMITS_MAX {
        return Ok(());
    }
    let value = format!("{} limits", limits.len());
    let bound = format!("at most {LIMITS_MAX} limits");
    Err(Invalid::new("limits", value, bound))
}

/// The slots that a job with these limits wants, in the order of their keys. What is named twice
/// counts once, as it was named last.
pub fn slots_of(limits: &[Limit]) -> Vec<Slot> {
    let mut slots = BTreeMap::new();
    for Limit::Concurrency(slot) in limits {
        slots.insert(slot.key.clone(), slot.maximum);
    }
    let slot = |(key, maximum)| Slot { key, maximum };
    slots.into_iter().map(slot).collect()
}
