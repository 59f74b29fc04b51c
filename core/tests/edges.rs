//! What random sequences seldom meet: clocks that go back, rows that are missing, large imports.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use common::{LEASE, Shard, ids, plain};
use silo_core::shard::commands::report::Outcome;
use silo_core::shard::soft::Soft;

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
