//! What a read of a range may return, and what it returns.

use std::num::NonZeroUsize;

use bytes::Bytes;
use slatedb::config::ScanOptions;
use slatedb::{DbIterator, KeyValue};

/// How much one read of a range may return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeLimit {
    /// Number of rows.
    pub rows_max: NonZeroUsize,
    /// Bytes of keys and values; the row that passes this bound is still returned, and is the last.
    pub bytes_max: usize,
}

impl RangeLimit {
    /// At most this many rows, and 8 MiB.
    #[must_use]
    pub fn rows(rows_max: NonZeroUsize) -> Self {
        Self {
            rows_max,
            bytes_max: 8 << 20,
        }
    }
}

/// Rows of a range in ascending order of their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// Keys and values. Without gaps: every row that exists between the start of the range and the
    /// last key returned is there.
    pub rows: Vec<(Bytes, Bytes)>,
    /// Whether the range holds no more rows than these. `false` when a limit ended the read: there
    /// may or may not be more behind the last key. (Looking would mean walking over deleted rows,
    /// which can take seconds.)
    pub complete: bool,
}

/// Bytes that one row is guessed to take when choosing how far to read ahead.
const ROW_BYTES_GUESS: usize = 256;

/// Reading block by block costs one request each; reading far ahead for ten rows wastes transfer.
pub(crate) fn scan_options(limit: RangeLimit) -> ScanOptions {
    let expected_bytes = limit
        .rows_max
        .get()
        .saturating_mul(ROW_BYTES_GUESS)
        .min(limit.bytes_max);
    ScanOptions::default()
        .with_read_ahead_bytes(expected_bytes.clamp(16 << 10, 1 << 20))
        .with_max_fetch_tasks(if expected_bytes > 1 << 20 { 4 } else { 1 })
        .with_cache_blocks(true)
}

pub(crate) async fn collect(
    mut rows_in_storage: DbIterator,
    limit: RangeLimit,
) -> Result<Rows, slatedb::Error> {
    let mut rows = Vec::new();
    let mut bytes = 0_usize;
    while rows.len() < limit.rows_max.get() && bytes < limit.bytes_max {
        let Some(row) = rows_in_storage.next().await? else {
            return Ok(Rows {
                rows,
                complete: true,
            });
        };
        let (key, value) = detach(row);
        bytes = bytes.saturating_add(key.len()).saturating_add(value.len());
        rows.push((key, value));
    }
    Ok(Rows {
        rows,
        complete: false,
    })
}

/// Bytes from SlateDB are slices of whole blocks: kept in a cache of rows, a small row would keep
/// its block of 4 KiB alive. A value that fills a block of its own is not worth the copy.
pub(crate) fn detach_value(value: Bytes) -> Bytes {
    if value.len() < DETACH_BELOW_BYTES {
        Bytes::copy_from_slice(&value)
    } else {
        value
    }
}

const DETACH_BELOW_BYTES: usize = 4096;

fn detach(row: KeyValue) -> (Bytes, Bytes) {
    (Bytes::copy_from_slice(&row.key), detach_value(row.value))
}
