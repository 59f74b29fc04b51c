//! What must hold on every store in the cloud, whichever it is.

#![allow(dead_code, reason = "each test file uses a part of this")]

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{TryStreamExt as _, future::join_all};
use object_store::ObjectStore;
use silo_cloud::environment::Environment;
use silo_cloud::open::open;
use silo_runtime::storage::backend::Storage;
use silo_runtime::storage::catalog::ShardCatalog;
use silo_runtime::storage::clock::SystemWallClock;
use silo_runtime::storage::config::{BackendConfig, StorageConfig, WalConfig};
use silo_runtime::storage::error::{StorageError, WriteError};
use silo_runtime::storage::shard::ShardStore;
use silo_runtime::storage::slatedb_overrides::SlateDbOverrides;

/// No variable at all: the tests name everything.
pub(crate) fn nothing() -> Environment {
    Environment::default()
}

/// It learns of its fate only by what it does itself.
pub(crate) fn config(backend: BackendConfig) -> StorageConfig {
    let mut config = StorageConfig::new(backend);
    config.shard.manifest_poll_ms = 3_600_000;
    config
}

pub(crate) async fn opened(config: &StorageConfig) -> Storage {
    open(config, &nothing()).await.unwrap()
}

pub(crate) async fn catalog(storage: &Storage, shards: u32) -> ShardCatalog {
    let count = NonZeroU32::new(shards).unwrap();
    ShardCatalog::open(storage, count, 1).await.unwrap()
}

pub(crate) async fn first_shard(storage: &Storage) -> ShardStore {
    let entry = catalog(storage, 1).await.shards()[0].clone();
    let clock = Arc::new(SystemWallClock::default());
    ShardStore::open(storage, &entry, clock).await.unwrap()
}

pub(crate) async fn put(
    store: &ShardStore,
    key: &'static str,
    value: &'static str,
) -> Result<(), StorageError> {
    let row = (
        Bytes::from_static(key.as_bytes()),
        Some(Bytes::from_static(value.as_bytes())),
    );
    match store.write(vec![row]).await {
        Ok(_) => store.flush().await,
        Err(WriteError::Refused(cause) | WriteError::Unknown(cause)) => Err(cause),
    }
}

pub(crate) async fn value(store: &ShardStore, key: &str) -> Option<Bytes> {
    store.get(key.as_bytes()).await.unwrap()
}

pub(crate) async fn objects(store: &dyn ObjectStore) -> Vec<String> {
    let objects = store
        .list(None)
        .map_ok(|object| object.location.to_string());
    objects.try_collect().await.unwrap()
}

pub(crate) async fn what_was_flushed_survives_a_crash(fresh: impl Fn() -> BackendConfig) {
    let place = fresh();
    let store = first_shard(&opened(&config(place.clone())).await).await;
    put(&store, "a", "kept").await.unwrap();
    // A crash: nothing is closed, and the next process knows only the bucket.
    let store = first_shard(&opened(&config(place.clone())).await).await;
    assert_eq!(value(&store, "a").await.unwrap(), "kept");
    store.close().await.unwrap();
    let store = first_shard(&opened(&config(place.clone())).await).await;
    assert_eq!(value(&store, "a").await.unwrap(), "kept");
    store.close().await.unwrap();
}

pub(crate) async fn a_second_process_fences_the_first_which_can_add_nothing(
    fresh: impl Fn() -> BackendConfig,
) {
    let place = fresh();
    let first = first_shard(&opened(&config(place.clone())).await).await;
    put(&first, "a", "1").await.unwrap();
    let second = first_shard(&opened(&config(place.clone())).await).await;
    let failed = put(&first, "a", "stale").await.unwrap_err();
    assert!(matches!(failed, StorageError::Fenced { .. }), "{failed}");
    let failed = first.prove_ownership().await.unwrap_err();
    assert!(matches!(failed, StorageError::Fenced { .. }), "{failed}");
    second.prove_ownership().await.unwrap();
    assert_eq!(value(&second, "a").await.unwrap(), "1");
    put(&second, "a", "2").await.unwrap();
    second.close().await.unwrap();
}

pub(crate) async fn all_who_create_the_catalog_at_once_get_the_same(
    fresh: impl Fn() -> BackendConfig,
) {
    let storage = opened(&config(fresh())).await;
    let catalogs = join_all((1..=8).map(|shards| catalog(&storage, shards))).await;
    assert!(catalogs.iter().all(|catalog| *catalog == catalogs[0]));
}

pub(crate) async fn logs_in_a_store_of_their_own_are_read_and_deleted_with_the_rest(
    fresh: impl Fn() -> BackendConfig,
) {
    let directory = tempfile::tempdir().unwrap();
    let files = BackendConfig::Fs {
        path: directory.path().join("log"),
        fsync: true,
    };
    for backend in [files, fresh()] {
        let mut config = config(fresh());
        config.wal = Some(WalConfig { backend });
        let storage = opened(&config).await;
        let store = first_shard(&storage).await;
        put(&store, "a", "only in the log").await.unwrap();
        let found = objects(storage.object_store().as_ref()).await;
        assert!(
            !found.iter().any(|path| path.contains("/wal/")),
            "{found:?}"
        );
        let storage = opened(&config).await;
        let store = first_shard(&storage).await;
        assert_eq!(value(&store, "a").await.unwrap(), "only in the log");
        store.close().await.unwrap();

        let before = catalog(&storage, 1).await;
        let after = before.clone().reset(&storage, 2).await.unwrap();
        assert_ne!(before.shards()[0].path, after.shards()[0].path);
        let log = objects(storage.log_store().unwrap().as_ref()).await;
        assert!(!log.iter().any(|path| path.contains("/wal/")), "{log:?}");
        assert!(log.contains(&"log-store".to_owned()), "{log:?}");
        let found = objects(storage.object_store().as_ref()).await;
        let data = &before.shards()[0].path;
        assert!(
            !found.iter().any(|path| path.starts_with(data)),
            "{found:?}"
        );
    }
}

/// A garbage collector that does not wait.
pub(crate) fn impatient_collector() -> SlateDbOverrides {
    serde_json::from_str(
        r#"{"garbage_collector_options": {
            "wal_options": {"interval": "100ms", "min_age": "0s"},
            "manifest_options": {"interval": "100ms", "min_age": "0s"}}}"#,
    )
    .unwrap()
}

/// How many versions of manifests there are.
pub(crate) async fn manifests(storage: &Storage) -> usize {
    let found = objects(storage.object_store().as_ref()).await;
    let is_manifest = |path: &&String| path.ends_with(".manifest");
    found.iter().filter(is_manifest).count()
}

pub(crate) async fn garbage_is_collected_behind_a_boundary(fresh: impl Fn() -> BackendConfig) {
    let mut config = config(fresh());
    config.slatedb = impatient_collector();
    let storage = opened(&config).await;
    let store = first_shard(&storage).await;
    for _ in 0..5 {
        put(&store, "a", "1").await.unwrap();
        store.flush_tables().await.unwrap();
    }
    let collected = async {
        loop {
            let found = objects(storage.object_store().as_ref()).await;
            let logs = found.iter().filter(|path| path.contains("/wal/")).count();
            let boundary = found.iter().any(|path| path.ends_with("manifest.boundary"));
            if logs <= 3 && boundary {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), collected)
        .await
        .unwrap();
    put(&store, "b", "2").await.unwrap();
    store.close().await.unwrap();
    let store = first_shard(&opened(&config).await).await;
    assert_eq!(value(&store, "b").await.unwrap(), "2");
    store.close().await.unwrap();
}
