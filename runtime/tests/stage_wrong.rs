//! The checks of the stage notice when it, or what is around it, is wrong: a check that cannot fail
//! checks nothing.

#![cfg(test)]

mod common;

use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};

use crate::common::oracle::{Promise, Violation};
use crate::common::workload::{Action, Faults, action, limits, play};
use crate::common::world::{World, Wrong};

/// Plays random schedules until a check complains; says what about.
fn first_violation(wrong: Wrong, faults: Faults) -> Violation {
    let config = ProptestConfig {
        cases: 400,
        failure_persistence: None,
        max_shrink_iters: 0,
        ..ProptestConfig::default()
    };
    let schedule = prop::collection::vec(action(faults), 50..250);
    let found = std::cell::RefCell::new(None);
    let result = TestRunner::new(config).run(&(limits(), schedule), |(limits, actions)| {
        let mut world = World::new(limits);
        world.wrong = Some(wrong);
        let actions: Vec<Action> = actions;
        play(&mut world, &actions).map_err(|violation| {
            found.borrow_mut().get_or_insert(violation);
            TestCaseError::fail("noticed")
        })
    });
    assert!(
        matches!(result, Err(TestError::Fail(..))),
        "{wrong:?} was not noticed"
    );
    found.into_inner().expect("a violation")
}

#[silo::test]
fn replies_before_durability_are_noticed() {
    let found = first_violation(Wrong::DurableWhenAccepted, Faults::default());
    assert_eq!(found.promise, Promise::Durability, "{}", found.detail);
}

#[silo::test]
fn loads_that_miss_accepted_rows_are_noticed() {
    let found = first_violation(Wrong::StaleLoads, Faults::default());
    assert!(
        matches!(found.promise, Promise::Equivalence | Promise::Invariant),
        "{found:?}"
    );
}

#[silo::test]
fn forgetting_what_is_not_durable_is_noticed() {
    let found = first_violation(Wrong::ForgetsAnything, Faults::default());
    assert!(
        matches!(found.promise, Promise::Equivalence | Promise::Durability),
        "{found:?}"
    );
}

#[silo::test]
fn a_row_that_storage_loses_is_noticed() {
    let crashes = Faults {
        crashes: true,
        ..Faults::default()
    };
    let found = first_violation(Wrong::LosesARow, crashes);
    assert!(
        matches!(found.promise, Promise::Equivalence | Promise::Durability),
        "{found:?}"
    );
}

#[silo::test]
fn a_proof_that_counts_from_its_arrival_is_noticed() {
    let found = first_violation(Wrong::ProofFromItsArrival, Faults::default());
    assert_eq!(found.promise, Promise::Proof, "{}", found.detail);
}

#[silo::test]
fn an_answer_sent_twice_is_noticed() {
    let found = first_violation(Wrong::AnswersTwice, Faults::default());
    assert_eq!(found.promise, Promise::Answered, "{}", found.detail);
}
