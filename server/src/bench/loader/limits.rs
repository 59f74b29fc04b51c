//! Limits that jobs carry.

use silo_core::types::limit::{Limit, Slot};
use silo_core::types::name::LimitKey;
use silo_runtime::proto;

/// Keys of each of the three limits of [`Limits::Three`].
const KEYS: u64 = 8;
/// Slots of each of the three.
const SLOTS: [u32; 3] = [100, 50, 50];

/// Which limits jobs carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Limits {
    /// None.
    #[default]
    None,
    /// Three of 24 keys, one of each eight: of 100, 50 and 50 slots.
    Three,
    /// Jobs from this number on: one slot of one key, which has no other.
    OneFrom(u64),
}

/// One limit: its key, and how many slots it has.
type Wanted = (String, u32);

impl Limits {
    /// Those of a job, as a client says them.
    pub(crate) fn on_wire(self, number: u64) -> Vec<proto::Limit> {
        let limit = |(key, max_concurrency): Wanted| proto::Limit {
            limit: Some(proto::limit::Limit::Concurrency(proto::ConcurrencyLimit {
                key,
                max_concurrency,
            })),
        };
        self.of(number).into_iter().map(limit).collect()
    }

    /// Those of a job, as a shard takes them.
    pub(crate) fn direct(self, number: u64) -> Vec<Limit> {
        let limit = |(key, maximum): Wanted| {
            let key = LimitKey::parse(&key).ok()?;
            Some(Limit::Concurrency(Slot { key, maximum }))
        };
        self.of(number).into_iter().filter_map(limit).collect()
    }

    fn of(self, number: u64) -> Vec<Wanted> {
        match self {
            Self::None => Vec::new(),
            Self::OneFrom(first) if number < first => Vec::new(),
            Self::OneFrom(_) => vec![("one".to_owned(), 1)],
            Self::Three => {
                // Keys that do not follow one another: high bits of a product (Fibonacci hashing).
                let mut bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
                let mut next = || {
                    let key = bits.checked_rem(KEYS).unwrap_or(0);
                    bits = bits.checked_div(KEYS).unwrap_or(0);
                    key
                };
                let kinds = ["a", "b", "c"].into_iter().zip(SLOTS);
                kinds
                    .map(|(kind, slots)| (format!("{kind}{}", next()), slots))
                    .collect()
            }
        }
    }
}
