//! Rows as bytes: one byte of format version, then Borsh, which writes every value in exactly one
//! way. A row of an older version is read; one of a newer version is refused, never guessed at.
//!
//! To change a row: raise its [`Row::VERSION`], keep the old struct, and read it in
//! [`Row::upgrade`]. The golden rows in `tests/golden.rs` keep the old bytes readable for ever.

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;

/// A row that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// Written by a later release.
    #[error("the row has format version {found}, this release reads up to {known}")]
    Newer {
        /// The version found.
        found: u8,
        /// The newest version that this release knows.
        known: u8,
    },
    /// Not a row of this table.
    #[error("the row does not decode: {0}")]
    Malformed(String),
}

/// A row with a format version.
pub trait Row: BorshSerialize + BorshDeserialize {
    /// The version that is written. Starts at 1.
    const VERSION: u8 = 1;

    /// Reads a row of an older version.
    ///
    /// # Errors
    /// [`RowError`] when there was no such version, or the bytes are not of it.
    fn upgrade(version: u8, body: &[u8]) -> Result<Self, RowError> {
        let _ = body;
        Err(RowError::unknown(version))
    }
}

impl RowError {
    /// There was never a row of this version.
    pub(crate) fn unknown(version: u8) -> Self {
        Self::Malformed(format!("there is no format version {version}"))
    }
}

/// Reads a value that is all there is.
pub(crate) fn whole<T: BorshDeserialize>(body: &[u8]) -> Result<T, RowError> {
    T::try_from_slice(body).map_err(|error| RowError::Malformed(error.to_string()))
}

/// Reads what an older version wrote, to which this one has added fields at the end: `added` is
/// what they say of old rows.
pub(crate) fn longer<T: BorshDeserialize>(body: &[u8], added: &[u8]) -> Result<T, RowError> {
    whole(&[body, added].concat())
}

/// The bytes of a row.
pub fn encode<R: Row>(row: &R) -> Bytes {
    let mut bytes = Vec::with_capacity(160);
    bytes.push(R::VERSION);
    // Writing to memory fails only for a length above 4 GiB, which admission rules out. Were it to
    // happen, the short row would be found by its reader and the job quarantined.
    let _ = row.serialize(&mut bytes);
    bytes.into()
}

/// Reads a row.
///
/// # Errors
/// [`RowError`] for a newer version or malformed bytes.
pub fn decode<R: Row>(bytes: &[u8]) -> Result<R, RowError> {
    let (version, body) = bytes
        .split_first()
        .ok_or_else(|| RowError::Malformed("it is empty".to_owned()))?;
    match version.cmp(&R::VERSION) {
        std::cmp::Ordering::Equal => whole(body),
        std::cmp::Ordering::Less => R::upgrade(*version, body),
        std::cmp::Ordering::Greater => Err(RowError::Newer {
            found: *version,
            known: R::VERSION,
        }),
    }
}
