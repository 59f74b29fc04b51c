//! What keeps a shard open: it comes back after trouble, and never at the cost of another owner or
//! of data that is gone.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use silo_core::shard::command::Command;
use silo_core::shard::reply::Reply;
use silo_core::types::time::{Millis, Now, Timestamp};
use silo_runtime::clock::Clock;
use silo_runtime::executor::replies::Failure;
use silo_runtime::executor::shard::{Shard, ShardContext, ShardState};
use silo_runtime::storage::backend::Storage;
use silo_runtime::storage::clock::{SystemWallClock, WallClock};
use silo_runtime::storage::config::BackendConfig;
use silo_runtime::storage::error::StorageError;
use silo_runtime::storage::shard::ShardStore;
use silo_test_faults::fault::{Fault, Requests};
use silo_test_faults::store::FaultyStore;

use crate::common::disk::{
    FAILS, context, entry, faulty, faulty_with, impatient, log_puts, memory, open, reaches, start,
    within,
};
use crate::common::say;

async fn enqueue(shard: &Shard, id: &str) -> Result<Reply, Failure> {
    within(shard.call(say::enqueue(say::plain(&say::job("t", id))))).await
}

/// The storage of the only shard, in the hands of another process.
async fn another_opens(storage: &Storage) -> ShardStore {
    let clock = Arc::new(SystemWallClock::default());
    let entry = entry(storage).await;
    ShardStore::open(storage, &entry, clock).await.unwrap()
}

/// Makes a shard lose its storage, which then works again.
async fn stumble(store: &FaultyStore, shard: &Shard, id: &str) {
    let outage = store.inject(FAILS, Requests::all());
    enqueue(shard, id).await.unwrap_err();
    reaches(shard, |state| *state == ShardState::Opening).await;
    outage.end();
}

async fn settles(shard: &Shard) -> ShardState {
    reaches(shard, |state| *state != ShardState::Opening).await
}

async fn objects_below(storage: &Storage, prefix: &str) -> usize {
    let prefix = Path::from(prefix);
    let objects = storage.object_store().list(Some(&prefix));
    objects.try_collect::<Vec<_>>().await.unwrap().len()
}

#[silo::test]
async fn a_shard_that_another_process_took_meanwhile_is_not_won_back() {
    let inner = memory().await;
    let (store, storage) = faulty(&inner, true);
    let shard = open(&storage).await;
    let outage = store.inject(FAILS, Requests::all());
    enqueue(&shard, "one").await.unwrap_err();
    reaches(&shard, |state| *state == ShardState::Opening).await;
    let other = another_opens(&inner).await;
    outage.end();

    let state = settles(&shard).await;
    assert!(matches!(state, ShardState::Fenced(_)), "{state:?}");
    other.prove_ownership().await.unwrap();
    other.close().await.unwrap();
    shard.close().await;
}

