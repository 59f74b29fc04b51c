//! Remembers, beside the data of a shard, that its database was created, and that it was deleted.
//!
//! The catalog is written first, and databases are created when their shards are first opened. So
//! that data which is missing later is not taken for data that does not exist yet, an object
//! `created/<path>` says so, written before the shard answers anybody. An object `deleted/<path>`
//! is written before a database is deleted: a process that still has it open may write a manifest
//! afterwards, and that is no database. The objects are never deleted, as paths are never used
//! again; there are two per shard and reset.

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

/// Remembers this of the database at `path`. Repeating it is harmless.
pub(crate) async fn put_mark(
    storage: &Storage,
    mark: Mark,
    path: &str,
) -> Result<(), StorageError> {
    let location = mark.location(path);
    within(storage.time_limits().request(), MARK, async {
        let marked = storage
            .object_store()
            .put(&location, PutPayload::new())
            .await;
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
