//! A tenant and its place in the hash space.

use std::sync::Arc;

use xxhash_rust::xxh64::xxh64;

use crate::types::Invalid;

/// A tenant, ordered by its hash first: the order of every table's keys.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tenant {
    hash: u64,
    name: Arc<str>,
}

impl Tenant {
    /// Longest tenant, in Unicode scalar values.
    pub const CHARS_MAX: usize = 64;

    /// The tenant of every job when tenancy is off.
    pub const SINGLE: &str = "-";

    /// Takes `name` as a tenant.
    ///
    /// # Errors
    /// [`Invalid`] when it is empty or longer than [`Self::CHARS_MAX`].
    pub fn parse(name: &str) -> Result<Self, Invalid> {
        let chars = name.chars().count();
        if chars == 0 || chars > Self::CHARS_MAX {
            let value = format!("{chars} characters long");
            let bound = format!("1 to {} characters", Self::CHARS_MAX);
            return Err(Invalid::new("tenant", value, bound));
        }
        Ok(Self {
            hash: hash_of(name),
            name: name.into(),
        })
    }

    /// The tenant that stands for "no tenancy".
    pub fn single() -> Self {
        Self {
            hash: hash_of(Self::SINGLE),
            name: Self::SINGLE.into(),
        }
    }

    /// The tenant's name.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The tenant's place in the hash space: XXH64 of its name with seed 0, as the wire says.
    pub const fn hash(&self) -> u64 {
        self.hash
    }
}

impl std::fmt::Display for Tenant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl std::fmt::Debug for Tenant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", &*self.name)
    }
}

/// Where a tenant of this name stands in the hash space: XXH64 with seed 0, as the wire says. Of
/// any text: whether it may be a tenant's name is for the server to say.
pub fn hash_of(name: &str) -> u64 {
    xxh64(name.as_bytes(), 0)
}
