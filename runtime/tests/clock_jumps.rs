//! A wall clock that is set back or forward by a day, while a shard runs and while it does not:
//! leases neither all end nor last for ever, what falls due runs, and storage goes on.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::Enqueue;
use silo_core::shard::reply::{Reply, Task};
use silo_core::types::time::Millis;
use silo_runtime::clock::{Clock, SlewedClock};
use silo_runtime::executor::shard::{Shard, ShardContext, ShardState};
use silo_runtime::storage::backend::Storage;
use silo_runtime::storage::clock::{SystemWallClock, WallClock};
use tokio::time::{sleep, timeout};

use crate::common::disk::{context, entry, memory, reaches};
use crate::common::say;

const DAY: i64 = 86_400_000;
/// A lease that a worker keeps: long enough for a slow machine, although it may be shortened by a
/// third.
const KEPT: Millis = Millis::new(6_000);
const SHORT: Millis = Millis::new(300);
/// Everything short has happened by then, a lost lease's back-off of a second included; a lease
/// that is kept has not ended.
const SOON: Duration = Duration::from_millis(3_500);

/// The wall clock of a machine, which somebody sets.
#[derive(Debug, Default)]
struct Wall {
    system: SystemWallClock,
    offset_ms: AtomicI64,
}

#[derive(Clone, Debug, Default)]
struct Shared(Arc<Wall>);

impl Shared {
    fn set_by(&self, millis: i64) {
        self.0.offset_ms.fetch_add(millis, Ordering::SeqCst);
    }
}

impl WallClock for Shared {
    fn now_ms(&self) -> i64 {
        self.0.system.now_ms() + self.0.offset_ms.load(Ordering::SeqCst)
    }
}

/// A process on this machine: it reads the wall clock when it begins.
async fn start(storage: &Storage, wall: &Shared) -> (Arc<dyn Clock>, Shard) {
    let clock: Arc<dyn Clock> = Arc::new(SlewedClock::new(wall.clone()));
    let context = ShardContext {
        clock: Arc::clone(&clock),
        wall: Arc::new(wall.clone()),
        ..context(storage)
    };
    let shard = Shard::start(entry(storage).await, context);
    let state = reaches(&shard, |state| *state != ShardState::Opening).await;
    assert_eq!(state, ShardState::Open);
    (clock, shard)
}

async fn call(shard: &Shard, command: Command) -> Reply {
    let answer = timeout(Duration::from_secs(20), shard.call(command)).await;
    answer.expect("an answer").expect("a reply")
}

async fn enqueue(shard: &Shard, id: &str, change: impl FnOnce(&mut Enqueue)) {
    let mut job = say::plain(&say::job("t", id));
    change(&mut job);
    let reply = call(shard, say::enqueue(job)).await;
    assert!(matches!(reply, Reply::Enqueued(_)), "{reply:?}");
}

async fn lease_job(shard: &Shard, id: &str) -> Task {
    let Reply::Leased(mut tasks) = call(shard, say::lease_job(&say::job("t", id))).await else {
        panic!("a lease");
    };
    tasks.remove(0)
}

/// Leases and ends these jobs, and no other.
async fn come(shard: &Shard, ids: &[&str]) {
    let mut missing = ids.to_vec();
    let coming = async {
        while !missing.is_empty() {
            let Reply::Leased(tasks) = call(shard, say::lease("g", 10)).await else {
                panic!("a lease");
            };
            for task in tasks {
                let at = missing
                    .iter()
                    .position(|id| say::job("t", id).job == task.id.job);
                missing.remove(at.unwrap_or_else(|| panic!("not {}", task.id.job)));
                call(shard, say::report(&task.id, say::success(b"ok"))).await;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    let came = timeout(SOON, coming).await;
    came.unwrap_or_else(|_| panic!("{missing:?} did not come"));
}

async fn is_kept(shard: &Shard, task: &Task) {
    let reply = call(shard, say::heartbeat(&task.id, "w")).await;
    assert!(matches!(reply, Reply::Extended { .. }), "{reply:?}");
}

/// Jobs that something must happen to soon, by the clock of the shard as it stands.
async fn soon(clock: &dyn Clock, shard: &Shard, round: usize) -> [String; 3] {
    let names = ["ready", "due", "lost"].map(|name| format!("{name}-{round}"));
    let [ready, due, lost] = &names;
    enqueue(shard, lost, |job| job.lease = Some(SHORT)).await;
    lease_job(shard, lost).await;
    enqueue(shard, ready, |_| ()).await;
    let start_at = clock.now().wall.after(SHORT);
    enqueue(shard, due, |job| job.start_at = Some(start_at)).await;
    names
}

#[silo::test]
async fn while_a_shard_runs_a_day_more_or_less_changes_nothing() {
    let (storage, wall) = (memory().await, Shared::default());
    let (clock, shard) = start(&storage, &wall).await;
    enqueue(&shard, "kept", |job| job.lease = Some(KEPT)).await;
    let kept = lease_job(&shard, "kept").await;
    for (round, jump) in [DAY, -DAY, -DAY, DAY].into_iter().enumerate() {
        let names = soon(&*clock, &shard, round).await;
        is_kept(&shard, &kept).await;
        wall.set_by(jump);
        is_kept(&shard, &kept).await;
        come(&shard, &names.each_ref().map(String::as_str)).await;
        is_kept(&shard, &kept).await;
        shard.flush_tables().await.unwrap();
    }
    shard.close().await;
}

#[silo::test]
async fn a_shard_that_is_opened_again_a_day_earlier_or_later_goes_on() {
    for jump in [-DAY, DAY] {
        let (storage, wall) = (memory().await, Shared::default());
        let (clock, shard) = start(&storage, &wall).await;
        enqueue(&shard, "kept", |job| job.lease = Some(KEPT)).await;
        let kept = lease_job(&shard, "kept").await;
        enqueue(&shard, "lost", |job| job.lease = Some(SHORT)).await;
        lease_job(&shard, "lost").await;
        enqueue(&shard, "ready", |_| ()).await;
        enqueue(&shard, "due", |job| {
            job.start_at = Some(clock.now().wall.after(SHORT))
        })
        .await;
        shard.flush_tables().await.unwrap();
        enqueue(&shard, "logged", |_| ()).await;
        shard.close().await;

        wall.set_by(jump);
        let (clock, shard) = start(&storage, &wall).await;
        is_kept(&shard, &kept).await;
        let mut expected = vec!["ready", "logged", "lost"];
        // What was to start at a time of day that has not come again waits for it, and so does what
        // goes back to its old place.
        if jump > 0 {
            expected.extend(["due"]);
        }
        come(&shard, &expected).await;
        let names = soon(&*clock, &shard, 0).await;
        come(&shard, &names.each_ref().map(String::as_str)).await;
        is_kept(&shard, &kept).await;
        shard.flush_tables().await.unwrap();
        shard.close().await;
    }
}
