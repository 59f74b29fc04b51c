//! The stage decides as a complete map would, one command after the other, whatever storage does
//! in between, and says nothing that a crash could take back.

#![cfg(test)]

mod common;

use proptest::prelude::*;
use silo_runtime::executor::limits::StageLimits;

use crate::common::workload::{Action, Faults, action, limits, play};
use crate::common::world::World;

fn actions(faults: Faults) -> impl Strategy<Value = Vec<Action>> {
    prop::collection::vec(action(faults), 1..250)
}

fn holds(limits: StageLimits, actions: &[Action]) -> Result<(), TestCaseError> {
    let mut world = World::new(limits);
    play(&mut world, actions).map_err(|violation| {
        TestCaseError::fail(format!("{:?}: {}", violation.promise, violation.detail))
    })
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: ProptestConfig::default().cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

#[silo::test]
fn rounds_come_to_what_commands_one_by_one_come_to() {
    proptest!(config(), |(limits in limits(), actions in actions(Faults::default()))| {
        holds(limits, &actions)?;
    });
}

#[silo::test]
fn it_holds_when_loads_fail() {
    let faults = Faults {
        loads_fail: true,
        ..Faults::default()
    };
    proptest!(config(), |(limits in limits(), actions in actions(faults))| {
        holds(limits, &actions)?;
    });
}

#[silo::test]
fn it_holds_when_hints_are_lost() {
    let faults = Faults {
        soft_is_lost: true,
        ..Faults::default()
    };
    proptest!(config(), |(limits in limits(), actions in actions(faults))| {
        holds(limits, &actions)?;
    });
}

#[silo::test]
fn nothing_that_was_said_is_lost_in_a_crash() {
    let faults = Faults {
        crashes: true,
        loads_fail: true,
        ..Faults::default()
    };
    proptest!(config(), |(limits in limits(), actions in actions(faults))| {
        holds(limits, &actions)?;
    });
}

#[silo::test]
fn it_holds_over_damaged_rows() {
    let faults = Faults {
        crashes: true,
        damage: true,
        ..Faults::default()
    };
    proptest!(config(), |(limits in limits(), actions in actions(faults))| {
        holds(limits, &actions)?;
    });
}
