//! What commands count: jobs by how they moved, attempts by how they ended. That it agrees with
//! what is there, every test of this folder checks after every command.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use common::{LEASE, Shard, failure, plain, retrying, success};
use silo_core::shard::commands::report::Outcome;
use silo_core::shard::counts::{AttemptCounts, Counts};

/// What a shard counted since it had counted this.
fn since(shard: &mut Shard) -> Counts {
    std::mem::take(&mut shard.counts)
}

#[test]
fn a_job_that_succeeds_and_is_deleted() {
    let mut shard = Shard::new();
    shard.is_checked = false;
    let key = shard.enqueue(plain("j"));
    let taken = Counts {
        taken: 1,
        ..Counts::default()
    };
    assert_eq!(since(&mut shard), taken);
    let task = shard.lease_one();
    let leased = Counts {
        leased: 1,
        ..Counts::default()
    };
    assert_eq!(since(&mut shard), leased);
    shard.report(&task.id, success());
    let succeeded = Counts {
        succeeded: 1,
        attempts: AttemptCounts {
            succeeded: 1,
            ..AttemptCounts::default()
        },
        ..Counts::default()
    };
    assert_eq!(since(&mut shard), succeeded);
    // The same report again changes nothing, and nothing is refused.
    shard.report(&task.id, success());
    shard.restart(&key);
    assert_eq!(since(&mut shard), Counts::default());
    shard.delete(&key);
    let removed = Counts {
        removed: 1,
        ..Counts::default()
    };
    assert_eq!(since(&mut shard), removed);
}

#[test]
fn a_job_that_fails_is_retried_fails_for_good_and_is_restarted() {
    let mut shard = Shard::new();
    shard.is_checked = false;
    let key = shard.enqueue(retrying("j", 1));
    let task = shard.lease_one();
    since(&mut shard);
    let failed_attempt = AttemptCounts {
        failed: 1,
        ..AttemptCounts::default()
    };
    shard.report(&task.id, failure());
    let retried = Counts {
        retried: 1,
        attempts: failed_attempt,
        ..Counts::default()
    };
    assert_eq!(since(&mut shard), retried);
    shard.expedite(&key);
    let task = shard.lease_one();
    since(&mut shard);
    shard.report(&task.id, failure());
    let failed = Counts {
        failed: 1,
        attempts: failed_attempt,
        ..Counts::default()
    };
    assert_eq!(since(&mut shard), failed);
    shard.restart(&key);
    let restarted = Counts {
        restarted: 1,
        ..Counts::default()
    };
    assert_eq!(since(&mut shard), restarted);
    shard.cancel(&key);
    let cancelled = Counts {
        cancelled: 1,
        ..Counts::default()
    };
    assert_eq!(since(&mut shard), cancelled);
}

#[test]
fn leases_that_expire_or_are_given_back() {
    let mut shard = Shard::new();
    shard.is_checked = false;
    shard.enqueue(plain("j"));
    let mut attempts = AttemptCounts::default();
    let task = shard.lease_one();
    shard.report(&task.id, Outcome::Release);
    attempts.released += 1;
    assert_eq!(since(&mut shard).attempts, attempts);
    // Never heartbeated: lost. Heartbeated once: a crash.
    shard.lease_one();
    shard.pass(i64::try_from(LEASE).unwrap());
    attempts = AttemptCounts {
        lost: 1,
        ..AttemptCounts::default()
    };
    assert_eq!(since(&mut shard).attempts, attempts);
    let task = shard.lease_one();
    shard.heartbeat(&task.id);
    shard.pass(i64::try_from(LEASE).unwrap());
    attempts = AttemptCounts {
        crashed: 1,
        ..AttemptCounts::default()
    };
    assert_eq!(since(&mut shard).attempts, attempts);
}
