//! The models hold, reach their dangers, and fail when they are wrong. A change of a count of
//! states is a change of what is looked at: review it. The large ones are for `silo-sim check`.

#![cfg(test)]

use silo_sim::models::catalog::{ALL, Made, STATES_MAX, executor_quick, find, limits_admits};
use silo_sim::models::life::{Life, Wrong as WrongLife};
use silo_sim::models::limits::{HOLDS, RUNS, Slots, Wrong as WrongSlots};
use silo_sim::models::shard::danger::Danger;
use silo_sim::models::shard::model::{Shard, Start};
use silo_sim::models::shard::{Ask, Budget, Wrong};
use silo_sim::models::{Search, explore};

/// No model that is wrong has so many states before that is found.
const WRONG_MAX: usize = 3_000_000;

fn holds(name: &str) {
    let model = find(name).expect("a model of the catalog");
    let found = model.explore(Search::Depth, 2);
    assert_eq!(found.wrong, Vec::<&str>::new(), "{found:?}");
    assert!(found.is_exhaustive, "{found:?}");
    assert_eq!(Some(found.unique), model.known(), "{name}: look at it anew");
}

#[silo::test]
fn the_life_cycle_holds_in_every_interleaving() {
    holds("life-quick");
}

#[silo::test]
fn limits_hold_in_every_interleaving() {
    holds("limits-admits");
}

#[silo::test]
fn the_executor_holds_in_every_interleaving() {
    holds("executor-quick");
}

#[silo::test]
fn two_owners_hold_in_every_interleaving() {
    holds("owners-quick");
}

#[silo::test]
fn states_that_are_taken_for_one_are_alike() {
    // Otherwise what is looked at would depend on which of them is met first.
    for name in ["limits-admits", "executor-quick"] {
        let model = find(name).expect("a model of the catalog");
        assert_eq!(model.unlike(), None, "{name}");
    }
}

#[silo::test]
fn every_model_has_a_count() {
    for model in ALL {
        assert!(model.known().is_some(), "{}", model.name);
    }
    let lines = include_str!("models.txt").lines().count();
    assert_eq!(lines, ALL.len(), "a count of a model that is gone");
    assert!(ALL.iter().all(|model| model.known() < Some(STATES_MAX)));
}

#[silo::test]
fn life_cycles_that_are_wrong_are_found() {
    let fails = |wrong: WrongLife| {
        let life = Life {
            wrong: Some(wrong),
            ..Life::quick()
        };
        explore(life, Search::Breadth, WRONG_MAX, 2).wrong
    };
    let acknowledged = "an acknowledged success stands";
    assert!(fails(WrongLife::AnswersAtOnce).contains(&acknowledged));
    assert!(fails(WrongLife::TakesAnyReport).contains(&acknowledged));
    let invariants = "invariants hold, and steps are allowed";
    assert!(fails(WrongLife::ForgetsLeases).contains(&invariants));
}

#[silo::test]
fn what_is_wrong_with_limits_on_purpose_is_found() {
    let fails = |wrong, slots: Slots| {
        let slots = Slots {
            wrong: Some(wrong),
            ..slots
        };
        explore(slots, Search::Breadth, WRONG_MAX, 2).wrong
    };
    assert!(fails(WrongSlots::AdmitsAreSoft, limits_admits()).contains(&HOLDS));
    assert!(fails(WrongSlots::KeepsASlot, limits_admits()).contains(&HOLDS));
    assert!(fails(WrongSlots::NobodySearches, limits_admits()).contains(&RUNS));
}

fn asks(which: &[Ask]) -> [u8; Ask::ALL.len()] {
    Ask::ALL.map(|ask| u8::from(which.contains(&ask)))
}

/// The same world without the fault holds, so that it is the fault that is found.
fn finds(model: &Shard, wrong: Wrong, property: &str) {
    let right = explore(model.clone(), Search::Depth, WRONG_MAX, 2);
    assert_eq!(right.wrong, Vec::<&str>::new(), "{right:?}");
    assert!(right.is_exhaustive);
    let found = explore(model.clone().wrongly(wrong), Search::Breadth, WRONG_MAX, 1);
    assert!(
        found.wrong.contains(&property),
        "{wrong:?}: {:?}",
        found.wrong
    );
}

