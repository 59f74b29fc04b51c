use std::fs;
use std::sync::Arc;
use std::time::Duration;

use silo_runtime::storage::backend::Storage;
use silo_runtime::storage::catalog::ShardEntry;
use silo_runtime::storage::clock::SystemWallClock;
use silo_runtime::storage::config::BackendConfig;
use silo_runtime::storage::error::{StorageError, WriteError};
use silo_runtime::storage::ownership::Ownership;
use silo_runtime::storage::shard::ShardStore;
use tempfile::tempdir;

use crate::support::{files, impatient, memory, oblivious, only_shard, open, put, value};

fn fenced(error: &StorageError) -> bool {
    matches!(error, StorageError::Fenced { .. })
}

fn unavailable(error: &StorageError) -> bool {
    matches!(error, StorageError::Unavailable { .. })
}

#[tokio::test]
async fn an_owner_proves_its_ownership_until_it_is_deposed() {
    let directory = tempdir().unwrap();
    let on_files = Storage::open(&oblivious(files(&directory))).await.unwrap();
    let in_memory = Storage::open(&oblivious(BackendConfig::Memory))
        .await
        .unwrap();
    for storage in [in_memory, on_files] {
        let shard = only_shard(&storage).await;
        let first = open(&storage, &shard).await;
        first.prove_ownership().await.unwrap();
        first.write(put("a", "1")).await.unwrap();
        first.flush_tables().await.unwrap();
        first.prove_ownership().await.unwrap();

        let second = open(&storage, &shard).await;
        assert!(second.epoch() > first.epoch());
        second.prove_ownership().await.unwrap();
        assert!(fenced(&first.prove_ownership().await.unwrap_err()));
    }
}

#[tokio::test]
async fn a_deposed_owner_learns_it_from_the_flush_and_from_everything_after() {
    let storage = Storage::open(&oblivious(BackendConfig::Memory))
        .await
        .unwrap();
    let shard = only_shard(&storage).await;
    let first = open(&storage, &shard).await;
    first.write(put("a", "1")).await.unwrap();
    first.flush().await.unwrap();
    let second = open(&storage, &shard).await;

    // It may know by now, from its compactor's first look around. If not, it still writes and
    // reads in memory: this is why answers need proof of ownership.
    match first.write(put("a", "stale")).await {
        Ok(seq) => {
            let mut durable = first.durable();
            assert!(fenced(&first.flush().await.unwrap_err()));
            assert!(fenced(&durable.beyond(seq - 1).await.unwrap_err()));
            assert!(durable.current() < seq);
        }
        Err(failed) => assert!(fenced(failed.cause()), "{failed:?}"),
    }
    assert!(fenced(&first.closed().await));
    assert!(fenced(&first.flush().await.unwrap_err()));
    assert!(fenced(&first.flush_tables().await.unwrap_err()));
    assert!(fenced(&first.get(b"a").await.unwrap_err()));
    assert!(fenced(&first.prove_ownership().await.unwrap_err()));
    let refused = first.write(put("a", "late")).await.unwrap_err();
    assert!(matches!(&refused, WriteError::Refused(cause) if fenced(cause)));
    first.close().await.unwrap();

    assert_eq!(value(&second, "a").await.as_deref(), Some("1"));
    second.write(put("a", "2")).await.unwrap();
    second.flush().await.unwrap();
}

#[tokio::test]
async fn an_idle_deposed_owner_notices() {
    let storage = memory().await;
    let shard = only_shard(&storage).await;
    let first = open(&storage, &shard).await;
    let second = open(&storage, &shard).await;
    let noticed = tokio::time::timeout(Duration::from_secs(30), first.closed());
    assert!(fenced(&noticed.await.unwrap()));
    second.prove_ownership().await.unwrap();
}

#[tokio::test]
async fn a_store_that_fails_ends_the_shard_which_opens_again_when_it_recovers() {
    let directory = tempdir().unwrap();
    let storage = Storage::open(&impatient(files(&directory))).await.unwrap();
    let shard = only_shard(&storage).await;
    let store = open(&storage, &shard).await;
    store.write(put("a", "1")).await.unwrap();
    store.flush().await.unwrap();

    let log = directory.path().join("data").join(&shard.path).join("wal");
    let aside = directory.path().join("aside");
    fs::rename(&log, &aside).unwrap();
    fs::write(&log, "not a directory").unwrap();
    let seq = store.write(put("b", "2")).await.unwrap();
    let mut durable = store.durable();
    let failed = store.flush().await.unwrap_err();
    assert!(unavailable(&failed), "{failed:?}");
    let failed = durable.beyond(seq - 1).await.unwrap_err();
    assert!(unavailable(&failed), "{failed:?}");
    let refused = store.write(put("c", "3")).await.unwrap_err();
    assert!(matches!(&refused, WriteError::Refused(cause) if unavailable(cause)));
    store.close().await.unwrap();

    fs::remove_file(&log).unwrap();
    fs::rename(&aside, &log).unwrap();
    let store = open(&storage, &shard).await;
    assert_eq!(value(&store, "a").await.as_deref(), Some("1"));
    assert_eq!(value(&store, "c").await, None);
}

async fn again(
    storage: &Storage,
    shard: &ShardEntry,
    ownership: &mut Ownership,
) -> Result<ShardStore, StorageError> {
    let clock = Arc::new(SystemWallClock::default());
    ShardStore::open_again(storage, shard, clock, ownership).await
}

#[tokio::test]
async fn whoever_lost_a_shard_cannot_open_it_again() {
    let directory = tempdir().unwrap();
    let on_files = Storage::open(&impatient(files(&directory))).await.unwrap();
    for storage in [memory().await, on_files] {
        let shard = only_shard(&storage).await;
        let mut ownership = Ownership::default();
        for _ in 0..3 {
            let store = again(&storage, &shard, &mut ownership).await.unwrap();
            store.close().await.unwrap();
        }
        let other = open(&storage, &shard).await;
        for _ in 0..2 {
            let refused = again(&storage, &shard, &mut ownership).await.unwrap_err();
            assert!(fenced(&refused), "{refused}");
        }
        other.prove_ownership().await.unwrap();
    }
}

#[tokio::test]
async fn data_that_is_gone_is_not_created_again_by_who_had_it() {
    let directory = tempdir().unwrap();
    let storage = Storage::open(&impatient(files(&directory))).await.unwrap();
    let shard = only_shard(&storage).await;
    let mut ownership = Ownership::default();
    let store = again(&storage, &shard, &mut ownership).await.unwrap();
    store.close().await.unwrap();
    fs::remove_dir_all(directory.path().join("data").join(&shard.path)).unwrap();
    let gone = again(&storage, &shard, &mut ownership).await.unwrap_err();
    assert!(matches!(gone, StorageError::Invalid { .. }), "{gone}");
}

#[tokio::test]
async fn data_that_was_deleted_underneath_is_no_ownership() {
    let storage = Storage::open(&oblivious(BackendConfig::Memory))
        .await
        .unwrap();
    let shard = only_shard(&storage).await;
    let store = open(&storage, &shard).await;
    storage.delete_database(&shard.path).await.unwrap();
    let gone = store.prove_ownership().await.unwrap_err();
    assert!(matches!(gone, StorageError::Invalid { .. }), "{gone}");
    storage.delete_database(&shard.path).await.unwrap();
}
