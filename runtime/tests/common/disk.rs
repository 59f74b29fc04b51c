//! Shards on real storage, behind a store that fails when told to.

use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use silo_runtime::clock::SlewedClock;
use silo_runtime::executor::limits::StageLimits;
use silo_runtime::executor::shard::{Shard, ShardContext, ShardState};
use silo_runtime::executor::waiters::Waiters;
use silo_runtime::metrics::Metrics;
use silo_runtime::storage::backend::{Storage, StoreAbilities};
use silo_runtime::storage::catalog::{ShardCatalog, ShardEntry};
use silo_runtime::storage::clock::SystemWallClock;
use silo_runtime::storage::config::{BackendConfig, StorageConfig};
use silo_test_faults::fault::{Fault, Operation, Requests, Trouble};
use silo_test_faults::store::FaultyStore;

/// Notices within a moment what takes seconds by default.
pub fn impatient(backend: BackendConfig) -> StorageConfig {
    let mut config = StorageConfig::new(backend);
    config.shard.manifest_poll_ms = 20;
    config.shard.object_store_retries_max = 1;
    config.time_limits.open_ms = 5_000;
    config
}

pub async fn memory() -> Storage {
    Storage::open(&impatient(BackendConfig::Memory))
        .await
        .unwrap()
}

pub async fn files(directory: &tempfile::TempDir) -> Storage {
    let path = directory.path().join("data");
    let backend = BackendConfig::Fs { path, fsync: true };
    Storage::open(&impatient(backend)).await.unwrap()
}

/// The same objects, behind a store that can be made to fail.
pub fn faulty(storage: &Storage, conditional_replace: bool) -> (Arc<FaultyStore>, Storage) {
    let config = impatient(BackendConfig::Memory);
    faulty_with(storage, conditional_replace, &config)
}

/// As [`faulty`], with other bounds.
pub fn faulty_with(
    storage: &Storage,
    conditional_replace: bool,
    config: &StorageConfig,
) -> (Arc<FaultyStore>, Storage) {
    let faulty = FaultyStore::new(Arc::clone(storage.object_store()));
    let store: Arc<dyn ObjectStore> = Arc::<FaultyStore>::clone(&faulty);
    let abilities = StoreAbilities {
        conditional_replace,
    };
    let storage = Storage::with_object_store(store, abilities, config).unwrap();
    (faulty, storage)
}

/// Requests fail.
pub const FAILS: Fault = Fault::Fails(Trouble::Generic);
/// Requests are done and reported as failed.
pub const LOSES_ANSWER: Fault = Fault::LosesAnswer(Trouble::Generic);

/// Requests that write the log.
pub fn log_puts() -> Requests {
    Requests::of([Operation::Put]).within("/wal/")
}

/// Requests that write the catalog.
pub fn catalog_puts() -> Requests {
    Requests::of([Operation::Put]).within("catalog/")
}

pub async fn entry(storage: &Storage) -> ShardEntry {
    let catalog = ShardCatalog::open(storage, 1.try_into().unwrap(), 1)
        .await
        .unwrap();
    catalog.shards()[0].clone()
}

/// What shards run on by default.
pub fn context(storage: &Storage) -> ShardContext {
    ShardContext {
        storage: storage.clone(),
        clock: Arc::new(SlewedClock::new(SystemWallClock::default())),
        wall: Arc::new(SystemWallClock::default()),
        limits: StageLimits::default(),
        waiters: Waiters::default(),
        metrics: Metrics::default(),
    }
}

/// Begins to open the only shard.
pub async fn start(storage: &Storage) -> Shard {
    Shard::start(entry(storage).await, context(storage))
}

/// The only shard, open.
pub async fn open(storage: &Storage) -> Shard {
    let shard = start(storage).await;
    reaches(&shard, |state| *state == ShardState::Open).await;
    shard
}

/// Waits until the shard is in such a state.
pub async fn reaches(shard: &Shard, is_it: impl FnMut(&ShardState) -> bool) -> ShardState {
    let mut state = shard.state();
    let reached = within(state.wait_for(is_it)).await;
    reached.unwrap().clone()
}

/// Waits for an event for as long as a slow machine may take.
pub async fn within<F: Future>(event: F) -> F::Output {
    let patience = Duration::from_secs(60);
    tokio::time::timeout(patience, event)
        .await
        .expect("it happens in time")
}
