use std::sync::Arc;
use std::time::{Duration, Instant};

use object_store::memory::InMemory;
use silo_runtime::storage::backend::{Storage, StoreAbilities};
use silo_runtime::storage::clock::WallClock;
use silo_runtime::storage::config::{BackendConfig, StorageConfig};
use silo_runtime::storage::error::StorageError;
use silo_runtime::storage::shard::ShardStore;
use tempfile::tempdir;

use crate::clock::Ahead;
use crate::support::{files, impatient, objects_below, only_shard, put};

fn config(slatedb: &str) -> StorageConfig {
    let mut config = impatient(BackendConfig::Memory);
    config.slatedb = serde_json::from_str(slatedb).unwrap();
    config
}

async fn refusal(slatedb: &str) -> String {
    match Storage::open(&config(slatedb)).await.unwrap_err() {
        StorageError::Invalid { detail, .. } => detail,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn settings_of_slatedb_go_over_ours() {
    let storage = Storage::open(&config(
        r#"{"l0_max_ssts": 77, "manifest_poll_interval": "1s+500ms", "min_filter_keys": 5,
            "compactor_options": {"max_concurrent_compactions": 3,
                "worker": {"max_sst_size": 12345678},
                "scheduler_options": {"min_compaction_sources": "6"}},
            "object_store_cache_options": {"part_size_bytes": 1048576}}"#,
    ))
    .await
    .unwrap();
    let shown = format!("{storage:?}");
    for setting in [
        "l0_max_ssts: 77",
        "manifest_poll_interval: 1.5s",
        "min_filter_keys: 5",
        "max_concurrent_compactions: 3",
        "max_sst_size: 12345678",
        r#""min_compaction_sources": "6""#,
        "part_size_bytes: 1048576",
        // And what was not named stays ours.
        "max_fetch_tasks: 2",
        "object_store_max_retries: Some(1)",
        "flush_interval: None",
    ] {
        assert!(shown.contains(setting), "{setting} is not in {shown}");
    }
}

#[tokio::test]
async fn settings_that_slatedb_does_not_have_are_named() {
    for (json, name) in [
        (r#"{"l0_max_sts": 5}"#, "database.slatedb.l0_max_sts: "),
        (
            r#"{"compactor_options": {"worker": {"max_sst_sice": 5}}}"#,
            "database.slatedb.compactor_options.worker.max_sst_sice: ",
        ),
        (
            r#"{"compactor_options": {"scheduler_options": {"min": "5"}}}"#,
            "database.slatedb.compactor_options.scheduler_options.min: ",
        ),
        (
            r#"{"l0_max_ssts": {"deeper": 5}}"#,
            "database.slatedb.l0_max_ssts.deeper: ",
        ),
    ] {
        let said = refusal(json).await;
        assert!(said.contains(name), "{said}");
        assert!(said.contains("SlateDB has no such setting"), "{said}");
    }
}

#[tokio::test]
async fn values_that_do_not_fit_are_named() {
    for (json, name) in [
        (
            r#"{"manifest_poll_interval": 5}"#,
            "manifest_poll_interval: invalid type",
        ),
        (
            r#"{"manifest_poll_interval": "soon"}"#,
            "manifest_poll_interval: ",
        ),
        (
            r#"{"l0_max_ssts": 5, "l0_max_ssts_per_key": -1}"#,
            "l0_max_ssts_per_key: invalid value",
        ),
        (
            r#"{"compactor_options": "off"}"#,
            "compactor_options: invalid type",
        ),
    ] {
        let said = refusal(json).await;
        assert!(said.contains(&format!("database.slatedb.{name}")), "{said}");
    }
    // Those that fit by themselves and not together.
    let said = refusal(r#"{"max_unflushed_bytes": 20000000}"#).await;
    assert!(said.contains("at least three times l0_bytes"), "{said}");
    let said = refusal(r#"{"max_wal_flushes_before_l0_flush": 5}"#).await;
    assert!(said.contains("must be at least 4096"), "{said}");
}

#[tokio::test]
async fn settings_that_would_break_what_silo_promises_are_refused() {
    for (json, name) in [
        (r#"{"flush_interval": "10ms"}"#, "flush_interval"),
        (r#"{"wal_enabled": false}"#, "wal_enabled"),
        (r#"{"default_ttl_millis": 5}"#, "default_ttl_millis"),
        (r#"{"compression_codec": "zstd"}"#, "compression_codec"),
        (
            r#"{"compactor_options": {"worker": {"compression_codec": "zstd"}}}"#,
            "compactor_options.worker.compression_codec",
        ),
        (
            r#"{"garbage_collector_options": {"wal_fence_options": {"min_age": "1s"}}}"#,
            "garbage_collector_options.wal_fence_options.min_age",
        ),
        (
            r#"{"garbage_collector_options": {"boundary_files_enabled": false}}"#,
            "garbage_collector_options.boundary_files_enabled",
        ),
    ] {
        let said = refusal(json).await;
        assert!(
            said.starts_with(&format!("database.slatedb.{name}: ")),
            "{said}"
        );
        assert!(!said.contains("no such setting"), "{said}");
    }
    // Where nothing can be replaced on condition, old metadata is what stops a process that slept.
    let short = r#"{"garbage_collector_options": {"manifest_options": {"min_age": "1h"}}}"#;
    let unable = StoreAbilities {
        conditional_replace: false,
    };
    let opened = Storage::with_object_store(Arc::new(InMemory::new()), unable, &config(short));
    let said = opened.unwrap_err().to_string();
    assert!(said.contains("at least 6 hours"), "{said}");
    Storage::open(&config(short)).await.unwrap();
}

/// The objects of the shard's log, once there are no more than this.
async fn shrinks_to(storage: &Storage, folder: &str, most: usize) {
    let began = Instant::now();
    while objects_below(storage, folder).await > most {
        assert!(began.elapsed() < Duration::from_secs(30), "never collected");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn garbage_is_collected_without_being_asked() {
    let directory = tempdir().unwrap();
    let on_files = Storage::open(&impatient(files(&directory))).await.unwrap();
    let in_memory = Storage::open(&impatient(BackendConfig::Memory))
        .await
        .unwrap();
    for storage in [in_memory, on_files] {
        let shard = only_shard(&storage).await;
        let open_at = async |by_ms| {
            let clock: Arc<dyn WallClock> = Ahead::by(by_ms);
            ShardStore::open(&storage, &shard, clock).await.unwrap()
        };
        let store = open_at(0).await;
        for key in ["a", "b", "c", "d", "e", "f"] {
            store.write(put(key, "1")).await.unwrap();
            store.flush().await.unwrap();
        }
        store.close().await.unwrap();
        let log = format!("{}/wal", shard.path);
        assert!(objects_below(&storage, &log).await >= 7);
        // An hour later: nothing but the fences and the last object is needed.
        let store = open_at(3_600_000).await;
        shrinks_to(&storage, &log, 4).await;
        store.close().await.unwrap();
    }
}
