//! What is written to a shard at once.

use bytes::Bytes;
use slatedb::WriteBatch;

use crate::storage::error::StorageError;

/// Longest key in bytes: the file format stores its length in two.
pub const KEY_BYTES_MAX: usize = u16::MAX as usize;

/// Rows to put (`Some`) and to delete (`None`). Of several changes to one key the last counts.
pub type Changes = Vec<(Bytes, Option<Bytes>)>;

/// Checks the rows before SlateDB sees them, which panics on a bad key and fails on an empty batch.
pub(crate) fn slatedb_batch(
    operation: &'static str,
    changes: Changes,
) -> Result<WriteBatch, StorageError> {
    if changes.is_empty() {
        return Err(StorageError::invalid(operation, "the batch is empty"));
    }
    let mut batch = WriteBatch::new();
    for (key, value) in changes {
        check_key(operation, &key)?;
        match value {
            Some(value) if u32::try_from(value.len()).is_err() => {
                return Err(StorageError::invalid(operation, "a value exceeds 4 GiB"));
            }
            Some(value) => batch.put_bytes(key, value),
            None => batch.delete(key),
        }
    }
    Ok(batch)
}

fn check_key(operation: &'static str, key: &Bytes) -> Result<(), StorageError> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(StorageError::invalid(
            operation,
            format!(
                "a key of {} bytes; allowed are 1 to {KEY_BYTES_MAX}",
                key.len()
            ),
        ));
    }
    Ok(())
}
