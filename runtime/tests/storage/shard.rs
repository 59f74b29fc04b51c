use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use silo_runtime::storage::backend::Storage;
use silo_runtime::storage::batch::KEY_BYTES_MAX;
use silo_runtime::storage::config::BackendConfig;
use silo_runtime::storage::error::{StorageError, WriteError};
use silo_runtime::storage::read::{RangeLimit, Rows};
use tempfile::tempdir;

use crate::support::{
    at_most, catalog, delete, files, impatient, keys, memory, objects_below, only_shard, open, put,
    value,
};

#[tokio::test]
async fn what_was_flushed_survives_a_crash_and_nothing_else_does() {
    let directory = tempdir().unwrap();
    let config = impatient(files(&directory));
    let storage = Storage::open(&config).await.unwrap();
    let shard = only_shard(&storage).await;
    let store = open(&storage, &shard).await;
    store.write(put("a", "kept")).await.unwrap();
    store.flush().await.unwrap();
    store.write(put("b", "lost")).await.unwrap();
    // A crash: nothing is closed, and the next process knows only the files.
    let restarted = Storage::open(&config).await.unwrap();
    let store = open(&restarted, &only_shard(&restarted).await).await;
    assert_eq!(value(&store, "a").await.as_deref(), Some("kept"));
    assert_eq!(value(&store, "b").await, None);
}

#[tokio::test]
async fn closing_makes_everything_durable() {
    let storage = memory().await;
    let shard = only_shard(&storage).await;
    let store = open(&storage, &shard).await;
    let seq = store.write(put("a", "1")).await.unwrap();
    let mut durable = store.durable();
    store.close().await.unwrap();
    assert!(durable.beyond(seq - 1).await.unwrap() >= seq);
    let closed = durable.closed().await;
    assert!(matches!(closed, StorageError::Closed { .. }), "{closed}");
    store.close().await.unwrap();

    let store = open(&storage, &shard).await;
    assert_eq!(value(&store, "a").await.as_deref(), Some("1"));
    assert!(store.write(put("a", "2")).await.unwrap() > seq);
}

#[tokio::test]
async fn reads_see_what_is_not_durable_yet() {
    let storage = memory().await;
    let store = open(&storage, &only_shard(&storage).await).await;
    store.write(put("ta", "old")).await.unwrap();
    store.flush_tables().await.unwrap();
    store.write(put("tb", "1")).await.unwrap();
    store.write(put("ta", "new")).await.unwrap();
    assert_eq!(value(&store, "ta").await.as_deref(), Some("new"));
    assert_eq!(keys(&store, "t", "u", 9).await, ("ta tb".into(), true));
    store.write(delete("ta")).await.unwrap();
    assert_eq!(value(&store, "ta").await, None);
    assert_eq!(keys(&store, "t", "u", 9).await, ("tb".into(), true));
}

#[tokio::test]
async fn the_durable_number_moves_with_a_flush_and_not_before() {
    let directory = tempdir().unwrap();
    let on_files = Storage::open(&impatient(files(&directory))).await.unwrap();
    for storage in [memory().await, on_files] {
        let store = open(&storage, &only_shard(&storage).await).await;
        let mut durable = store.durable();
        let first = store.write(put("a", "1")).await.unwrap();
        let second = store.write(put("b", "2")).await.unwrap();
        assert!(first < second);
        assert!(durable.current() < first);
        assert!(durable.beyond(first).now_or_never().is_none());
        store.flush().await.unwrap();
        assert_eq!(durable.beyond(first).await, Ok(second));
        assert_eq!(durable.current(), second);
    }
}

#[tokio::test]
async fn a_flush_with_nothing_to_do_writes_nothing() {
    let storage = memory().await;
    let shard = only_shard(&storage).await;
    let store = open(&storage, &shard).await;
    let log = format!("{}/wal", shard.path);
    let before = objects_below(&storage, &log).await;
    store.flush().await.unwrap();
    assert_eq!(objects_below(&storage, &log).await, before);
    store.write(put("a", "1")).await.unwrap();
    store.write(put("b", "2")).await.unwrap();
    store.flush().await.unwrap();
    store.flush().await.unwrap();
    assert_eq!(objects_below(&storage, &log).await, before + 1);
}

#[tokio::test]
async fn flushing_tables_writes_one_file_per_table_touched() {
    let storage = memory().await;
    let shard = only_shard(&storage).await;
    let store = open(&storage, &shard).await;
    for key in ["a1", "a2", "b1", "c1"] {
        store.write(put(key, "x")).await.unwrap();
    }
    store.flush_tables().await.unwrap();
    let tables = format!("{}/compacted", shard.path);
    assert_eq!(objects_below(&storage, &tables).await, 3);
    assert_eq!(
        keys(&store, "a", "d", 9).await,
        ("a1 a2 b1 c1".into(), true)
    );
}

