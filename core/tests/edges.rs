//! What random sequences seldom meet: clocks that go back, rows that are missing, large imports.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use bytes::Bytes;
use common::{LEASE, Shard, get, ids, plain, retrying};
use silo_core::shard::command::Command;
use silo_core::shard::commands::report::Outcome;
use silo_core::shard::refusal::Refusal;
use silo_core::shard::reply::Reply;
use silo_core::shard::soft::Soft;
use silo_core::table::Table;
use silo_core::table::attempt::{AttemptKey, Attempts};
use silo_core::table::job::Jobs;
use silo_core::table::state::Status;
use silo_core::types::time::Millis;

#[test]
fn a_job_that_was_ready_before_the_clock_was_set_back_is_ready_after_its_release() {
    for is_lost in [true, false] {
        let mut shard = Shard::new();
        let key = shard.enqueue(plain("j"));
        shard.now -= 86_400_000;
        shard.soft = Soft::lost();
        shard.settle();
        let task = shard.lease_one();
        if is_lost {
            shard.pass(i64::try_from(LEASE).unwrap());
            assert_eq!(shard.state(&key).losses, 1);
        } else {
            shard.report(&task.id, Outcome::Release);
        }
        assert_eq!(ids(&shard.lease(1)), ["j"]);
    }
}

#[test]
fn the_id_of_a_job_whose_description_is_missing_is_taken() {
    let mut shard = Shard::new();
    let key = shard.enqueue(plain("j"));
    shard.rows.map.remove(&Jobs::key(&key));
    shard.is_checked = false;
    let reply = shard.run(&Command::Enqueue(Box::new(plain("j"))));
    assert_eq!(reply, Reply::Refused(Refusal::Quarantined(key.clone())));
    assert_eq!(shard.status(&key), Status::Quarantined);
    shard.is_checked = true;
    assert_eq!(shard.delete(&key), Reply::Deleted);
    assert!(shard.rows.map.is_empty(), "{:?}", shard.rows.map);
    shard.enqueue(plain("j"));
    assert_eq!(ids(&shard.lease(9)), ["j"]);
}

#[test]
fn nothing_is_left_of_a_job_set_aside_twice_that_is_deleted() {
    let mut shard = Shard::new();
    let key = shard.enqueue(retrying("j", 5));
    let large = Outcome::Failure {
        code: "E".to_owned(),
        data: Bytes::from(vec![1; 5000]),
        retryable: true,
        retry_after: Some(Millis::ZERO),
    };
    for _ in 0..3 {
        let task = shard.lease_one();
        shard.report(&task.id, large.clone());
        shard.settle();
    }
    // Once for an earlier attempt: it and those before it are given up.
    shard.damage(&Attempts::key(&AttemptKey::of(&key, 2)));
    shard.run(&get(&key));
    assert_eq!(shard.restart(&key), Reply::Restarted);
    // And once more for its description.
    shard.damage(&Jobs::key(&key));
    shard.run(&get(&key));
    assert_eq!(shard.status(&key), Status::Quarantined);
    assert_eq!(shard.delete(&key), Reply::Deleted);
    assert!(!shard.has_rows(&key), "{:?}", shard.image().payloads.keys());
}
