//! Payloads, results and error data: bytes that pass through unread (MessagePack by contract).
//! Small ones stand in the row that speaks of them, large ones in a row of their own, so that the
//! working set never carries them.

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

/// Largest data kept inside a job's or an attempt's row, in bytes.
pub const DATA_INLINE_BYTES_MAX: usize = 4096;

/// MessagePack `nil`: what stands for "nothing", because clients refuse empty bytes.
pub const NIL: &[u8] = &[0xc0];

/// Data as a row knows it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Data {
    /// The bytes themselves, at most [`DATA_INLINE_BYTES_MAX`].
    Inline(Bytes),
    /// The bytes stand in the payload table.
    Stored {
        /// Length in bytes.
        len: u64,
        /// XXH3-128, to tell a repeated report from another one without reading the bytes.
        digest: [u8; 16],
    },
}

impl Data {
    /// How a row refers to `bytes`.
    pub fn of(bytes: &Bytes) -> Self {
        if bytes.len() <= DATA_INLINE_BYTES_MAX {
            Self::Inline(bytes.clone())
        } else {
            let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            Self::Stored {
                len,
                digest: digest(bytes),
            }
        }
    }

    /// Data that says nothing.
    pub fn nil() -> Self {
        Self::Inline(Bytes::from_static(NIL))
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Inline(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::Stored { len, .. } => *len,
        }
    }

    /// Whether there is no byte at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the bytes stand in the payload table.
    pub const fn is_stored(&self) -> bool {
        matches!(self, Self::Stored { .. })
    }
}

/// XXH3-128 of `bytes`. Not against forgery: a caller can only mistake its own requests.
pub fn digest(bytes: &[u8]) -> [u8; 16] {
    xxh3_128(bytes).to_be_bytes()
}
