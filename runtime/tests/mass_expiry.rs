//! Very many leases that end at once delay nobody else. (`benches/shard.rs`, `expire`, has the
//! figures for 100,000.)

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]

mod common;

use std::time::{Duration, Instant};

use futures::future::join_all;
use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::Enqueue;
use silo_core::shard::commands::tick::TICK_LEASES_MAX;
use silo_core::shard::reply::Reply;
use silo_core::types::time::Millis;
use silo_runtime::executor::shard::Shard;

use crate::common::disk::{memory, open, within};
use crate::common::say;

const LEASES: usize = 5_000;
/// Long enough to take all leases before the first one ends.
const LEASE: Millis = Millis::new(4_000);

async fn call(shard: &Shard, command: Command) -> Reply {
    within(shard.call(command)).await.unwrap()
}

async fn running(shard: &Shard) -> u64 {
    shard.totals().await.unwrap().running
}

#[silo::test]
async fn very_many_leases_that_end_at_once_delay_no_other_tenant() {
    let storage = memory().await;
    let shard = open(&storage).await;
    let job = |number| Enqueue {
        lease: Some(LEASE),
        ..say::plain(&say::job("crowd", &format!("job-{number}")))
    };
    for first in (0..LEASES).step_by(1000) {
        let jobs = first..first + 1000;
        join_all(jobs.map(|number| call(&shard, say::enqueue(job(number))))).await;
    }
    let mut leased = 0;
    while leased < LEASES {
        let Reply::Leased(tasks) = call(&shard, say::lease("g", 1000)).await else {
            panic!("a lease");
        };
        leased += tasks.len();
    }
    // Each lease lasts its time anew from the opening, and all end together.
    shard.close().await;
    let shard = open(&storage).await;
    within(async { while running(&shard).await < LEASES as u64 {} }).await;
    within(async { while running(&shard).await == LEASES as u64 {} }).await;

    // Somebody else goes on meanwhile: between any few ticks an enqueue has become durable.
    let (mut answered, mut slowest) = (0, Duration::ZERO);
    while running(&shard).await > 0 {
        let began = Instant::now();
        let key = say::job("other", &format!("job-{answered}"));
        call(&shard, say::enqueue(say::plain(&key))).await;
        answered += 1;
        slowest = slowest.max(began.elapsed());
    }
    let ticks = LEASES / TICK_LEASES_MAX;
    assert!(
        answered >= ticks / 4,
        "{answered} enqueues in {ticks} ticks"
    );
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    tracing::info!(answered, ticks, ?slowest, "expired");
    let Reply::Leased(tasks) = call(&shard, say::lease("g", 1000)).await else {
        panic!("a lease");
    };
    let others = tasks
        .iter()
        .filter(|task| task.id.tenant == say::tenant("other"));
    assert_eq!(others.count(), answered.min(500), "in turn");
    shard.close().await;
}
