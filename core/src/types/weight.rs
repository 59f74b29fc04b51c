//! How much of the workers a tenant gets beside others.

use std::collections::BTreeMap;
use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::types::Invalid;
use crate::types::tenant::Tenant;

/// Tasks that a tenant gets in one turn of the ring: 1 to [`Self::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize)]
pub struct Weight(u16);

impl Weight {
    /// The largest weight: a neighbour waits for at most so many tasks of one tenant.
    pub const MAX: u16 = 1000;

    /// What counts when nobody says otherwise.
    pub const ONE: Self = Self(1);

    /// Takes a number as a weight.
    ///
    /// # Errors
    /// [`Invalid`] when it is 0 or above [`Self::MAX`].
    pub fn parse(number: u32) -> Result<Self, Invalid> {
        match u16::try_from(number) {
            Ok(small) if (1..=Self::MAX).contains(&small) => Ok(Self(small)),
            Ok(_) | Err(_) => {
                let bound = format!("1 to {}", Self::MAX);
                Err(Invalid::new("weight", number, bound))
            }
        }
    }

    /// The weight as a number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::ONE
    }
}

impl std::fmt::Display for Weight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl BorshDeserialize for Weight {
    fn deserialize_reader<R: std::io::Read>(reader: &mut R) -> std::io::Result<Self> {
        Self::parse(u16::deserialize_reader(reader)?.into())
            .map_err(|e| std::io::Error::new(std::io::ErrorKind::InvalidData, e))
    }
}

/// The weights that a server's configuration gives: what is set at run time goes before them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weights {
    /// Of every tenant that is not named.
    pub default: Weight,
    /// Of these tenants.
    pub named: Arc<BTreeMap<Tenant, Weight>>,
}

impl Weights {
    /// A tenant's weight.
    pub fn of(&self, tenant: &Tenant) -> Weight {
        self.named.get(tenant).copied().unwrap_or(self.default)
    }
}
