//! Remembers, beside the data of a shard, that its database was created, in which format its rows
//! are, and that it was deleted.
//!
//! The catalog is written first, and databases are created when their shards are first opened. So
//! that data which is missing later is not taken for data that does not exist yet, an object
//! `created/<path>` says so, written before the shard answers anybody. An object `deleted/<path>`
//! is written before a database is deleted: a process that still has it open may write a manifest
//! afterwards, and that is no database. The objects are never deleted, as paths are never used
//! again; there are two per shard and reset.
//!
//! `created/<path>` holds the number of the rows' format. It is read before a database is opened:
//! opening it fences its owner, and a release that cannot read the rows must not stop one that can.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};

use crate::storage::backend::Storage;
use crate::storage::error::{StorageError, within};

const MARK: &str = "mark shard";
const LOOK: &str = "look for a shard's mark";

/// What is remembered of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// There has been a database.
    Created,
    /// There is none any more, and never will be.
    Deleted,
}

impl Mark {
    fn location(self, path: &str) -> Path {
        Path::from(match self {
            Self::Created => format!("created/{path}"),
            Self::Deleted => format!("deleted/{path}"),
        })
    }
}

/// Remembers that the database at `path` exists, and the format of its rows. Repeating it is
/// harmless.
pub(crate) async fn mark_created(
    storage: &Storage,
    path: &str,
    format: u32,
) -> Result<(), StorageError> {
    put_mark(storage, Mark::Created, path, format.to_string().into()).await
}

/// Remembers that the database at `path` is gone for good. Repeating it is harmless.
pub(crate) async fn mark_deleted(storage: &Storage, path: &str) -> Result<(), StorageError> {
    put_mark(storage, Mark::Deleted, path, PutPayload::new()).await
}

/// The format that the rows of the database at `path` were last written in, as far as it was
/// remembered.
///
/// # Errors
/// [`StorageError::Unavailable`] if the store does not answer, [`StorageError::Invalid`] if what
/// was remembered is no number.
pub(crate) async fn noted_format(
    storage: &Storage,
    path: &str,
) -> Result<Option<u32>, StorageError> {
    let location = Mark::Created.location(path);
    let noted = within(storage.time_limits().request(), LOOK, async {
        let found = match storage.object_store().get(&location).await {
            Ok(found) => found.bytes().await,
            Err(error) => Err(error),
        };
        match found {
            Ok(noted) => Ok(noted),
            Err(object_store::Error::NotFound { .. }) => Ok(Bytes::new()),
            Err(error) => Err(StorageError::from_object_store(LOOK, &error)),
        }
    })
    .await?;
    if noted.is_empty() {
        return Ok(None);
    }
    let number = std::str::from_utf8(&noted)
        .ok()
        .and_then(|text| text.parse().ok());
    match number {
        Some(format) => Ok(Some(format)),
        None => Err(StorageError::invalid(
            LOOK,
            format!("{location} does not hold the number of a format"),
        )),
    }
}

async fn put_mark(
    storage: &Storage,
    mark: Mark,
    path: &str,
    payload: PutPayload,
) -> Result<(), StorageError> {
    let location = mark.location(path);
    within(storage.time_limits().request(), MARK, async {
        let marked = storage.object_store().put(&location, payload).await;
        marked
            .map(|_| ())
            .map_err(|error| StorageError::from_object_store(MARK, &error))
    })
    .await
}

/// Whether this is remembered of the database at `path`.
pub(crate) async fn has_mark(
    storage: &Storage,
    mark: Mark,
    path: &str,
) -> Result<bool, StorageError> {
    let location = mark.location(path);
    within(storage.time_limits().request(), LOOK, async {
        match storage.object_store().head(&location).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(StorageError::from_object_store(LOOK, &error)),
        }
    })
    .await
}
