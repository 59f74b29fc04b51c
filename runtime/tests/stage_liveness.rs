//! Nobody waits for ever, and nothing spins.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]

mod common;

use proptest::prelude::*;
use silo_core::shard::command::Command;
use silo_core::types::time::Timestamp;
use silo_runtime::executor::flushing::FlushPolicy;
use silo_runtime::executor::limits::StageLimits;

use silo_core::types::time::Millis;

use crate::common::oracle::Violation;
use crate::common::say;
use crate::common::workload::{Action, Op, job_key, op, roomy};
use crate::common::world::World;

/// Runs within which every command is answered while storage answers in one.
const RUNS_MAX: usize = 60;
/// Time between two runs.
const BEAT_MS: i64 = 20;

fn failed(violation: Violation) -> TestCaseError {
    TestCaseError::fail(format!("{:?}: {}", violation.promise, violation.detail))
}

/// A round's worth of commands again and again, without a pause.
fn stays_alive(limits: StageLimits, rounds: &[Vec<Op>]) -> Result<(), TestCaseError> {
    let mut world = World::new(limits);
    for ops in rounds {
        for op in ops {
            Action::Submit(op.clone())
                .happen(&mut world)
                .map_err(failed)?;
        }
        world.pass(BEAT_MS);
        world.beat().map_err(failed)?;
        let wait = world.longest_wait();
        prop_assert!(wait <= RUNS_MAX, "somebody has waited for {wait} runs");
        let now = world.time();
        let soft = world.stage.soft();
        let due = soft.first_due().map(|at| now.wall.since(at));
        let expiry = soft.first_expiry().map(|at| now.uptime.since(at));
        let late = due.max(expiry).map_or(0, Millis::get);
        prop_assert!(late <= 1500, "a tick is late by {late} ms");
    }
    world.settle().map_err(failed)
}

fn rounds() -> impl Strategy<Value = Vec<Vec<Op>>> {
    prop::collection::vec(prop::collection::vec(op(), 0..5), 50..150)
}

fn tiny() -> impl Strategy<Value = StageLimits> {
    // Few commands a round, and still more than come in, each judged several times.
    (0..600usize, 1..4usize, 32..48usize).prop_map(|(cache, read_ahead, commands)| StageLimits {
        cache_bytes_max: cache,
        read_ahead_rows: read_ahead,
        round_commands_max: commands,
        ..roomy()
    })
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: ProptestConfig::default().cases / 5,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

#[silo::test]
fn with_inputs_going_on_no_command_waits_for_ever() {
    proptest!(config(), |(rounds in rounds())| stays_alive(roomy(), &rounds)?);
}

#[silo::test]
fn nor_with_a_cache_of_a_few_hundred_bytes() {
    proptest!(config(), |(limits in tiny(), rounds in rounds())| stays_alive(limits, &rounds)?);
}

#[silo::test]
fn ticks_go_on_while_commands_never_stop() {
    let limits = StageLimits {
        round_commands_max: 1,
        ..roomy()
    };
    let mut world = World::new(limits);
    let mut later = say::plain(&job_key(0));
    later.start_at = Some(Timestamp::from_millis(world.now + 100));
    world.submit(say::enqueue(later));
    for _ in 0..50 {
        // More comes in than is decided.
        world.submit(say::get(&job_key(1), false));
        world.submit(say::get(&job_key(1), false));
        world.pass(BEAT_MS);
        world.beat().unwrap();
    }
    assert!(world.stage.queued().0 > 20, "the queue is never empty");
    let has_work = world
        .stage
        .soft()
        .groups()
        .any(|group| *group == say::group("g"));
    assert!(has_work, "the job came due in the meantime");
    world.settle().unwrap();
}

#[silo::test]
fn a_tick_that_a_caller_sends_is_a_command_like_others() {
    let mut world = World::new(roomy());
    world.submit(Command::Tick).unwrap();
    world.submit(Command::Tick).unwrap();
    world.settle().unwrap();
    assert_eq!(world.stage.queued(), (0, 0));
    assert_eq!(world.replies, 2);
}

#[silo::test]
fn ticks_pause_when_their_rows_cannot_be_read() {
    let mut world = World::new(roomy());
    world.run().unwrap();
    world.fail_load(0).unwrap();
    world.run().unwrap();
    let next = world.stage.next_deadline(world.time()).unwrap();
    assert!(next > Millis::ZERO, "the next tick is not at once");
    world.pass(1000);
    world.settle().unwrap();
    assert!(world.stage.soft().is_recovered());
}

#[silo::test]
fn what_is_durable_before_it_is_known_to_be_accepted_is_released() {
    let mut world = World::new(roomy());
    world.submit(say::enqueue(say::plain(&job_key(0)))).unwrap();
    for _ in 0..4 {
        world.run().unwrap();
        world.perform_load(0);
        world.tell_loaded(0).unwrap();
        world.perform_load(0);
        world.tell_loaded(0).unwrap();
    }
    world.apply();
    world.put();
    world.tell_durable().unwrap();
    assert_eq!(world.replies, 0, "not known to be accepted");
    world.accept().unwrap();
    assert_eq!(world.replies, 1);
    world.run().unwrap();
    let next = world.stage.next_deadline(world.time());
    assert!(
        next.is_none_or(|wait| wait > Millis::ZERO),
        "nothing is left to flush, and nobody asks for it: {next:?}"
    );
    world.settle().unwrap();
}

#[silo::test]
fn a_write_waits_for_its_flush_no_longer_than_the_interval() {
    let limits = StageLimits {
        flush: FlushPolicy {
            interval: Millis::new(300),
            bytes: u64::MAX,
        },
        ..roomy()
    };
    let mut world = World::new(limits);
    world.settle().unwrap();
    world.submit(say::enqueue(say::plain(&job_key(0)))).unwrap();
    for _ in 0..4 {
        world.beat().unwrap();
    }
    assert_eq!(world.replies, 0);
    let wait = world.stage.next_deadline(world.time()).unwrap();
    assert_eq!(wait, Millis::new(300));
    world.pass(300);
    world.beat().unwrap();
    world.beat().unwrap();
    assert_eq!(world.replies, 1);
}

#[silo::test]
fn many_who_ask_for_cold_work_at_once_are_all_served_in_a_few_rounds_of_loads() {
    const CALLERS: u32 = 150;
    const TASKS: u32 = 5;
    let mut world = World::new(StageLimits::default());
    for number in 0..CALLERS * TASKS {
        let key = say::job("t", &format!("job-{number}"));
        world.submit(say::enqueue(say::plain(&key))).unwrap();
    }
    world.settle().map_err(failed).unwrap();
    // Another process opens the shard: nothing is in memory.
    world.crash(None).map_err(failed).unwrap();
    world.settle().map_err(failed).unwrap();
    for _ in 0..CALLERS {
        world.submit(say::lease("g", TASKS)).unwrap();
    }
    let mut beats = 0;
    while world.longest_wait() > 0 || beats == 0 {
        world.beat().map_err(failed).unwrap();
        beats += 1;
        assert!(
            beats < 40,
            "{} tasks after {beats} rounds",
            world.tasks.len()
        );
    }
    // A caller that had to wait takes fewer tasks rather than wait again, but never none.
    assert!(world.tasks.len() >= CALLERS as usize);
    assert!(
        beats <= 15,
        "{beats} rounds for {} tasks",
        world.tasks.len()
    );
    world.settle().map_err(failed).unwrap();
}
