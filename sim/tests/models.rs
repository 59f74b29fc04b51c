//! The models hold, reach their dangers, and fail when they are wrong. A change of a count of
//! states is a change of what is looked at: review it.

#![cfg(test)]

use silo_sim::models::explore;
use silo_sim::models::life::{Budget, Life, Wrong};

/// No model here has more states.
const STATES_MAX: usize = 3_000_000;

/// Quick enough for every run of the tests.
fn quick() -> Life {
    Life {
        budget: Budget {
            leases: 2,
            reports: 3,
            people: 1,
            clock: 2,
            crashes: 1,
            soft: 1,
        },
        ..Life::small()
    }
}

/// Model, states that differ, longest path.
const COUNTS: &str = include_str!("models.txt");

#[silo::test]
fn the_life_cycle_holds_in_every_interleaving() {
    let found = explore(quick(), STATES_MAX, 2);
    assert!(found.is_exhaustive, "{found:?}");
    assert_eq!(found.wrong, Vec::<&str>::new(), "{found:?}");
    let line = format!("life quick {} {}", found.unique, found.depth);
    assert!(COUNTS.lines().any(|known| known == line), "{line}");
}

#[silo::test]
fn life_cycles_that_are_wrong_are_found() {
    let fails = |wrong: Wrong| {
        let life = Life {
            wrong: Some(wrong),
            ..quick()
        };
        explore(life, STATES_MAX, 2).wrong
    };
    let acknowledged = "an acknowledged success stands";
    assert!(fails(Wrong::AnswersAtOnce).contains(&acknowledged));
    assert!(fails(Wrong::TakesAnyReport).contains(&acknowledged));
    let invariants = "invariants hold, and steps are allowed";
    assert!(fails(Wrong::ForgetsLeases).contains(&invariants));
}
