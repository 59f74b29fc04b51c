//! The fixed set of shards of a node without coordination.
//!
//! The catalog is kept with the data as small JSON objects `catalog/<version>.json`, numbered from
//! one: the largest number counts, and a change creates the next number on condition that it does
//! not exist. That works on every store (local files cannot replace an object conditionally), and
//! of two processes that change the catalog at once exactly one wins. Versions are never deleted,
//! as a deleted number could be created again by a process that was suspended; there is one per
//! reset.

use std::num::NonZeroU32;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode, PutOptions, PutPayload};
use uuid::Uuid;

use crate::storage::backend::Storage;
use crate::storage::catalog_format::{decode, encode};
use crate::storage::error::{StorageError, within};
use crate::storage::layout::Layout;
use crate::storage::log_store;
use crate::storage::range::HashRange;

/// Largest number of shards that a catalog is created with.
pub const SHARDS_MAX: u32 = 1024;

/// One shard of the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardEntry {
    /// Names the shard for as long as it exists, across restarts and resets.
    pub shard_id: Uuid,
    /// The tenant hashes that the shard owns.
    pub range: HashRange,
    /// Where its database is in the object store. Never used again for another database.
    pub path: String,
    /// When this database was put into the catalog, in milliseconds since the epoch.
    pub created_at_ms: i64,
}

/// The shards of a node, in ascending order of their ranges, which cover the whole hash space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardCatalog {
    version: u64,
    shards: Vec<ShardEntry>,
    /// The store of the write-ahead logs, if they are apart from the data.
    log_store: Option<Uuid>,
}

impl ShardCatalog {
    /// Reads the stored catalog; if there is none, creates it with `shard_count` shards of equal
    /// range. Of several processes that do so at once, all get what the first one stored.
    ///
    /// A stored catalog wins over `shard_count`: a difference is logged and changes nothing. No
    /// database is created here; opening a shard does that.
    ///
    /// # Errors
    /// [`StorageError::NewerFormat`] if a newer program wrote the catalog;
    /// [`StorageError::Invalid`] if it cannot be read, names another store for the write-ahead logs
    /// than the configured one, or `shard_count` exceeds [`SHARDS_MAX`].
    pub async fn open(
        storage: &Storage,
        shard_count: NonZeroU32,
        now_ms: i64,
    ) -> Result<Self, StorageError> {
        if shard_count.get() > SHARDS_MAX {
            return Err(StorageError::invalid(
                OPEN,
                format!("{shard_count} shards configured; at most {SHARDS_MAX} are possible"),
            ));
        }
        let catalog = match read_newest(storage).await? {
            Some(stored) => stored,
            None => {
                let fresh = Self {
                    version: FIRST_VERSION,
                    shards: fresh_shards(storage.layout(), shard_count, now_ms),
                    log_store: log_store::claim(storage).await?,
                };
                create_version(storage, fresh).await?
            }
        };
        log_store::check(storage, catalog.log_store).await?;
        let stored_count = catalog.shards.len();
        if u32::try_from(stored_count) != Ok(shard_count.get()) {
            tracing::warn!(
                configured = shard_count,
                stored = stored_count,
                "the number of shards was fixed when the data was created; \
                 the configured number is ignored"
            );
        }
        Ok(catalog)
    }

    /// The shards, in ascending order of their ranges.
    #[must_use]
    pub fn shards(&self) -> &[ShardEntry] {
        &self.shards
    }

    /// The shard that owns a tenant hash. (There always is one: the ranges cover the space.)
    #[must_use]
    pub fn owner_of(&self, hash: u64) -> Option<&ShardEntry> {
        self.shards.iter().find(|shard| shard.range.contains(hash))
    }

    /// Gives every shard an empty database at a new path, keeping ids and ranges, and returns the
    /// catalog that says so. The old databases are then deleted as far as possible; what could not
    /// be deleted is logged and left. Close the open shards before.
    ///
    /// # Errors
    /// [`StorageError`]; the catalog then says either the old or the new, and [`Self::settle`]
    /// tells which.
    pub async fn reset(self, storage: &Storage, now_ms: i64) -> Result<Self, StorageError> {
        let mut current = self;
        for _ in 0..RESET_ATTEMPTS_MAX {
            let emptied: Vec<_> = current
                .shards
                .iter()
                .map(|shard| ShardEntry {
                    path: storage.layout().fresh_path(shard.shard_id),
                    created_at_ms: now_ms,
                    ..shard.clone()
                })
                .collect();
            let next = current.followed_by(emptied);
            let stored = create_version(storage, next.clone()).await?;
            if stored == next {
                delete_databases(storage, &current.shards).await;
                return Ok(stored);
            }
            // Another process reset it meanwhile: start from what it stored.
            current = stored;
        }
        Err(StorageError::unavailable(
            RESET,
            "other processes keep changing the shard catalog",
        ))
    }

