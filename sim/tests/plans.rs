//! Plans are kept: what failed once is run for ever, also when the generator has changed.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects)]

use std::path::Path;

use silo_sim::plan::Plan;
use silo_sim::plan::profile::Profile;
use silo_sim::trace::Trace;
use silo_sim::world::World;

#[silo::test]
fn what_failed_once_fails_no_more() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    let mut plans = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let plan: Plan = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let (ran, _) = World::new(&plan, Trace::default()).run();
        assert_eq!(ran.violation, None, "{}", path.display());
        assert!(ran.checked.rested == 1, "{}", path.display());
        plans += 1;
    }
    assert!(plans > 0);
}

#[silo::test]
fn a_plan_says_everything_that_its_seed_did() {
    for seed in 1..4 {
        let plan = Plan::of(seed, Profile::Swarm);
        let text = serde_json::to_string(&plan).unwrap();
        let read: Plan = serde_json::from_str(&text).unwrap();
        assert_eq!(read, plan);
        let hash = |plan: &Plan| World::new(plan, Trace::default()).run().0.hash;
        assert_eq!(hash(&read), hash(&plan));
    }
}
