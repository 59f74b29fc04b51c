//! The checks notice when something is wrong: a check that cannot fail checks nothing.

#![cfg(test)]

use silo_sim::check::Promise;
use silo_sim::plan::Plan;
use silo_sim::plan::config::Wrong;
use silo_sim::plan::profile::Profile;
use silo_sim::shrink::{broken, shrink};
use silo_sim::trace::Trace;
use silo_sim::world::World;

/// Runs seeds until the checks complain; says what about, and with which plan.
fn first_violation(wrong: Wrong, profile: Profile) -> (Promise, Plan) {
    for seed in 1..=150 {
        let mut plan = Plan::of(seed, profile);
        plan.config.wrong = Some(wrong);
        let (ran, _) = World::new(&plan, Trace::default()).run();
        if let Some(violation) = ran.violation {
            return (violation.promise, plan);
        }
    }
    panic!("{wrong:?} was not noticed");
}

#[silo::test]
fn replies_before_durability_are_noticed() {
    let (promise, _) = first_violation(Wrong::DurableWhenAccepted, Profile::Calm);
    assert_eq!(promise, Promise::Durability);
}

#[silo::test]
fn rows_that_storage_loses_are_noticed() {
    let (promise, _) = first_violation(Wrong::LosesARow, Profile::Owners);
    assert!(
        matches!(promise, Promise::Invariant | Promise::History),
        "{promise:?}"
    );
}

#[silo::test]
fn a_deposed_owner_that_writes_all_the_same_is_noticed() {
    first_violation(Wrong::NoFence, Profile::Owners);
}

#[silo::test]
fn loads_that_miss_accepted_rows_are_noticed() {
    first_violation(Wrong::StaleLoads, Profile::Swarm);
}

#[silo::test]
fn workers_that_do_not_heed_the_end_of_their_lease_are_noticed() {
    let (promise, _) = first_violation(Wrong::DeafToLeases, Profile::Edges);
    assert_eq!(promise, Promise::AtWork);
}

#[silo::test]
fn a_slot_that_is_taken_while_another_works_on_in_it_is_noticed() {
    let is_noticed = |seed| {
        let mut plan = Plan::of(seed, Profile::Limits);
        plan.config.wrong = Some(Wrong::DeafToLeases);
        let (ran, _) = World::new(&plan, Trace::default()).run();
        ran.violation.is_some_and(|violation| {
            violation.promise == Promise::AtWork && violation.detail.contains("runs too often")
        })
    };
    assert!((1..=100).any(is_noticed));
}

#[silo::test]
fn a_shard_that_never_ticks_is_noticed() {
    let (promise, _) = first_violation(Wrong::NoTicks, Profile::Calm);
    assert!(
        matches!(promise, Promise::Liveness | Promise::Retention),
        "{promise:?}"
    );
}

#[silo::test]
fn the_canary_is_found() {
    assert_eq!(
        broken(&Plan::of(1, Profile::Canary)),
        Some(Promise::Invariant)
    );
}

#[silo::test]
fn a_plan_that_fails_is_shrunk_to_one_that_fails_the_same_way() {
    let plan = Plan::of(1, Profile::Canary);
    let shrunk = shrink(&plan, 500);
    assert_eq!(shrunk.promise, Some(Promise::Invariant));
    assert_eq!(broken(&shrunk.plan), shrunk.promise);
    assert!(shrunk.plan.steps.len() <= 1, "{:#?}", shrunk.plan.steps);
}
