//! The opened object stores of a node and what its shards share.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use object_store::ObjectStore;
use object_store::throttle::{ThrottleConfig, ThrottledStore};
use slatedb::admin::{Admin, AdminBuilder};
use slatedb::config::Settings;
use slatedb::db_cache::DbCache;
use slatedb::db_cache::moka::{MokaCache, MokaCacheOptions};
use slatedb_common::metrics::MetricsRecorder;

use crate::metrics::Metrics;
use crate::storage::clock::ShardClock;
use crate::storage::config::{StorageConfig, TimeLimits};
use crate::storage::error::{StorageError, within};
use crate::storage::layout::{Layout, PLACEHOLDER};
use crate::storage::marks::mark_deleted;
use crate::storage::settings::{METADATA_AGE_MIN_WITHOUT_REPLACE, slatedb_settings};
use crate::storage::stores::{OpenStore, open_local};

/// What an object store can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreAbilities {
    /// Whether it can replace an object on condition that it has not changed.
    pub conditional_replace: bool,
}

/// The object stores of a node, with the block cache and the settings that all its shards share.
///
/// Cloning is cheap, and clones are the same storage. Memory storage lives as long as any clone.
#[derive(Clone)]
pub struct Storage {
    store: Arc<dyn ObjectStore>,
    /// Where the write-ahead logs are, if not with the rest.
    log_store: Option<Arc<dyn ObjectStore>>,
    layout: Layout,
    cache: Arc<dyn DbCache>,
    /// The cache keeps entries of different databases apart by a number; this gives each path its
    /// own, the same again when a shard is reopened.
    cache_scopes: Arc<Mutex<BTreeMap<String, u64>>>,
    settings: Settings,
    time_limits: TimeLimits,
    /// Whom SlateDB tells its metrics, if anybody.
    recorder: Option<Arc<dyn MetricsRecorder>>,
}

impl Storage {
    /// Opens the configured stores, if they are files or memory. For files, the directory is
    /// created if need be.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] if the configuration contradicts itself or names a store in the
    /// cloud; [`StorageError::Unavailable`] if the directory cannot be used.
    pub async fn open(config: &StorageConfig) -> Result<Self, StorageError> {
        let main = open_local(&config.backend).await?;
        let log = match &config.wal {
            Some(wal) => Some(open_local(&wal.backend).await?),
            None => None,
        };
        Self::with_stores(main, log, config)
    }

    /// Uses stores that were opened elsewhere: for the data and, if it is to be apart, for the
    /// write-ahead logs. The configured back ends are not looked at.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] if the configuration contradicts itself, or the logs would not
    /// outlive what they are to protect.
    pub fn with_stores(
        main: OpenStore,
        log: Option<OpenStore>,
        config: &StorageConfig,
    ) -> Result<Self, StorageError> {
        if let Some(log) = &log {
            check_log_store(&main, log)?;
        }
        let settings = slatedb_settings(&config.shard, &config.time_limits, main.abilities);
        let settings = config.slatedb.over(settings)?;
        check_settings(&settings, main.abilities)?;
        Ok(Self {
            store: main.store,
            log_store: log.map(|log| log.store),
            layout: main.layout.unwrap_or_default(),
            cache: Arc::new(MokaCache::new_with_opts(MokaCacheOptions {
                max_capacity: config.cache_bytes,
                ..MokaCacheOptions::default()
            })),
            cache_scopes: Arc::new(Mutex::new(BTreeMap::new())),
            settings,
            time_limits: config.time_limits.clone(),
            recorder: None,
        })
    }

    /// Uses a store that was made elsewhere, such as one that fails on purpose, for everything.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] if the configuration contradicts itself.
    pub fn with_object_store(
        store: Arc<dyn ObjectStore>,
        abilities: StoreAbilities,
        config: &StorageConfig,
    ) -> Result<Self, StorageError> {
        Self::with_stores(OpenStore::new(store, abilities), None, config)
    }

    /// The same storage, whose requests are counted, and SlateDB's own metrics with them.
    #[must_use]
    pub fn counted(self, metrics: &Metrics) -> Self {
        let counting = |store| metrics.stores().counting(store);
        Self {
            store: counting(self.store),
            log_store: self.log_store.map(counting),
            recorder: Some(Arc::new(metrics.slatedb().clone())),
            ..self
        }
    }

