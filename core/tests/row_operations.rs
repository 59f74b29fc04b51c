//! What a job costs in rows.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use common::{Shard, plain, success};
use silo_core::table::TableId;

/// Writes and deletes of the last command, the tenant's row apart.
fn operations(shard: &Shard) -> usize {
    let is_counted = |key: &[u8]| TableId::of(key) != Some(TableId::Tenant);
    shard
        .changes
        .iter()
        .filter(|change| is_counted(&change.key))
        .count()
}

#[test]
fn a_plain_job_in_three_rounds_costs_at_most_eight_row_operations() {
    let mut shard = Shard::new();
    shard.enqueue(plain("j"));
    let enqueued = operations(&shard);
    let task = shard.lease_one();
    let leased = operations(&shard);
    shard.report(&task.id, success());
    let reported = operations(&shard);
    assert_eq!((enqueued, leased, reported), (3, 3, 2));
}

#[test]
fn a_command_writes_a_tenants_row_at_most_once() {
    let mut shard = Shard::new();
    for number in 0..20 {
        shard.enqueue(plain(&format!("j{number}")));
    }
    assert_eq!(shard.lease(20).len(), 20);
    assert_eq!(shard.changes.len() - operations(&shard), 1);
    assert_eq!(operations(&shard), 3 * 20);
}

#[test]
fn heartbeats_write_nothing() {
    let mut shard = Shard::new();
    shard.enqueue(plain("j"));
    let task = shard.lease_one();
    shard.heartbeat(&task.id);
    assert_eq!(shard.changes, []);
}

#[test]
fn a_tick_with_nothing_to_do_and_recovery_write_nothing() {
    let mut shard = Shard::new();
    shard.enqueue(plain("j"));
    shard.lease_one();
    shard.soft = silo_core::shard::soft::Soft::lost();
    while !shard.soft.is_recovered() {
        shard.run(&silo_core::shard::command::Command::Tick);
        assert_eq!(shard.changes, []);
    }
    shard.run(&silo_core::shard::command::Command::Tick);
    assert_eq!(shard.changes, []);
}
