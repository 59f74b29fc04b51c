//! Limits beside damaged rows: what a job held is given back, and nobody else is stopped.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use common::limits::*;
use common::{Shard, job, success};
use silo_core::shard::reply::Reply;
use silo_core::table::Table as _;
use silo_core::table::limit::Limits;
use silo_core::table::state::{Position, States, Status};

#[test]
fn a_job_that_was_set_aside_while_it_ran_gives_its_slots_back() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["1", "2"], &[("a", 1)]);
    let task = shard.lease_one();
    shard.is_damaged = true;
    let key = job("t", "1");
    shard.once_damaged.insert(key.clone());
    let state = States::key(&key);
    shard.damage(&state);
    shard.report(&task.id, success());
    assert_eq!(shard.status(&key), Status::Quarantined);
    shard.settle();
    assert!(is_ready(&shard, "2"));
    assert_eq!(row(&shard, "a").unwrap().held, 1);
    assert_eq!(shard.restart(&key), Reply::Restarted);
    assert!(is_parked(&shard, "1"), "and wants them again");
}

#[test]
fn two_damaged_jobs_one_that_runs_and_one_that_waits_for_it_stop_nobody() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["1", "2", "3"], &[("a", 1)]);
    let task = shard.lease_one();
    shard.is_damaged = true;
    for id in ["1", "2"] {
        let key = job("t", id);
        let state = States::key(&key);
        shard.once_damaged.insert(key);
        shard.damage(&state);
    }
    shard.report(&task.id, success());
    shard.settle();
    for id in ["1", "2"] {
        assert_eq!(shard.status(&job("t", id)), Status::Quarantined);
    }
    assert!(is_ready(&shard, "3"));
}

#[test]
fn one_whose_state_is_lost_while_it_waits_is_passed_by() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["1", "2", "3"], &[("a", 1)]);
    let task = shard.lease_one();
    shard.is_damaged = true;
    let key = job("t", "2");
    shard.once_damaged.insert(key.clone());
    let state = States::key(&key);
    shard.damage(&state);
    succeed(&mut shard, &task);
    assert_eq!(shard.status(&key), Status::Quarantined);
    assert!(is_ready(&shard, "3"));
}

#[test]
fn a_limit_whose_row_is_damaged_starts_nobody_and_stops_nothing_else() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["1", "2"], &[("a", 1), ("b", 1)]);
    let task = shard.lease_one();
    shard.is_damaged = true;
    shard.is_checked = false;
    shard.damage(&Limits::key(&name("a")));
    succeed(&mut shard, &task);
    assert!(
        is_parked(&shard, "2"),
        "nobody knows whether there is a slot"
    );
    enqueue(&mut shard, &["3"], &[("b", 1)]);
    enqueue(&mut shard, &["4"], &[("a", 1)]);
    assert!(is_ready(&shard, "3"));
    let state = shard.state(&job("t", "4")).position;
    assert!(matches!(state, Position::Due(_)), "it tries again later");
    shard.pass(5000);
    assert_eq!(shard.cancel(&job("t", "2")), Reply::Cancelled);
}