    /// Finds out what became of a reset that failed, and sees to it that this is final: a request
    /// whose answer was lost may still be under way, so the version that it would create is taken.
    /// Databases that the catalog no longer names are then deleted as far as possible.
    ///
    /// # Errors
    /// [`StorageError`]; nothing is known then. Repeating it is harmless.
    pub async fn settle(self, storage: &Storage) -> Result<Self, StorageError> {
        let newest = read_newest(storage).await?;
        let newest = newest.ok_or_else(|| StorageError::invalid(READ, "it has been deleted"))?;
        let next = newest.followed_by(newest.shards.clone());
        let settled = create_version(storage, next).await?;
        let is_named = |shard: &ShardEntry| settled.shards.iter().any(|s| s.path == shard.path);
        let (_, replaced): (Vec<_>, Vec<_>) = self.shards.into_iter().partition(is_named);
        delete_databases(storage, &replaced).await;
        Ok(settled)
    }

    fn followed_by(&self, shards: Vec<ShardEntry>) -> Self {
        Self {
            version: self.version.saturating_add(1),
            shards,
            log_store: self.log_store,
        }
    }
}

const OPEN: &str = "open shard catalog";
const READ: &str = "read shard catalog";
const WRITE: &str = "write shard catalog";
const RESET: &str = "reset shards";
const FIRST_VERSION: u64 = 1;
const RESET_ATTEMPTS_MAX: usize = 5;
const CATALOG_PREFIX: &str = "catalog";

fn fresh_shards(layout: &Layout, count: NonZeroU32, now_ms: i64) -> Vec<ShardEntry> {
    HashRange::split_evenly(count.get())
        .into_iter()
        .map(|range| {
            let shard_id = Uuid::new_v4();
            ShardEntry {
                shard_id,
                range,
                path: layout.fresh_path(shard_id),
                created_at_ms: now_ms,
            }
        })
        .collect()
}

fn version_path(version: u64) -> Path {
    Path::from(format!("{CATALOG_PREFIX}/{version:020}.json"))
}

async fn read_newest(storage: &Storage) -> Result<Option<ShardCatalog>, StorageError> {
    let prefix = Path::from(CATALOG_PREFIX);
    let newest = within(storage.time_limits().request(), READ, async {
        storage
            .object_store()
            .list(Some(&prefix))
            .try_fold(None, |newest: Option<u64>, object| {
                let version = object
                    .location
                    .filename()
                    .and_then(|name| name.strip_suffix(".json"))
                    .and_then(|number| number.parse().ok());
                futures::future::ready(Ok(newest.max(version)))
            })
            .await
            .map_err(|error| StorageError::from_object_store(READ, &error))
    })
    .await?;
    match newest {
        Some(version) => read_version(storage, version).await.map(Some),
        None => Ok(None),
    }
}

async fn read_version(storage: &Storage, version: u64) -> Result<ShardCatalog, StorageError> {
    let json = within(storage.time_limits().request(), READ, async {
        let object = storage.object_store().get(&version_path(version)).await;
        let object = object.map_err(|error| StorageError::from_object_store(READ, &error))?;
        let json = object.bytes().await;
        json.map_err(|error| StorageError::from_object_store(READ, &error))
    })
    .await?;
    let (shards, log_store) = decode(&json)?;
    Ok(ShardCatalog {
        version,
        shards,
        log_store,
    })
}

/// Stores a version unless it exists already, and returns the newest version stored: this one or,
/// if others were faster, theirs.
async fn create_version(
    storage: &Storage,
    catalog: ShardCatalog,
) -> Result<ShardCatalog, StorageError> {
    let json = encode(&catalog.shards, catalog.log_store)?;
    let created = within(storage.time_limits().request(), WRITE, async {
        let options = PutOptions::from(PutMode::Create);
        let created = storage
            .object_store()
            .put_opts(
                &version_path(catalog.version),
                PutPayload::from(json),
                options,
            )
            .await;
        match created {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(StorageError::from_object_store(WRITE, &error)),
        }
    })
    .await?;
    if created {
        return Ok(catalog);
    }
    // Also after a request that was repeated because its answer was lost: then it finds ours.
    let stored = read_newest(storage).await?;
    stored.ok_or_else(|| StorageError::invalid(READ, "the shard catalog exists but is not listed"))
}

async fn delete_databases(storage: &Storage, shards: &[ShardEntry]) {
    for shard in shards {
        if let Err(error) = storage.delete_database(&shard.path).await {
            tracing::warn!(
                shard = %shard.shard_id,
                path = %shard.path,
                %error,
                "the old data of a shard that was reset could not be deleted and is left behind"
            );
        }
    }
}
