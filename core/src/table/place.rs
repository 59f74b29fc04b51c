//! A place in a queue, and what is known of a queue's front.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::table::key::{KeyError, KeyParts, KeyReader, KeyWriter};
use crate::types::time::Timestamp;

/// A place in a queue: time first, then arrival. No two jobs of a tenant have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Place {
    /// When the job became ready, or becomes due.
    pub at: Timestamp,
    /// Drawn from the tenant's row when the job was put here.
    pub seq: u64,
}

impl KeyParts for Place {
    fn write(&self, writer: &mut KeyWriter) {
        writer.time(self.at);
        writer.u64(self.seq);
    }

    fn read(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        Ok(Self {
            at: reader.time()?,
            seq: reader.u64()?,
        })
    }
}

/// What rows of a queue are ordered by.
pub trait Spot: Copy + Ord {
    /// The first place after this one.
    #[must_use]
    fn next(self) -> Self;
}

impl Spot for Place {
    fn next(self) -> Self {
        Self {
            at: self.at,
            seq: self.seq.saturating_add(1),
        }
    }
}

/// The front of a queue that has rows.
///
/// Reading from the start of a queue in a log-structured store means walking over everything that
/// was ever consumed there; reading from `low` does not. Too high would lose jobs, so this is a
/// row, written in the same batch as what it speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Head<P = Place> {
    /// No row of the queue stands before this place. There may be none at it.
    pub low: P,
    /// How many rows the queue has; at least 1.
    pub count: u64,
}

impl<P: Spot> Head<P> {
    /// A queue of one.
    pub const fn first(place: P) -> Self {
        Self {
            low: place,
            count: 1,
        }
    }

    /// One row more, at `place`.
    #[must_use]
    pub fn with(self, place: P) -> Self {
        Self {
            low: self.low.min(place),
            count: self.count.saturating_add(1),
        }
    }

    /// One row less, which stood at `place`; nothing when that was the last one.
    #[must_use]
    pub fn without(self, place: P) -> Option<Self> {
        let count = self.count.saturating_sub(1);
        // Only what stood right at the mark lets it rise; what stood elsewhere says nothing of it.
        let low = if place == self.low {
            place.next()
        } else {
            self.low
        };
        (count > 0).then_some(Self { low, count })
    }

    /// The mark raised to `low`: the caller has seen that nothing stands before it.
    #[must_use]
    pub fn raised(self, low: P) -> Self {
        Self {
            low: self.low.max(low),
            count: self.count,
        }
    }
}
