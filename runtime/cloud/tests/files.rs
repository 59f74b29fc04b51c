//! What must hold on every store, on local files.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets the unexpected should stop there"
)]

mod suite;

use std::time::Duration;

use silo_runtime::storage::config::BackendConfig;
use tempfile::{TempDir, tempdir};
use tokio::time::timeout;

/// A new folder each time it is asked for, below one that goes with the test.
fn fresh(home: &TempDir) -> impl Fn() -> BackendConfig {
    move || BackendConfig::Fs {
        path: tempfile::Builder::new()
            .disable_cleanup(true)
            .tempdir_in(home)
            .unwrap()
            .path()
            .to_owned(),
        fsync: false,
    }
}

#[tokio::test]
async fn what_was_flushed_survives_a_crash() {
    let home = tempdir().unwrap();
    suite::what_was_flushed_survives_a_crash(fresh(&home)).await;
}

#[tokio::test]
async fn a_second_process_fences_the_first_which_can_add_nothing() {
    let home = tempdir().unwrap();
    suite::a_second_process_fences_the_first_which_can_add_nothing(fresh(&home)).await;
}

#[tokio::test]
async fn all_who_create_the_catalog_at_once_get_the_same() {
    let home = tempdir().unwrap();
    suite::all_who_create_the_catalog_at_once_get_the_same(fresh(&home)).await;
}

#[tokio::test]
async fn logs_in_a_store_of_their_own_are_read_and_deleted_with_the_rest() {
    let home = tempdir().unwrap();
    suite::logs_in_a_store_of_their_own_are_read_and_deleted_with_the_rest(fresh(&home)).await;
}

#[tokio::test]
async fn garbage_is_collected_behind_a_boundary() {
    let home = tempdir().unwrap();
    suite::garbage_is_collected_behind_a_boundary(fresh(&home)).await;
}

#[tokio::test]
async fn a_lock_that_is_not_given_back_delays_garbage_and_nothing_else() {
    let home = tempdir().unwrap();
    let backend = fresh(&home)();
    let BackendConfig::Fs { path, .. } = &backend else {
        panic!("{backend:?}");
    };
    std::fs::create_dir_all(path).unwrap();
    let lock = std::fs::File::create(path.join("replace.lock")).unwrap();
    lock.lock().unwrap();
    let mut config = suite::config(backend.clone());
    config.slatedb = suite::impatient_collector();
    let storage = suite::opened(&config).await;
    let store = suite::first_shard(&storage).await;
    // Longer than a replacement waits for the lock.
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_secs(7) {
        suite::put(&store, "a", "1").await.unwrap();
        store.flush_tables().await.unwrap();
    }
    let versions = suite::manifests(&storage).await;
    assert!(versions > 20, "{versions} versions are left");
    drop(lock);
    let collected = async { while suite::manifests(&storage).await > 3 {} };
    timeout(Duration::from_secs(60), collected).await.unwrap();
    assert_eq!(suite::value(&store, "a").await.unwrap(), "1");
    store.close().await.unwrap();
}
