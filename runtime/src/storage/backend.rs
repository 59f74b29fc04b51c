//! The opened object store of a node and what its shards share.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path as FsPath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use slatedb::admin::Admin;
use slatedb::config::Settings;
use slatedb::db_cache::DbCache;
use slatedb::db_cache::moka::{MokaCache, MokaCacheOptions};

use crate::storage::clock::ShardClock;
use crate::storage::config::{BackendConfig, ShardLimits, StorageConfig, TimeLimits};
use crate::storage::error::{StorageError, within};
use crate::storage::marks::mark_deleted;
use crate::storage::settings::slatedb_settings;

/// What an object store can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreAbilities {
    /// Whether it can replace an object on condition that it has not changed. Local files cannot.
    pub conditional_replace: bool,
}

/// The object store of a node, with the block cache and the settings that all its shards share.
///
/// Cloning is cheap, and clones are the same storage. Memory storage lives as long as any clone.
#[derive(Clone)]
pub struct Storage {
    store: Arc<dyn ObjectStore>,
    abilities: StoreAbilities,
    cache: Arc<dyn DbCache>,
    /// The cache keeps entries of different databases apart by a number; this gives each path its
    /// own, the same again when a shard is reopened.
    cache_scopes: Arc<Mutex<BTreeMap<String, u64>>>,
    shard_limits: ShardLimits,
    time_limits: TimeLimits,
}

impl Storage {
    /// Opens the configured object store. For files, the directory is created if need be.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] if the configuration contradicts itself,
    /// [`StorageError::Unavailable`] if the directory cannot be used.
    pub async fn open(config: &StorageConfig) -> Result<Self, StorageError> {
        let (store, abilities): (Arc<dyn ObjectStore>, _) = match &config.backend {
            BackendConfig::Fs { path, fsync } => (
                Arc::new(open_directory(path, *fsync).await?),
                StoreAbilities {
                    conditional_replace: false,
                },
            ),
            BackendConfig::Memory => (
                Arc::new(InMemory::new()),
                StoreAbilities {
                    conditional_replace: true,
                },
            ),
        };
        Self::with_object_store(store, abilities, config)
    }

    /// Uses a store that was made elsewhere, such as one that fails on purpose. The configured
    /// backend is not looked at.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] if the configuration contradicts itself.
    pub fn with_object_store(
        store: Arc<dyn ObjectStore>,
        abilities: StoreAbilities,
        config: &StorageConfig,
    ) -> Result<Self, StorageError> {
        check_memory_bounds(&config.shard)?;
        let storage = Self {
            store,
            abilities,
            cache: Arc::new(MokaCache::new_with_opts(MokaCacheOptions {
                max_capacity: config.cache_bytes,
                ..MokaCacheOptions::default()
            })),
            cache_scopes: Arc::new(Mutex::new(BTreeMap::new())),
            shard_limits: config.shard.clone(),
            time_limits: config.time_limits.clone(),
        };
        storage
            .settings()
            .validate()
            .map_err(|error| StorageError::from_slatedb(OPEN, &error))?;
        Ok(storage)
    }

    /// The object store itself, for objects beside the shards.
    #[must_use]
    pub fn object_store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The time limits of single operations.
    #[must_use]
    pub fn time_limits(&self) -> &TimeLimits {
        &self.time_limits
    }

    /// Deletes the database at `path` and whatever else is below it; nothing will open at this path
    /// again. Repeating it is harmless, and finishes what an interrupted deletion left.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`] if the store does not answer in time; some of it may then be
    /// gone.
    pub async fn delete_database(&self, path: &str) -> Result<(), StorageError> {
        mark_deleted(self, path).await?;
        let admin = self.admin(path);
        within(self.time_limits.delete(), DELETE, async {
            admin
                .delete_db(true)
                .await
                .map_err(|error| StorageError::from_slatedb(DELETE, &error))
        })
        .await?;
        Ok(())
    }

    pub(crate) fn settings(&self) -> Settings {
        slatedb_settings(&self.shard_limits, &self.time_limits, self.abilities)
    }

    /// Requests to the database at `path` that need no open database. It repeats failed requests
    /// for ever, so each use needs a time limit.
    pub(crate) fn admin(&self, path: &str) -> Admin {
        Admin::builder(path.to_owned(), Arc::clone(&self.store)).build()
    }

    /// As [`Self::admin`], stamping what it writes with this clock.
    pub(crate) fn admin_with_clock(&self, path: &str, clock: Arc<ShardClock>) -> Admin {
        Admin::builder(path.to_owned(), Arc::clone(&self.store))
            .with_system_clock(clock)
            .build()
    }

    /// The shared cache, and the number that keeps the entries of the database at `path` apart.
    pub(crate) fn cache(&self, path: &str) -> (Arc<dyn DbCache>, u64) {
        let mut scopes = self
            .cache_scopes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let next = u64::try_from(scopes.len()).unwrap_or(u64::MAX);
        let scope = *scopes.entry(path.to_owned()).or_insert(next);
        (Arc::clone(&self.cache), scope)
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage")
            .field("store", &self.store)
            .field("shard_limits", &self.shard_limits)
            .field("time_limits", &self.time_limits)
            .finish_non_exhaustive()
    }
}

const OPEN: &str = "open storage";
const DELETE: &str = "delete shard data";

/// Without this, writes could wait for a flush that nobody asks for: neither the log nor the table
/// in memory would have reached the size at which SlateDB writes it out by itself.
fn check_memory_bounds(limits: &ShardLimits) -> Result<(), StorageError> {
    if limits.unflushed_bytes_max < limits.l0_bytes.saturating_mul(3) {
        return Err(StorageError::invalid(
            OPEN,
            format!(
                "unflushed_bytes_max is {}, and must be at least three times l0_bytes, which is {}",
                limits.unflushed_bytes_max, limits.l0_bytes
            ),
        ));
    }
    Ok(())
}

async fn open_directory(path: &FsPath, fsync: bool) -> Result<LocalFileSystem, StorageError> {
    let directory = PathBuf::from(path);
    let shown = directory.display().to_string();
    let opened = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
        LocalFileSystem::new_with_prefix(&directory)
            .map(|store| store.with_fsync(fsync))
            .map_err(|error| error.to_string())
    })
    .await
    .map_err(|error| StorageError::unavailable(OPEN, error.to_string()))?;
    opened.map_err(|detail| StorageError::unavailable(OPEN, format!("{shown}: {detail}")))
}