#[tokio::test]
async fn ranges_end_at_their_bounds_and_limits() {
    let storage = memory().await;
    let store = open(&storage, &only_shard(&storage).await).await;
    for key in ["a1", "a2", "a3", "b1", "b2"] {
        store.write(put(key, "0123456789")).await.unwrap();
    }
    store.write(delete("a2")).await.unwrap();
    // Once from memory and once from files.
    for _ in 0..2 {
        assert_eq!(keys(&store, "a", "b", 9).await, ("a1 a3".into(), true));
        assert_eq!(keys(&store, "a1", "b1", 9).await, ("a1 a3".into(), true));
        assert_eq!(keys(&store, "a2", "b2", 9).await, ("a3 b1".into(), true));
        assert_eq!(keys(&store, "a", "c", 3).await, ("a1 a3 b1".into(), false));
        assert_eq!(keys(&store, "a", "b", 3).await, ("a1 a3".into(), true));
        assert_eq!(keys(&store, "c", "d", 3).await, (String::new(), true));
        assert_eq!(keys(&store, "b", "a", 3).await, (String::new(), true));
        assert_eq!(keys(&store, "b", "b", 3).await, (String::new(), true));
        let two_rows = RangeLimit {
            bytes_max: 13,
            ..at_most(9)
        };
        let Rows { rows, complete } = store.range(b"a", b"c", two_rows).await.unwrap();
        assert_eq!((rows.len(), complete), (2, false));
        store.flush_tables().await.unwrap();
    }
}

#[tokio::test]
async fn batches_that_would_break_the_database_are_refused_and_harm_nothing() {
    let storage = memory().await;
    let store = open(&storage, &only_shard(&storage).await).await;
    let row = |key: Vec<u8>| (Bytes::from(key), Some(Bytes::from_static(b"v")));
    for batch in [
        vec![],
        vec![row(vec![])],
        vec![row(b"fine".to_vec()), row(vec![1; KEY_BYTES_MAX + 1])],
    ] {
        let refused = store.write(batch).await.unwrap_err();
        let WriteError::Refused(StorageError::Invalid { .. }) = refused else {
            panic!("{refused:?}");
        };
    }
    assert_eq!(value(&store, "fine").await, None);
    store
        .write(vec![row(vec![1; KEY_BYTES_MAX])])
        .await
        .unwrap();
    store.flush().await.unwrap();

    store.close().await.unwrap();
    let refused = store.write(put("k", "v")).await.unwrap_err();
    assert!(matches!(
        refused,
        WriteError::Refused(StorageError::Closed { .. })
    ));
}

#[tokio::test]
async fn the_last_change_of_a_key_in_a_batch_counts() {
    let storage = memory().await;
    let store = open(&storage, &only_shard(&storage).await).await;
    let batch = [put("a", "1"), put("a", "2"), put("b", "1"), delete("b")].concat();
    store.write(batch).await.unwrap();
    assert_eq!(value(&store, "a").await.as_deref(), Some("2"));
    assert_eq!(value(&store, "b").await, None);
}

#[tokio::test]
async fn shards_that_share_a_cache_do_not_see_each_other() {
    let storage = memory().await;
    let catalog = catalog(&storage, 2).await;
    let one = open(&storage, &catalog.shards()[0]).await;
    let other = open(&storage, &catalog.shards()[1]).await;
    one.write(put("k", "one")).await.unwrap();
    other.write(put("k", "other")).await.unwrap();
    other.write(put("l", "other")).await.unwrap();
    one.flush_tables().await.unwrap();
    other.flush_tables().await.unwrap();
    for _ in 0..3 {
        assert_eq!(value(&one, "k").await.as_deref(), Some("one"));
        assert_eq!(value(&other, "k").await.as_deref(), Some("other"));
        assert_eq!(keys(&one, "a", "z", 9).await, ("k".into(), true));
        assert_eq!(keys(&other, "a", "z", 9).await, ("k l".into(), true));
    }
    // Nor does one that closes take the cache away.
    one.close().await.unwrap();
    assert_eq!(value(&other, "k").await.as_deref(), Some("other"));
}

#[tokio::test]
async fn writing_goes_on_without_anybody_flushing() {
    let mut config = impatient(BackendConfig::Memory);
    config.shard.l0_bytes = 64 << 10;
    config.shard.unflushed_bytes_max = 192 << 10;
    let storage = Storage::open(&config).await.unwrap();
    let store = open(&storage, &only_shard(&storage).await).await;
    let block = Bytes::from(vec![7; 10_000]);
    let writing = async {
        for row in 0..300_u32 {
            let key = [b"t", row.to_be_bytes().as_slice()].concat();
            let batch = vec![(Bytes::from(key), Some(block.clone()))];
            store.write(batch).await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), writing)
        .await
        .unwrap();
    store.flush().await.unwrap();
    let all = RangeLimit {
        bytes_max: usize::MAX,
        ..at_most(1000)
    };
    assert_eq!(store.range(b"t", b"u", all).await.unwrap().rows.len(), 300);
}