#[silo::test]
fn replies_before_durability_are_found() {
    let model = executor_quick();
    finds(&model, Wrong::RepliesWhenAccepted, DURABLE);
}

#[silo::test]
fn a_failed_flush_taken_for_a_good_one_is_found() {
    let model = executor_quick();
    finds(&model, Wrong::FailureIsSuccess, DURABLE);
}

#[silo::test]
fn answers_that_come_twice_are_found() {
    let model = executor_quick();
    finds(
        &model,
        Wrong::AnswersTwice,
        "each caller is told once, and rightly",
    );
}

#[silo::test]
fn a_row_that_storage_loses_is_found() {
    let model = executor_quick();
    finds(&model, Wrong::LosesARow, ALONE);
}

#[silo::test]
fn a_flush_that_nobody_hears_of_is_found() {
    let model = executor_quick();
    finds(&model, Wrong::SilentFlush, "who waits, waits for something");
}

#[silo::test]
fn forgetting_what_is_under_way_is_found() {
    let forgets = Budget {
        forgets: 1,
        ..Budget::default()
    };
    let asks = asks(&[Ask::GetFirst, Ask::Lease]);
    let model = Shard::new(asks, forgets, (1, Start::Cold), &[]);
    finds(&model, Wrong::ForgetsInFlight, EQUAL);
}

#[silo::test]
fn reads_that_miss_what_was_accepted_are_found() {
    let forgets = Budget {
        forgets: 1,
        ..Budget::default()
    };
    let asks = asks(&[Ask::Enqueue, Ask::Lease]);
    let model = Shard::new(asks, forgets, (1, Start::Cold), &[Danger::LateLoad]);
    finds(&model, Wrong::StaleLoads, EQUAL);
}

#[silo::test]
fn writes_of_a_deposed_owner_that_are_not_fenced_are_found() {
    let claims = Budget {
        claims: 1,
        ..Budget::default()
    };
    let asks = asks(&[Ask::Enqueue, Ask::Report]);
    let model = Shard::new(asks, claims, (2, Start::Leased), &[Danger::Fenced]);
    finds(&model, Wrong::NoFence, ALONE);
}

#[silo::test]
fn a_proof_that_counts_from_its_arrival_is_found() {
    finds(&reads(4), Wrong::ProofFromArrival, FRESH);
}

#[silo::test]
fn a_proof_that_nobody_looks_for_is_found() {
    finds(&reads(3), Wrong::NobodyLooks, FRESH);
}

#[silo::test]
fn leases_that_end_by_a_clock_too_fast_are_found() {
    let at_work = "a job is at one worker, but for a third of a lease";
    let budget = Budget {
        claims: 1,
        clock: 3,
        ..Budget::default()
    };
    let model = Shard::new(asks(&[Ask::Lease]), budget, (2, Start::Leased), &[]);
    finds(&model, Wrong::FastClock, at_work);
}

fn reads(clock: u8) -> Shard {
    let budget = Budget {
        claims: 1,
        clock,
        ..Budget::default()
    };
    let dangers = &[Danger::StaleRead, Danger::DeposedByManifest];
    Shard::new(asks(&[Ask::GetFirst]), budget, (2, Start::Leased), dangers)
}

const DURABLE: &str = "what callers are told is durable";
const EQUAL: &str = "the stage decides as a complete map does";
const ALONE: &str = "nobody else writes into an owner's log";
const FRESH: &str = "no answer is older than a proof may be";

#[silo::test]
fn every_kind_of_model_is_in_the_catalog() {
    let made: Vec<Made> = ALL.iter().map(|model| model.make()).collect();
    assert!(made.iter().any(|made| matches!(made, Made::Life(_))));
    assert!(made.iter().any(|made| matches!(made, Made::Limits(_))));
    let owners = |made: &Made| match made {
        Made::Life(_) | Made::Limits(_) => 0,
        Made::Shard(shard) => shard.owners,
    };
    let most: Vec<usize> = made.iter().map(owners).collect();
    assert!(most.contains(&1) && most.contains(&2), "{most:?}");
}