    /// The same storage, of which every read and every write takes so much longer: as one that is
    /// far away. Not for files: the library cannot slow them down.
    #[must_use]
    pub fn slowed(self, reads: Duration, writes: Duration) -> Self {
        let waits = ThrottleConfig {
            wait_get_per_call: reads,
            wait_list_per_call: reads,
            wait_list_with_delimiter_per_call: reads,
            wait_put_per_call: writes,
            ..ThrottleConfig::default()
        };
        let slow = |store| -> Arc<dyn ObjectStore> { Arc::new(ThrottledStore::new(store, waits)) };
        Self {
            store: slow(self.store),
            log_store: self.log_store.map(slow),
            ..self
        }
    }

    /// The object store itself, for objects beside the shards.
    #[must_use]
    pub fn object_store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The object store of the write-ahead logs, if they are not with the rest.
    #[must_use]
    pub fn log_store(&self) -> Option<&Arc<dyn ObjectStore>> {
        self.log_store.as_ref()
    }

    /// Where in the store the data of each shard lies.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The time limits of single operations.
    #[must_use]
    pub fn time_limits(&self) -> &TimeLimits {
        &self.time_limits
    }

    /// Deletes the database at `path`, its write-ahead log, and whatever else is below it; nothing
    /// will open at this path again. Repeating it is harmless, and finishes what an interrupted
    /// deletion left.
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

    pub(crate) fn recorder(&self) -> Option<Arc<dyn MetricsRecorder>> {
        self.recorder.clone()
    }

    pub(crate) fn settings(&self) -> Settings {
        self.settings.clone()
    }

    /// Requests to the database at `path` that need no open database. It repeats failed requests
    /// for ever, so each use needs a time limit.
    pub(crate) fn admin(&self, path: &str) -> Admin {
        self.admin_builder(path).build()
    }

    /// As [`Self::admin`], stamping what it writes with this clock.
    pub(crate) fn admin_with_clock(&self, path: &str, clock: Arc<ShardClock>) -> Admin {
        self.admin_builder(path).with_system_clock(clock).build()
    }

    fn admin_builder(&self, path: &str) -> AdminBuilder<String> {
        let builder = Admin::builder(path.to_owned(), Arc::clone(&self.store));
        match &self.log_store {
            Some(log_store) => builder.with_wal_object_store(Arc::clone(log_store)),
            None => builder,
        }
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
            .field("log_store", &self.log_store)
            .field("layout", &self.layout)
            .field("settings", &self.settings)
            .field("time_limits", &self.time_limits)
            .finish_non_exhaustive()
    }
}

const OPEN: &str = "open storage";
const DELETE: &str = "delete shard data";

fn check_log_store(main: &OpenStore, log: &OpenStore) -> Result<(), StorageError> {
    if log.layout.is_some() {
        return Err(StorageError::invalid(
            OPEN,
            format!(
                "database.wal: {PLACEHOLDER} has no place there: the log of a shard has the same \
                 path below its store as the shard's data"
            ),
        ));
    }
    if log.is_volatile && !main.is_volatile {
        return Err(StorageError::invalid(
            OPEN,
            "database.wal: logs in memory would lose acknowledged jobs of data that is kept",
        ));
    }
    Ok(())
}

fn check_settings(settings: &Settings, abilities: StoreAbilities) -> Result<(), StorageError> {
    settings
        .validate()
        .map_err(|error| StorageError::from_slatedb(OPEN, &error))?;
    // Without this, writes could wait for a flush that nobody asks for: neither the log nor the
    // table in memory would have reached the size at which SlateDB writes it out by itself.
    let (unflushed, l0) = (settings.max_unflushed_bytes, settings.l0_sst_size_bytes);
    if unflushed < l0.saturating_mul(3) {
        return Err(StorageError::invalid(
            OPEN,
            format!(
                "unflushed_bytes_max is {unflushed}, and must be at least three times l0_bytes, \
                 which is {l0}"
            ),
        ));
    }
    if let Some(collector) = &settings.garbage_collector_options
        && !abilities.conditional_replace
    {
        let metadata = [collector.manifest_options, collector.compactions_options];
        if metadata
            .iter()
            .flatten()
            .any(|options| options.min_age < METADATA_AGE_MIN_WITHOUT_REPLACE)
        {
            return Err(StorageError::invalid(
                OPEN,
                "database.slatedb.garbage_collector_options: on this back end manifest_options and \
                 compactions_options need a min_age of at least 6 hours, or a process that was \
                 suspended could take itself for the owner",
            ));
        }
    }
    Ok(())
}
