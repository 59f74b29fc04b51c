//! Ranges of the tenant-hash space.

use std::fmt;

/// A half-open range of 64-bit tenant hashes: the part of all tenants that one shard owns.
///
/// Written as two strings: 16 lower-case hex digits each, or "" where the range is unbounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashRange {
    start: u64,
    end: Option<u64>,
}

/// Why two strings or bounds are not a [`HashRange`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// A bound is neither empty nor 16 lower-case hex digits.
    #[error("range bound {bound:?} is neither empty nor 16 lower-case hex digits")]
    Bound {
        /// The string found.
        bound: String,
    },
    /// The range would hold no hash.
    #[error("range from {start:016x} to {end:016x} holds nothing")]
    Empty {
        /// First hash of the range.
        start: u64,
        /// First hash behind the range.
        end: u64,
    },
}

impl HashRange {
    /// The whole hash space.
    pub const ALL: Self = Self {
        start: 0,
        end: None,
    };

    /// The range from `start` inclusive to `end` exclusive; without `end` it has no upper bound.
    ///
    /// # Errors
    /// [`RangeError::Empty`] if no hash is in it.
    pub fn new(start: u64, end: Option<u64>) -> Result<Self, RangeError> {
        match end {
            Some(end) if end <= start => Err(RangeError::Empty { start, end }),
            Some(_) | None => Ok(Self { start, end }),
        }
    }

    /// Reads a range as the wire and the catalog write it.
    ///
    /// # Errors
    /// [`RangeError`] if a bound is malformed or the range would be empty.
    pub fn parse(start: &str, end: &str) -> Result<Self, RangeError> {
        Self::new(parse_bound(start)?.unwrap_or(0), parse_bound(end)?)
    }

    /// Divides the whole space into `count` ranges in ascending order whose sizes differ by at
    /// most one. A count of zero is taken as one.
    #[must_use]
    pub fn split_evenly(count: u32) -> Vec<Self> {
        let count = count.max(1);
        let mut starts = (0..count).map(|index| even_boundary(index, count));
        let mut start = starts.next().unwrap_or(0);
        let mut ranges = Vec::new();
        for end in starts {
            ranges.push(Self {
                start,
                end: Some(end),
            });
            start = end;
        }
        ranges.push(Self { start, end: None });
        ranges
    }

    /// Whether these ranges, in this order, cover the whole space without gap or overlap.
    #[must_use]
    pub fn is_partition<'a>(ranges: impl IntoIterator<Item = &'a Self>) -> bool {
        let mut next_start = Some(0);
        for range in ranges {
            if next_start != Some(range.start) {
                return false;
            }
            next_start = range.end;
        }
        next_start.is_none()
    }

    /// First hash in the range.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.start
    }

    /// First hash behind the range; `None` when it reaches to the end of the space.
    #[must_use]
    pub fn end(&self) -> Option<u64> {
        self.end
    }

    /// Whether `hash` is in the range.
    #[must_use]
    pub fn contains(&self, hash: u64) -> bool {
        hash >= self.start && self.end.is_none_or(|end| hash < end)
    }

    /// The lower bound as the wire writes it: "" when the range starts with the space.
    #[must_use]
    pub fn start_string(&self) -> String {
        match self.start {
            0 => String::new(),
            start => format!("{start:016x}"),
        }
    }

    /// The upper bound as the wire writes it: "" when the range has none.
    #[must_use]
    pub fn end_string(&self) -> String {
        self.end
            .map(|end| format!("{end:016x}"))
            .unwrap_or_default()
    }
}

impl fmt::Display for HashRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start_string(), self.end_string())
    }
}

/// The first hash of part `index` of `count`: `index * 2^64 / count`.
fn even_boundary(index: u32, count: u32) -> u64 {
    let space = u128::from(u64::MAX).saturating_add(1);
    let boundary = u128::from(index)
        .saturating_mul(space)
        .checked_div(u128::from(count))
        .unwrap_or(0);
    u64::try_from(boundary).unwrap_or(u64::MAX)
}

fn parse_bound(bound: &str) -> Result<Option<u64>, RangeError> {
    if bound.is_empty() {
        return Ok(None);
    }
    let well_formed = bound.len() == 16
        && bound
            .bytes()
            .all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit));
    if !well_formed {
        return Err(RangeError::Bound {
            bound: bound.to_owned(),
        });
    }
    u64::from_str_radix(bound, 16)
        .map(Some)
        .map_err(|_| RangeError::Bound {
            bound: bound.to_owned(),
        })
}
