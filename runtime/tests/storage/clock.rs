use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use silo_runtime::storage::backend::Storage;
use silo_runtime::storage::catalog::ShardEntry;
use silo_runtime::storage::clock::{SystemWallClock, WallClock};
use silo_runtime::storage::shard::ShardStore;

use crate::support::{memory, only_shard, put, value};

/// The clock of a machine that is ahead of (or, negative, behind) the others.
#[derive(Debug)]
pub(crate) struct Ahead {
    by_ms: AtomicI64,
    wall: SystemWallClock,
}

impl Ahead {
    pub(crate) fn by(by_ms: i64) -> Arc<Self> {
        Arc::new(Self {
            by_ms: AtomicI64::new(by_ms),
            wall: SystemWallClock::default(),
        })
    }
}

impl WallClock for Ahead {
    fn now_ms(&self) -> i64 {
        self.wall.now_ms() + self.by_ms.load(Ordering::SeqCst)
    }
}

async fn open_ahead(storage: &Storage, shard: &ShardEntry, by_ms: i64) -> ShardStore {
    let clock = Ahead::by(by_ms);
    ShardStore::open(storage, shard, clock).await.unwrap()
}

/// Deletes what the log holds, but not the empty objects by which owners fence each other.
async fn delete_log(storage: &Storage, shard: &ShardEntry) {
    let log = Path::from(format!("{}/wal", shard.path));
    let objects = storage.object_store().list(Some(&log));
    let objects: Vec<_> = objects.try_collect().await.unwrap();
    for object in objects.iter().filter(|object| object.size > 0) {
        let deleted = storage.object_store().delete(&object.location).await;
        deleted.unwrap();
    }
}

/// SlateDB would let the first write wait for 10 s and then end the shard.
async fn writes_at_once(store: &ShardStore, value: &'static str) {
    let writing = async {
        store.write(put("a", value)).await.unwrap();
        store.flush_tables().await.unwrap();
    };
    tokio::time::timeout(Duration::from_secs(5), writing)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_successor_whose_clock_is_behind_the_log_writes_at_once() {
    let storage = memory().await;
    let shard = only_shard(&storage).await;
    let first = open_ahead(&storage, &shard, 30_000).await;
    assert_eq!(first.clock_skew_ms(), 0);
    first.write(put("a", "1")).await.unwrap();
    first.flush().await.unwrap();

    let second = open_ahead(&storage, &shard, 0).await;
    assert!((25_000..=30_000).contains(&second.clock_skew_ms()));
    writes_at_once(&second, "2").await;
    assert_eq!(value(&second, "a").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn a_successor_whose_clock_is_behind_the_tables_writes_at_once() {
    let storage = memory().await;
    let shard = only_shard(&storage).await;
    let first = open_ahead(&storage, &shard, 30_000).await;
    first.write(put("a", "1")).await.unwrap();
    first.close().await.unwrap();
    // As garbage collection does later: then only the tables tell the time.
    delete_log(&storage, &shard).await;

    let second = open_ahead(&storage, &shard, 0).await;
    assert!((25_000..=30_000).contains(&second.clock_skew_ms()));
    writes_at_once(&second, "2").await;
}

#[tokio::test]
async fn files_made_long_after_their_rows_count_as_well() {
    let storage = memory().await;
    let shard = only_shard(&storage).await;
    let clock = Ahead::by(0);
    let wall: Arc<dyn WallClock> = Arc::<Ahead>::clone(&clock);
    let first = ShardStore::open(&storage, &shard, wall).await.unwrap();
    first.write(put("a", "1")).await.unwrap();
    clock.by_ms.store(30_000, Ordering::SeqCst);
    first.close().await.unwrap();

    let second = open_ahead(&storage, &shard, 0).await;
    assert!((25_000..=30_000).contains(&second.clock_skew_ms()));
    writes_at_once(&second, "2").await;
}

#[tokio::test]
async fn a_successor_whose_clock_is_ahead_has_no_skew() {
    let storage = memory().await;
    let shard = only_shard(&storage).await;
    let first = open_ahead(&storage, &shard, 0).await;
    first.write(put("a", "1")).await.unwrap();
    first.close().await.unwrap();
    let second = open_ahead(&storage, &shard, 30_000).await;
    assert_eq!(second.clock_skew_ms(), 0);
    writes_at_once(&second, "2").await;
}
