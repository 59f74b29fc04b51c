use std::time::{Duration, Instant};

use silo_runtime::storage::backend::Storage;
use silo_runtime::storage::compaction::{CompactionReport, StorageInfo};
use silo_runtime::storage::config::BackendConfig;
use silo_runtime::storage::shard::ShardStore;
use tempfile::tempdir;

use crate::support::{at_most, delete, files, impatient, keys, only_shard, open, put, value};

const TABLES: [&str; 3] = ["a", "b", "c"];

/// Compaction looks for work often, but finds none by itself among so few files.
async fn storages() -> [(Storage, Option<tempfile::TempDir>); 2] {
    let directory = tempdir().unwrap();
    let eager = |backend| {
        let mut config = impatient(backend);
        config.shard.compaction_poll_ms = 20;
        config
    };
    let on_files = Storage::open(&eager(files(&directory))).await.unwrap();
    let in_memory = Storage::open(&eager(BackendConfig::Memory)).await.unwrap();
    [(in_memory, None), (on_files, Some(directory))]
}

async fn write_file(store: &ShardStore, rows: &[&'static str]) {
    for key in rows {
        store.write(put(key, "0123456789")).await.unwrap();
    }
    store.flush_tables().await.unwrap();
}

async fn idle(store: &ShardStore) -> StorageInfo {
    let began = Instant::now();
    while store.compactions_active().await.unwrap() > 0 {
        assert!(began.elapsed() < Duration::from_secs(30), "it never ends");
        tokio::task::yield_now().await;
    }
    store.storage_info().await.unwrap()
}

/// Files, bytes in them, and files of each run.
fn counts(info: &StorageInfo) -> (u64, u64, Vec<u64>) {
    let runs = info.sorted_runs.iter().map(|run| run.files).collect();
    let bytes = info.l0_bytes + info.sorted_run_bytes();
    (info.l0_files, bytes, runs)
}

#[tokio::test]
async fn a_shard_tells_of_its_files_over_all_tables() {
    for (storage, _directory) in storages().await {
        let store = open(&storage, &only_shard(&storage).await).await;
        assert_eq!(store.storage_info().await.unwrap(), StorageInfo::default());
        write_file(&store, &["a1", "b1"]).await;
        write_file(&store, &["a2"]).await;
        let (files, bytes, runs) = counts(&store.storage_info().await.unwrap());
        assert_eq!((files, runs), (3, vec![]));
        assert!((30..100_000).contains(&bytes), "{bytes}");
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn compacting_leaves_one_run_per_table_and_every_row() {
    for (storage, _directory) in storages().await {
        let store = open(&storage, &only_shard(&storage).await).await;
        write_file(&store, &["a1", "b1", "c1"]).await;
        write_file(&store, &["a2", "b2"]).await;
        store.write(delete("a1")).await.unwrap();
        store.flush_tables().await.unwrap();

        let report = store.compact().await.unwrap();
        let all = CompactionReport {
            started: TABLES.len(),
            ..CompactionReport::default()
        };
        assert_eq!(report, all);
        assert!(report.to_string().contains("started for 3 tables"));
        let first = idle(&store).await;
        let (files, bytes, runs) = counts(&first);
        assert_eq!((files, runs), (0, vec![1, 1, 1]));
        assert!(bytes > 0);
        let ids: std::collections::BTreeSet<_> =
            first.sorted_runs.iter().map(|run| run.id).collect();
        assert_eq!(ids.len(), TABLES.len(), "{first:?}");

        // Again, onto the runs that are there; one table has nothing new.
        write_file(&store, &["a3", "b3"]).await;
        let report = store.compact().await.unwrap();
        assert_eq!((report.started, report.compact), (2, 1));
        let (files, _, runs) = counts(&idle(&store).await);
        assert_eq!((files, runs), (0, vec![1, 1, 1]));
        let report = store.compact().await.unwrap();
        assert_eq!((report.started, report.compact), (0, 3));

        let rows = ("a2 a3 b1 b2 b3 c1".to_owned(), true);
        assert_eq!(keys(&store, "a", "d", 9).await, rows);
        store.close().await.unwrap();
        let store = open(&storage, &only_shard(&storage).await).await;
        assert_eq!(keys(&store, "a", "d", 9).await, rows);
        assert_eq!(value(&store, "a1").await, None);
        assert_eq!(
            store
                .range(b"a", b"d", at_most(9))
                .await
                .unwrap()
                .rows
                .len(),
            6
        );
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn tables_that_are_being_compacted_are_left_alone() {
    // The compactor never looks: what is asked for stays asked for.
    let mut config = impatient(BackendConfig::Memory);
    config.shard.compaction_poll_ms = 3_600_000;
    let storage = Storage::open(&config).await.unwrap();
    let store = open(&storage, &only_shard(&storage).await).await;
    write_file(&store, &["a1", "b1"]).await;
    assert_eq!(store.compact().await.unwrap().started, 2);
    write_file(&store, &["a2", "c1"]).await;
    let report = store.compact().await.unwrap();
    let expected = CompactionReport {
        started: 1,
        busy: 2,
        compact: 0,
    };
    assert_eq!(report, expected);
    assert_eq!(store.compactions_active().await.unwrap(), 3);
    store.close().await.unwrap();
}

#[tokio::test]
async fn compaction_is_on_without_being_asked() {
    for (storage, _directory) in storages().await {
        let store = open(&storage, &only_shard(&storage).await).await;
        // As many as it takes SlateDB to find it worth while.
        for key in ["a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8"] {
            write_file(&store, &[key]).await;
        }
        let began = Instant::now();
        while store.storage_info().await.unwrap().sorted_runs.is_empty() {
            assert!(began.elapsed() < Duration::from_secs(30), "never compacted");
            tokio::task::yield_now().await;
        }
        store.close().await.unwrap();
    }
}
