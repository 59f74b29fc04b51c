use silo_runtime::storage::backend::Storage;
use silo_runtime::storage::catalog::ShardCatalog;
use silo_runtime::storage::config::{BackendConfig, StorageConfig, WalConfig};
use silo_runtime::storage::error::StorageError;
use silo_runtime::storage::shard::ShardStore;
use tempfile::{TempDir, tempdir};

use crate::clock::Ahead;
use crate::support::{catalog, impatient, objects_below, only_shard, open, put, value};

fn folder(directory: &TempDir, name: &str) -> BackendConfig {
    BackendConfig::Fs {
        path: directory.path().join(name),
        fsync: true,
    }
}

/// Data in one folder, logs in another.
fn apart(directory: &TempDir, log: &str) -> StorageConfig {
    let mut config = impatient(folder(directory, "data"));
    config.wal = Some(WalConfig {
        backend: folder(directory, log),
    });
    config
}

fn together(directory: &TempDir) -> StorageConfig {
    impatient(folder(directory, "data"))
}

async fn refusal(config: &StorageConfig) -> String {
    let storage = Storage::open(config).await.unwrap();
    let refused = ShardCatalog::open(&storage, std::num::NonZeroU32::MIN, 1).await;
    match refused.unwrap_err() {
        StorageError::Invalid { detail, .. } => detail,
        other => panic!("{other:?}"),
    }
}

/// Objects below the path of the shard's database in the store of the logs.
async fn logs(storage: &Storage, path: &str) -> usize {
    use futures::TryStreamExt as _;
    let prefix = object_store::path::Path::from(path);
    let objects = storage.log_store().unwrap().list(Some(&prefix));
    objects.try_collect::<Vec<_>>().await.unwrap().len()
}

#[tokio::test]
async fn what_is_only_in_the_log_survives_a_crash_and_lies_in_its_own_store() {
    let directory = tempdir().unwrap();
    let config = apart(&directory, "log");
    let storage = Storage::open(&config).await.unwrap();
    let shard = only_shard(&storage).await;
    let store = open(&storage, &shard).await;
    store.write(put("a", "kept")).await.unwrap();
    store.flush().await.unwrap();
    let data = format!("{}/wal", shard.path);
    assert_eq!(objects_below(&storage, &data).await, 0);
    assert!(logs(&storage, &data).await > 0);

    let restarted = Storage::open(&config).await.unwrap();
    let store = open(&restarted, &only_shard(&restarted).await).await;
    assert_eq!(value(&store, "a").await.as_deref(), Some("kept"));
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_successor_fences_the_owner_in_the_store_of_the_logs_too() {
    let directory = tempdir().unwrap();
    let config = apart(&directory, "log");
    let storage = Storage::open(&config).await.unwrap();
    let shard = only_shard(&storage).await;
    let first = open(&storage, &shard).await;
    let second = open(&storage, &shard).await;
    let stale = first.write(put("a", "stale")).await;
    let failed = match stale {
        Ok(_) => first.flush().await.unwrap_err(),
        Err(failed) => failed.cause().clone(),
    };
    assert!(matches!(failed, StorageError::Fenced { .. }), "{failed}");
    assert_eq!(value(&second, "a").await, None);
    second.close().await.unwrap();
}

#[tokio::test]
async fn a_successor_whose_clock_is_behind_the_log_writes_at_once() {
    let directory = tempdir().unwrap();
    let storage = Storage::open(&apart(&directory, "log")).await.unwrap();
    let shard = only_shard(&storage).await;
    let first = ShardStore::open(&storage, &shard, Ahead::by(30_000)).await;
    let first = first.unwrap();
    first.write(put("a", "1")).await.unwrap();
    first.flush().await.unwrap();
    let second = ShardStore::open(&storage, &shard, Ahead::by(0)).await;
    let second = second.unwrap();
    assert!((25_000..=30_000).contains(&second.clock_skew_ms()));
    second.close().await.unwrap();
}

#[tokio::test]
async fn data_is_never_opened_without_its_logs() {
    let directory = tempdir().unwrap();
    let storage = Storage::open(&apart(&directory, "log")).await.unwrap();
    let created = catalog(&storage, 1).await;

    let said = refusal(&together(&directory)).await;
    assert!(said.contains("name it in database.wal"), "{said}");
    let said = refusal(&apart(&directory, "other")).await;
    assert!(said.contains("in another store"), "{said}");
    // That another store keeps somebody else's logs makes no difference.
    let elsewhere = tempdir().unwrap();
    let mut strange = impatient(folder(&elsewhere, "data"));
    strange.wal = apart(&directory, "other").wal;
    catalog(&Storage::open(&strange).await.unwrap(), 1).await;
    let said = refusal(&apart(&directory, "other")).await;
    assert!(said.contains("in another store"), "{said}");

    let storage = Storage::open(&apart(&directory, "log")).await.unwrap();
    assert_eq!(catalog(&storage, 1).await, created);
}

#[tokio::test]
async fn data_that_was_created_with_its_logs_stays_with_them() {
    let directory = tempdir().unwrap();
    let storage = Storage::open(&together(&directory)).await.unwrap();
    let created = catalog(&storage, 1).await;
    let said = refusal(&apart(&directory, "log")).await;
    assert!(said.contains("leave database.wal out"), "{said}");
    let storage = Storage::open(&together(&directory)).await.unwrap();
    assert_eq!(catalog(&storage, 1).await, created);
}

#[tokio::test]
async fn a_reset_deletes_the_logs_too_and_keeps_their_store() {
    let directory = tempdir().unwrap();
    let config = apart(&directory, "log");
    let storage = Storage::open(&config).await.unwrap();
    let before = catalog(&storage, 2).await;
    for shard in before.shards() {
        let store = open(&storage, shard).await;
        store.write(put("a", "1")).await.unwrap();
        store.close().await.unwrap();
        assert!(logs(&storage, &shard.path).await > 0);
    }
    let after = before.clone().reset(&storage, 2).await.unwrap();
    for shard in before.shards() {
        assert_eq!(objects_below(&storage, &shard.path).await, 0);
        assert_eq!(logs(&storage, &shard.path).await, 0);
    }
    let restarted = Storage::open(&config).await.unwrap();
    assert_eq!(catalog(&restarted, 2).await, after);
    assert_eq!(
        after.clone().settle(&restarted).await.unwrap().shards(),
        after.shards()
    );
    assert!(!refusal(&together(&directory)).await.is_empty());
}

#[tokio::test]
async fn combinations_that_would_lose_jobs_are_refused() {
    let directory = tempdir().unwrap();
    let mut config = together(&directory);
    config.wal = Some(WalConfig {
        backend: BackendConfig::Memory,
    });
    let refused = Storage::open(&config).await.unwrap_err().to_string();
    assert!(
        refused.contains("would lose acknowledged jobs"),
        "{refused}"
    );
    config.backend = BackendConfig::Memory;
    Storage::open(&config).await.unwrap();

    let refused = Storage::open(&apart(&directory, "%shard%")).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("%shard% has no place there"), "{refused}");
}
