//! Storage to test on.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use silo_runtime::storage::backend::Storage;
use silo_runtime::storage::batch::Changes;
use silo_runtime::storage::catalog::{ShardCatalog, ShardEntry};
use silo_runtime::storage::clock::{SystemWallClock, WallClock};
use silo_runtime::storage::config::{BackendConfig, StorageConfig};
use silo_runtime::storage::read::RangeLimit;
use silo_runtime::storage::shard::ShardStore;
use tempfile::TempDir;

/// A configuration that notices within a moment what takes seconds by default.
pub(crate) fn impatient(backend: BackendConfig) -> StorageConfig {
    let mut config = StorageConfig::new(backend);
    config.shard.manifest_poll_ms = 20;
    config.shard.object_store_retries_max = 1;
    config
}

/// A configuration under which a shard learns of its fate only by what it does itself.
pub(crate) fn oblivious(backend: BackendConfig) -> StorageConfig {
    let mut config = impatient(backend);
    config.shard.manifest_poll_ms = 3_600_000;
    config.shard.compaction_poll_ms = 3_600_000;
    config
}

pub(crate) fn files(directory: &TempDir) -> BackendConfig {
    BackendConfig::Fs {
        path: directory.path().join("data"),
        fsync: true,
    }
}

pub(crate) async fn memory() -> Storage {
    let config = impatient(BackendConfig::Memory);
    Storage::open(&config).await.unwrap()
}

pub(crate) async fn catalog(storage: &Storage, shards: u32) -> ShardCatalog {
    let count = NonZeroU32::new(shards).unwrap();
    ShardCatalog::open(storage, count, 1_000).await.unwrap()
}

pub(crate) async fn only_shard(storage: &Storage) -> ShardEntry {
    catalog(storage, 1).await.shards()[0].clone()
}

pub(crate) async fn open(storage: &Storage, shard: &ShardEntry) -> ShardStore {
    let clock: Arc<dyn WallClock> = Arc::new(SystemWallClock::default());
    ShardStore::open(storage, shard, clock).await.unwrap()
}

pub(crate) fn put(key: &'static str, value: &'static str) -> Changes {
    vec![(
        Bytes::from_static(key.as_bytes()),
        Some(Bytes::from_static(value.as_bytes())),
    )]
}

pub(crate) fn delete(key: &'static str) -> Changes {
    vec![(Bytes::from_static(key.as_bytes()), None)]
}

pub(crate) async fn value(store: &ShardStore, key: &str) -> Option<String> {
    let value = store.get(key.as_bytes()).await.unwrap();
    value.map(|value| String::from_utf8(value.to_vec()).unwrap())
}

pub(crate) fn at_most(rows: usize) -> RangeLimit {
    RangeLimit::rows(NonZeroUsize::new(rows).unwrap())
}

pub(crate) async fn keys(store: &ShardStore, start: &str, end: &str, max: usize) -> (String, bool) {
    let limit = at_most(max);
    let found = store.range(start.as_bytes(), end.as_bytes(), limit).await;
    let found = found.unwrap();
    let keys: Vec<_> = found
        .rows
        .iter()
        .map(|(key, _)| String::from_utf8(key.to_vec()).unwrap())
        .collect();
    (keys.join(" "), found.complete)
}

pub(crate) async fn objects_below(storage: &Storage, prefix: &str) -> usize {
    let prefix = Path::from(prefix);
    let objects = storage.object_store().list(Some(&prefix));
    objects.try_collect::<Vec<_>>().await.unwrap().len()
}
