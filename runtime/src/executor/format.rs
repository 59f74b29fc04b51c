//! The format of a shard's rows: newer ones are refused, older ones are read and written anew.
//!
//! A release reads every format from the first to its own: rows have versions of their own, and
//! are read as what they were written as. What it writes, an older release may misread. So the row
//! that names the format is raised before the first other row is written, and so is the mark beside
//! the data, which an older release looks at before it takes the shard from anybody.

use silo_core::table::Table as _;
use silo_core::table::codec::encode;
use silo_core::table::singleton::{FORMAT_VERSION, Format, FormatRow, format_key};
use silo_core::types::time::Timestamp;
use tracing::info;

use crate::storage::backend::Storage;
use crate::storage::catalog::ShardEntry;
use crate::storage::error::StorageError;
use crate::storage::marks::noted_format;
use crate::storage::shard::ShardStore;

const READ: &str = "read the shard's format";

/// Refuses a shard whose mark says that its rows are of a newer format.
///
/// # Errors
/// [`StorageError::NewerFormat`]; else as [`noted_format`].
pub(crate) async fn refuse_newer(
    storage: &Storage,
    entry: &ShardEntry,
) -> Result<(), StorageError> {
    let noted = noted_format(storage, &entry.path).await?;
    noted.map_or(Ok(()), is_readable)
}

/// Sees to it that an open shard says that its rows are of this release's format, durably. Call it
/// before anything else is read or written.
///
/// # Errors
/// [`StorageError::NewerFormat`] if they are of a newer one, [`StorageError::Invalid`] if the row
/// that says so cannot be read; nothing has been changed then.
pub(crate) async fn settle(store: &ShardStore, now: Timestamp) -> Result<(), StorageError> {
    let found = match store.get(&format_key()).await? {
        Some(bytes) => Some(
            Format::read_row(&bytes).map_err(|error| StorageError::Invalid {
                operation: READ,
                detail: error.to_string(),
            })?,
        ),
        None => None,
    };
    let created_at = match &found {
        Some(row) => {
            is_readable(row.version)?;
            if row.version == FORMAT_VERSION {
                return Ok(());
            }
            info!(
                from = row.version,
                to = FORMAT_VERSION,
                "older data: releases that do not know the new format will refuse it from now on"
            );
            row.created_at
        }
        None => now,
    };
    // Before the row: where there is a row, there is the mark, and it says no less.
    store.mark_created(FORMAT_VERSION).await?;
    let row = FormatRow {
        version: FORMAT_VERSION,
        created_at,
    };
    let written = store.write(vec![(format_key(), Some(encode(&row)))]).await;
    written.map_err(|failure| failure.cause().clone())?;
    store.flush().await
}

fn is_readable(version: u32) -> Result<(), StorageError> {
    match version {
        0 => Err(StorageError::Invalid {
            operation: READ,
            detail: "it says 0, and the first format was 1: the row is damaged".to_owned(),
        }),
        1..=FORMAT_VERSION => Ok(()),
        _ => Err(StorageError::NewerFormat {
            what: "the shard's data",
            found: version.into(),
            supported: FORMAT_VERSION.into(),
        }),
    }
}
