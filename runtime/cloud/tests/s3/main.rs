//! Shards on a real S3 endpoint, over real HTTP: `scripts/with-s3 cargo test -p silo-cloud --test
//! s3`. The target is not among those that `cargo test` runs by itself, as it needs that endpoint.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects)]

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
use silo_runtime::storage::cloud_config::{S3Config, StoreOptions, UrlConfig};
use silo_runtime::storage::config::{BackendConfig, StorageConfig, WalConfig};
use silo_runtime::storage::error::{StorageError, WriteError};
use silo_runtime::storage::shard::ShardStore;
use uuid::Uuid;

const BUCKET: &str = "silo-test";

fn endpoint() -> String {
    std::env::var("SILO_TEST_S3").expect("run this by scripts/with-s3")
}

fn credentials() -> Environment {
    [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into_iter()
    .collect()
}

/// A place in the bucket that nothing else uses.
fn fresh() -> S3Config {
    S3Config {
        bucket: BUCKET.to_owned(),
        prefix: format!("test/{}", Uuid::new_v4().simple()),
        region: None,
        endpoint: Some(endpoint()),
        allow_http: true,
        options: StoreOptions::default(),
    }
}

fn config(s3: &S3Config) -> StorageConfig {
    let mut config = StorageConfig::new(BackendConfig::S3(s3.clone()));
    // It learns of its fate only by what it does itself.
    config.shard.manifest_poll_ms = 3_600_000;
    config
}

async fn opened(config: &StorageConfig) -> Storage {
    open(config, &credentials()).await.unwrap()
}

async fn catalog(storage: &Storage, shards: u32) -> ShardCatalog {
    let count = NonZeroU32::new(shards).unwrap();
    ShardCatalog::open(storage, count, 1).await.unwrap()
}

async fn first_shard(storage: &Storage) -> ShardStore {
    let entry = catalog(storage, 1).await.shards()[0].clone();
    let clock = Arc::new(SystemWallClock::default());
    ShardStore::open(storage, &entry, clock).await.unwrap()
}

async fn put(
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

async fn value(store: &ShardStore, key: &str) -> Option<Bytes> {
    store.get(key.as_bytes()).await.unwrap()
}

async fn objects(store: &dyn ObjectStore) -> Vec<String> {
    let objects = store
        .list(None)
        .map_ok(|object| object.location.to_string());
    objects.try_collect().await.unwrap()
}

#[silo::test]
async fn what_was_flushed_survives_a_crash() {
    let s3 = fresh();
    let store = first_shard(&opened(&config(&s3)).await).await;
    put(&store, "a", "kept").await.unwrap();
    // A crash: nothing is closed, and the next process knows only the bucket.
    let store = first_shard(&opened(&config(&s3)).await).await;
    assert_eq!(value(&store, "a").await.unwrap(), "kept");
    store.close().await.unwrap();
    let store = first_shard(&opened(&config(&s3)).await).await;
    assert_eq!(value(&store, "a").await.unwrap(), "kept");
    store.close().await.unwrap();
}

#[silo::test]
async fn a_second_process_fences_the_first_which_can_add_nothing() {
    let s3 = fresh();
    let first = first_shard(&opened(&config(&s3)).await).await;
    put(&first, "a", "1").await.unwrap();
    let second = first_shard(&opened(&config(&s3)).await).await;
    let failed = put(&first, "a", "stale").await.unwrap_err();
    assert!(matches!(failed, StorageError::Fenced { .. }), "{failed}");
    let failed = first.prove_ownership().await.unwrap_err();
    assert!(matches!(failed, StorageError::Fenced { .. }), "{failed}");
    second.prove_ownership().await.unwrap();
    assert_eq!(value(&second, "a").await.unwrap(), "1");
    put(&second, "a", "2").await.unwrap();
    second.close().await.unwrap();
}

#[silo::test]
async fn all_who_create_the_catalog_at_once_get_the_same() {
    let s3 = fresh();
    let storage = opened(&config(&s3)).await;
    let catalogs = join_all((1..=8).map(|shards| catalog(&storage, shards))).await;
    assert!(catalogs.iter().all(|catalog| *catalog == catalogs[0]));
}

#[silo::test]
async fn shards_lie_where_the_prefix_says_and_the_catalog_beside_them() {
    let mut s3 = fresh();
    let root = s3.prefix.clone();
    s3.prefix = format!("{root}/by-shard/{}-x/rows", "%shard%");
    let storage = opened(&config(&s3)).await;
    let id = catalog(&storage, 1).await.shards()[0].shard_id;
    let store = first_shard(&storage).await;
    put(&store, "a", "1").await.unwrap();
    store.close().await.unwrap();
    let found = objects(storage.object_store().as_ref()).await;
    assert!(
        found.iter().any(|path| path.starts_with("catalog/")),
        "{found:?}"
    );
    let place = format!("{id}-x/rows/");
    assert!(
        found.iter().any(|path| path.starts_with(&place)),
        "{found:?}"
    );

    // The same by its URL, which also finds what is there.
    let url = format!("s3://{BUCKET}/{root}/by-shard/%shard%-x/rows");
    let options = [
        ("endpoint".to_owned(), endpoint()),
        ("allow_http".to_owned(), "true".into()),
    ];
    let options = StoreOptions(options.into());
    let by_url = BackendConfig::Url(UrlConfig { url, options });
    let store = first_shard(&opened(&StorageConfig::new(by_url)).await).await;
    assert_eq!(value(&store, "a").await.unwrap(), "1");
    store.close().await.unwrap();
}

#[silo::test]
async fn logs_in_a_store_of_their_own_are_read_and_deleted_with_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let files = BackendConfig::Fs {
        path: directory.path().join("log"),
        fsync: true,
    };
    for backend in [files, BackendConfig::S3(fresh())] {
        let s3 = fresh();
        let mut config = config(&s3);
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

#[silo::test]
async fn garbage_is_collected_behind_a_boundary() {
    let s3 = fresh();
    let mut config = config(&s3);
    config.slatedb = serde_like(
        r#"{"garbage_collector_options": {
            "wal_options": {"interval": "100ms", "min_age": "0s"},
            "manifest_options": {"interval": "100ms", "min_age": "0s"}}}"#,
    );
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

fn serde_like(json: &str) -> silo_runtime::storage::slatedb_overrides::SlateDbOverrides {
    serde_json::from_str(json).unwrap()
}

#[silo::test]
async fn conditional_writes_that_are_switched_off_are_refused() {
    let mut s3 = fresh();
    s3.options
        .0
        .insert("conditional_put".to_owned(), "disabled".to_owned());
    let refused = open(&config(&s3), &credentials()).await.unwrap_err();
    assert!(matches!(refused, StorageError::Invalid { .. }), "{refused}");
    assert!(
        refused.to_string().contains("no conditional writes"),
        "{refused}"
    );
}

#[silo::test]
async fn a_bucket_that_does_not_exist_is_named() {
    let s3 = S3Config {
        bucket: "nowhere".to_owned(),
        ..fresh()
    };
    let failed = open(&config(&s3), &credentials()).await.unwrap_err();
    assert!(
        matches!(failed, StorageError::Unavailable { .. }),
        "{failed}"
    );
    assert!(failed.to_string().contains("NoSuchBucket"), "{failed}");
}
