//! What callers are told when storage fails, and when there is too much to do.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]

mod common;

use std::collections::BTreeMap;

use bytes::Bytes;
use silo_core::shard::command::{Command, Stamp};
use silo_core::shard::commands::enqueue::Enqueue;
use silo_runtime::executor::limits::StageLimits;
use silo_runtime::executor::output::{Loaded, Output};
use silo_runtime::executor::replies::{Answer, Failure};
use silo_runtime::executor::stage::Stage;

use crate::common::say;
use crate::common::workload::{job_key, roomy};
use crate::common::world::{START, World, at};

fn stamp(number: u64) -> Stamp {
    Stamp {
        now: at(START),
        entropy: say::entropy(number),
        retention: silo_core::types::retention::Retention::FOREVER,
    }
}

/// Answers every load with "nothing there", until nothing is asked for. Yields what else came out.
fn on_empty_storage(stage: &mut Stage<&'static str>) -> Vec<Output<&'static str>> {
    let mut others = Vec::new();
    loop {
        stage.run(stamp(1000));
        let mut is_done = true;
        while let Some(output) = stage.poll() {
            match output {
                Output::Load(id, item) => {
                    is_done = false;
                    let rows = Vec::new();
                    stage.loaded(
                        id,
                        match item {
                            silo_core::shard::view::NeedItem::Row(_) => Loaded::Row(None),
                            silo_core::shard::view::NeedItem::Range { .. } => Loaded::Range {
                                rows,
                                is_complete: true,
                            },
                        },
                    );
                }
                other => others.push(other),
            }
        }
        if is_done {
            return others;
        }
    }
}

fn written(outputs: &[Output<&'static str>]) -> silo_runtime::executor::working_set::Round {
    let round = outputs.iter().find_map(|output| match output {
        Output::Write(round, _) => Some(*round),
        _ => None,
    });
    round.expect("a write")
}

fn once(key: u8) -> Enqueue {
    Enqueue {
        request: None,
        ..say::plain(&job_key(key))
    }
}

fn told(stage: Stage<&'static str>) -> BTreeMap<&'static str, Answer> {
    let answers = stage.fail();
    let count = answers.len();
    let told: BTreeMap<_, _> = answers.into_iter().collect();
    assert_eq!(told.len(), count, "each caller is told once");
    told
}

#[silo::test]
fn each_caller_is_told_by_what_became_of_its_command() {
    let mut stage = Stage::new(roomy(), at(START));
    let submit = |stage: &mut Stage<&'static str>, caller: &'static str, command| {
        // Their lengths differ, and so do their stamps.
        let number = u64::try_from(caller.len()).unwrap();
        stage.submit(caller, command, stamp(number)).unwrap();
    };
    submit(&mut stage, "handed over", say::enqueue(once(1)));
    submit(
        &mut stage,
        "handed over, repeatable",
        say::enqueue(say::plain(&job_key(2))),
    );
    submit(
        &mut stage,
        "a refusal that looked at it",
        say::enqueue(once(1)),
    );
    submit(
        &mut stage,
        "a read that looked at it",
        say::get(&job_key(1), false),
    );
    let outputs = on_empty_storage(&mut stage);
    written(&outputs);
    submit(
        &mut stage,
        "decided, not handed over",
        say::enqueue(once(4)),
    );
    on_empty_storage(&mut stage);
    submit(&mut stage, "waits for rows", say::enqueue(once(5)));
    stage.run(stamp(2000));
    submit(&mut stage, "queued", say::enqueue(once(7)));

    let told = told(stage);
    let unknown = Answer::Failed(Failure::OutcomeUnknown);
    let again = Answer::Failed(Failure::Unavailable);
    assert_eq!(told.len(), 7);
    for (caller, answer) in told {
        let right = if caller == "handed over" {
            &unknown
        } else {
            &again
        };
        assert_eq!(answer, *right, "{caller}");
    }
}

#[silo::test]
fn an_answer_that_was_released_and_not_taken_is_not_lost_in_a_failure() {
    let mut stage = Stage::new(roomy(), at(START));
    stage
        .submit("caller", say::enqueue(once(1)), stamp(1))
        .unwrap();
    let outputs = on_empty_storage(&mut stage);
    stage.accepted(written(&outputs), 7);
    stage.durable(7);
    let told = told(stage);
    assert!(matches!(told["caller"], Answer::Reply(_)), "{told:?}");
}

#[silo::test]
fn a_failed_load_answers_who_waits_for_it_and_no_other() {
    let mut world = World::new(roomy());
    world.settle().unwrap();
    world.submit(say::get(&job_key(1), false)).unwrap();
    world.run().unwrap();
    world.fail_load(0).unwrap();
    assert_eq!((world.replies, world.failures), (0, 1));
    world.submit(say::get(&job_key(1), false)).unwrap();
    world.settle().unwrap();
    assert_eq!((world.replies, world.failures), (1, 1));
}

#[silo::test]
fn beyond_its_bounds_the_stage_takes_no_command() {
    let few = StageLimits {
        commands_max: 3,
        ..roomy()
    };
    let mut world = World::new(few);
    for _ in 0..3 {
        assert!(world.submit(say::get(&job_key(1), false)).is_some());
    }
    assert!(world.submit(say::get(&job_key(1), false)).is_none());
    world.settle().unwrap();
    assert!(world.submit(say::get(&job_key(1), false)).is_some());

    let small = StageLimits {
        command_bytes_max: 20_000,
        ..roomy()
    };
    let mut world = World::new(small);
    let large = |number, bytes| {
        let mut enqueue = once(number);
        enqueue.payload = Bytes::from(vec![1; bytes]);
        say::enqueue(enqueue)
    };
    assert!(world.submit(large(1, 15_000)).is_some());
    assert!(world.submit(large(2, 15_000)).is_none());
    world.settle().unwrap();
    // One command is taken however large it is, or it could never be done.
    assert!(world.submit(large(4, 100_000)).is_some());
    assert!(world.submit(large(5, 1)).is_none());
    world.settle().unwrap();
    assert_eq!(world.stage.queued(), (0, 0));
}

#[silo::test]
fn while_too_much_is_not_durable_nothing_new_is_begun() {
    let limits = StageLimits {
        unflushed_bytes_max: 1,
        ..roomy()
    };
    let mut world = World::new(limits);
    world.settle().unwrap();
    // It waits for rows: it goes on whatever is not durable.
    world.submit(say::get(&job_key(1), false)).unwrap();
    world
        .submit(say::enqueue(Enqueue {
            id: None,
            ..once(2)
        }))
        .unwrap();
    world.run().unwrap();
    let decided = |world: &World| {
        let decisions = &world.oracle.decisions;
        decisions
            .iter()
            .filter(|(d, _)| d.command != Command::Tick)
            .count()
    };
    for _ in 0..3 {
        world.perform_load(0);
        world.tell_loaded(0).unwrap();
    }
    world.run().unwrap();
    world.apply();
    world.accept().unwrap();
    let before = decided(&world);
    world
        .submit(say::enqueue(Enqueue {
            id: None,
            ..once(4)
        }))
        .unwrap();
    for _ in 0..5 {
        world.run().unwrap();
    }
    assert_eq!(decided(&world), before, "storage is behind");
    world.put();
    world.tell_durable().unwrap();
    world.run().unwrap();
    assert!(decided(&world) > before, "storage has caught up");
    world.settle().unwrap();
}

#[silo::test]
fn tasks_are_handed_back_also_beyond_the_bounds() {
    let limits = StageLimits {
        commands_max: 1,
        ..roomy()
    };
    let mut world = World::new(limits);
    world.submit(say::enqueue(once(1))).unwrap();
    world.settle().unwrap();
    world.submit(say::lease("g", 1)).unwrap();
    world.settle().unwrap();
    let task = world.tasks[0].clone();
    world.submit(say::get(&job_key(1), false)).unwrap();
    world.hand_back(task);
    assert_eq!(world.stage.queued().0, 2);
    world.settle().unwrap();
    world.submit(say::lease("g", 1)).unwrap();
    world.settle().unwrap();
    assert_eq!(world.tasks.len(), 2, "the job is leased again at once");
}

#[silo::test]
fn whoever_has_gone_is_not_served_and_holds_nobody_up() {
    let limits = StageLimits {
        round_commands_max: 1,
        ..roomy()
    };
    let mut stage = Stage::new(limits, at(START));
    for key in 0..9 {
        let asked = say::enqueue(once(key));
        stage.submit("gone", asked, stamp(key.into())).unwrap();
    }
    stage
        .submit("here", say::enqueue(once(9)), stamp(9))
        .unwrap();
    stage.run_for(stamp(1000), |caller| *caller == "gone");
    assert_eq!(
        stage.queued().0,
        1,
        "one command is left, in the first round"
    );
    let outputs = on_empty_storage(&mut stage);
    stage.accepted(written(&outputs), 1);
    assert_eq!(stage.take_counts().abandoned, 9);
    let told = told(stage);
    assert_eq!(told.keys().collect::<Vec<_>>(), [&"here"]);
}