#[silo::test]
async fn openings_that_fail_after_their_claim_lose_the_shard_to_nobody() {
    let inner = memory().await;
    let (store, storage) = faulty(&inner, true);
    let shard = open(&storage).await;
    let manifests = format!("{}/manifest", entry(&inner).await.path);
    let outage = store.inject(FAILS, log_puts());
    enqueue(&shard, "one").await.unwrap_err();
    // Openings claim the shard and then cannot fence the log.
    let before = objects_below(&inner, &manifests).await;
    within(async {
        while objects_below(&inner, &manifests).await < before + 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    outage.end();
    assert_eq!(settles(&shard).await, ShardState::Open);
    enqueue(&shard, "two").await.unwrap();
    shard.close().await;
}

#[silo::test]
async fn data_that_is_gone_is_not_taken_for_an_empty_shard() {
    let inner = memory().await;
    let (store, storage) = faulty(&inner, true);
    let shard = open(&storage).await;
    enqueue(&shard, "one").await.unwrap();
    let outage = store.inject(FAILS, Requests::all());
    enqueue(&shard, "two").await.unwrap_err();
    reaches(&shard, |state| *state == ShardState::Opening).await;
    let path = entry(&inner).await.path;
    inner.delete_database(&path).await.unwrap();
    outage.end();

    assert_gone(&settles(&shard).await);
    shard.close().await;
}

#[silo::test]
async fn a_process_that_never_saw_the_data_does_not_take_its_absence_for_an_empty_shard() {
    let storage = memory().await;
    let shard = open(&storage).await;
    enqueue(&shard, "one").await.unwrap();
    shard.close().await;
    let path = Path::from(entry(&storage).await.path);
    let store = storage.object_store();
    let objects = store.list(Some(&path)).map_ok(|object| object.location);
    let deleted = store.delete_stream(objects.boxed());
    assert!(deleted.try_collect::<Vec<_>>().await.unwrap().len() > 1);

    let shard = start(&storage).await;
    assert_gone(&settles(&shard).await);
    assert_eq!(objects_below(&storage, path.as_ref()).await, 0);
    shard.close().await;
}

fn assert_gone(state: &ShardState) {
    let is_gone = matches!(state, ShardState::Broken(StorageError::Invalid { .. }));
    assert!(is_gone, "{state:?}");
}

#[silo::test]
async fn a_shard_whose_data_is_deleted_underneath_is_broken() {
    let storage = memory().await;
    let mut context = context(&storage);
    context.limits.proof_window = Millis::ZERO;
    let shard = Shard::start(entry(&storage).await, context);
    assert_eq!(settles(&shard).await, ShardState::Open);
    enqueue(&shard, "one").await.unwrap();
    let path = entry(&storage).await.path;
    storage.delete_database(&path).await.unwrap();
    // Reads need proof that there is something to read.
    let key = say::job("t", "one");
    within(async { while shard.call(Command::Result(key.clone())).await.is_ok() {} }).await;
    // It is not even tried again.
    assert_gone(&reaches(&shard, |state| *state != ShardState::Open).await);
    shard.close().await;
}

#[silo::test]
async fn a_shard_created_by_an_opening_that_failed_half_way_is_opened() {
    let inner = memory().await;
    let (store, storage) = faulty(&inner, true);
    let path = entry(&inner).await.path;
    let outage = store.inject(FAILS, log_puts());
    let shard = start(&storage).await;
    within(async {
        while objects_below(&inner, &format!("{path}/manifest")).await < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    outage.end();
    assert_eq!(settles(&shard).await, ShardState::Open);
    enqueue(&shard, "one").await.unwrap();
    shard.close().await;
}

/// A clock with a bug.
#[derive(Debug)]
struct Panicky {
    clock: Arc<dyn Clock>,
    panics: AtomicU32,
}

impl Clock for Panicky {
    fn now(&self) -> Now {
        let left = self
            .panics
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        assert!(left.is_err(), "it panics on purpose");
        self.clock.now()
    }
}

async fn panicky(storage: &Storage) -> (Arc<Panicky>, Shard) {
    let ordinary = context(storage);
    let clock = Arc::new(Panicky {
        clock: Arc::clone(&ordinary.clock),
        panics: AtomicU32::new(0),
    });
    let context = ShardContext {
        clock: Arc::<Panicky>::clone(&clock),
        ..ordinary
    };
    let shard = Shard::start(entry(storage).await, context);
    assert_eq!(settles(&shard).await, ShardState::Open);
    (clock, shard)
}

#[silo::test]
async fn a_shard_that_panics_is_opened_again() {
    let (clock, shard) = panicky(&memory().await).await;
    enqueue(&shard, "one").await.unwrap();
    clock.panics.store(1, Ordering::SeqCst);
    enqueue(&shard, "two").await.unwrap_err();
    reaches(&shard, |state| *state == ShardState::Opening).await;
    assert_eq!(settles(&shard).await, ShardState::Open);
    let key = say::job("t", "one");
    let shown = within(shard.call(say::get(&key, false))).await.unwrap();
    assert!(!matches!(shown, Reply::Refused(_)), "{shown:?}");
    shard.close().await;
}

#[silo::test]
async fn a_shard_that_panics_again_and_again_is_broken() {
    let (clock, shard) = panicky(&memory().await).await;
    clock.panics.store(u32::MAX, Ordering::SeqCst);
    enqueue(&shard, "one").await.unwrap_err();
    let state = reaches(&shard, |state| matches!(state, ShardState::Broken(_))).await;
    let ShardState::Broken(StorageError::Invalid { detail, .. }) = state else {
        panic!("{state:?}");
    };
    assert!(detail.contains("it panics on purpose"), "{detail}");
    assert_eq!(enqueue(&shard, "one").await, Err(Failure::Closing));
    shard.close().await;
}

#[silo::test]
async fn a_shard_that_opens_and_fails_at_once_is_opened_less_and_less_often() {
    let (store, storage) = faulty(&memory().await, true);
    let shard = open(&storage).await;
    let mut waited = Duration::ZERO;
    for round in 0..3 {
        stumble(&store, &shard, &format!("job-{round}")).await;
        let began = Instant::now();
        assert_eq!(settles(&shard).await, ShardState::Open);
        waited = began.elapsed();
    }
    assert!(waited >= Duration::from_millis(300), "{waited:?}");
    shard.close().await;
}

/// A clock that jumps when storage begins to use it.
#[derive(Debug)]
struct Jumping {
    clock: Arc<dyn Clock>,
    offset_ms: AtomicI64,
}

impl Clock for Jumping {
    fn now(&self) -> Now {
        let offset_ms = self.offset_ms.load(Ordering::SeqCst);
        let now = self.clock.now();
        Now {
            wall: Timestamp::from_millis(now.wall.as_millis() + offset_ms),
            uptime: now.uptime.after(Millis::new(offset_ms.unsigned_abs())),
        }
    }
}

impl WallClock for Jumping {
    fn now_ms(&self) -> i64 {
        self.offset_ms.store(3_600_000, Ordering::SeqCst);
        SystemWallClock::default().now_ms()
    }
}

#[silo::test]
async fn an_opening_that_took_long_proves_nothing() {
    let inner = memory().await;
    open(&inner).await.close().await;

    let mut config = impatient(BackendConfig::Memory);
    // It looks at storage for nothing but the proof.
    config.shard.manifest_poll_ms = 3_600_000;
    config.shard.compaction_poll_ms = 3_600_000;
    config.time_limits.request_ms = 300;
    config.time_limits.close_ms = 300;
    let (store, storage) = faulty_with(&inner, true, &config);
    let ordinary = context(&storage);
    let clock = Arc::new(Jumping {
        clock: Arc::clone(&ordinary.clock),
        offset_ms: AtomicI64::new(0),
    });
    let context = ShardContext {
        clock: Arc::<Jumping>::clone(&clock),
        wall: Arc::<Jumping>::clone(&clock),
        ..ordinary
    };
    let shard = Shard::start(entry(&inner).await, context);
    assert_eq!(settles(&shard).await, ShardState::Open);
    let outage = store.inject(Fault::Hangs, Requests::all());
    let told = within(shard.call(Command::Result(say::job("t", "one")))).await;
    assert!(told.is_err(), "{told:?} was answered without proof");
    outage.end();
    shard.close().await;
}
