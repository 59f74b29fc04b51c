//! Turns: a tenant gets as many tasks in a turn as its weight says, and whoever waits gets its
//! first after at most one turn of each of the others. (SILO-LEASE-T1)
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{Shard, grantee, group, of_tenant, plain, set_weight, success, tenant};
use proptest::prelude::*;
use silo_core::shard::command::Command;
use silo_core::shard::commands::lease::Lease;
use silo_core::shard::commands::tenant::SetWeight;
use silo_core::shard::reply::{Reply, Task};
use silo_core::shard::soft::Soft;
use silo_core::table::Table;
use silo_core::table::tenant::Tenants;
use silo_core::types::weight::{Weight, Weights};

fn to(weight: u32) -> SetWeight {
    SetWeight::To(Weight::parse(weight).unwrap())
}

/// A shard with so many jobs of each tenant, in turn.
fn with_jobs(of: &[(&str, u32)]) -> Shard {
    let mut shard = Shard::new();
    for (name, count) in of {
        for number in 0..*count {
            shard.enqueue(of_tenant(name, &format!("{name}{number}")));
        }
    }
    shard
}

fn owners(tasks: &[Task]) -> String {
    let names = tasks.iter().map(|task| task.id.tenant.as_str());
    names.collect()
}

#[test]
fn a_turn_is_as_long_as_the_weight_over_as_many_leases_as_it_takes() {
    for size in 1..=7 {
        let mut shard = with_jobs(&[("a", 12), ("b", 12), ("c", 12)]);
        shard.run(&set_weight("a", to(3)));
        shard.run(&set_weight("c", to(2)));
        let mut order = String::new();
        while order.len() < 18 {
            order += &owners(&shard.lease(size));
        }
        assert_eq!(&order[..18], "aaabccaaabccaaabcc", "leases of {size}");
    }
}

#[test]
fn without_weights_everybody_gets_one_in_turn() {
    for size in 1..=5 {
        let mut shard = with_jobs(&[("a", 4), ("b", 2), ("c", 4)]);
        let mut order = String::new();
        while order.len() < 10 {
            order += &owners(&shard.lease(size));
        }
        assert_eq!(order, "abcabcacac", "leases of {size}");
    }
}

#[test]
fn what_is_set_goes_before_the_configuration_until_it_is_cleared() {
    let mut shard = with_jobs(&[("a", 20), ("b", 20)]);
    let weights = Weights {
        default: Weight::parse(2).unwrap(),
        named: Arc::new([(tenant("a"), Weight::parse(3).unwrap())].into()),
    };
    let ask = |shard: &mut Shard, tasks_max| {
        let lease = Command::Lease(Lease {
            group: group("g"),
            grantee: grantee("w"),
            tasks_max,
            bytes_max: u64::MAX,
            weights: weights.clone(),
        });
        match shard.run(&lease) {
            Reply::Leased(tasks) => owners(&tasks),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ask(&mut shard, 10), "aaabbaaabb");
    shard.run(&set_weight("a", to(1)));
    assert_eq!(ask(&mut shard, 6), "abbabb");
    shard.run(&set_weight("a", SetWeight::Clear));
    assert_eq!(ask(&mut shard, 5), "aaabb");
}

#[test]
fn a_tenant_that_runs_dry_begins_anew_when_it_comes_back() {
    let mut shard = with_jobs(&[("a", 2), ("b", 5)]);
    shard.run(&set_weight("a", to(4)));
    assert_eq!(owners(&shard.lease(2)), "aa");
    for number in 2..8 {
        shard.enqueue(of_tenant("a", &format!("a{number}")));
    }
    assert_eq!(
        owners(&shard.lease(7)),
        "baaaaba",
        "not what was left of its turn"
    );
}

#[test]
fn a_weight_that_is_lowered_cuts_a_turn_that_has_begun() {
    let mut shard = with_jobs(&[("a", 9), ("b", 9)]);
    shard.run(&set_weight("a", to(6)));
    assert_eq!(owners(&shard.lease(1)), "a");
    shard.run(&set_weight("a", to(2)));
    assert_eq!(owners(&shard.lease(4)), "aaba");
}

#[test]
fn what_is_left_of_a_turn_is_lost_with_soft_state_and_nothing_else() {
    let mut shard = with_jobs(&[("a", 9), ("b", 9)]);
    shard.run(&set_weight("a", to(3)));
    assert_eq!(owners(&shard.lease(2)), "aa");
    shard.soft = Soft::lost();
    shard.settle();
    // Tenants are found again in the order of their keys, b first.
    assert_eq!(owners(&shard.lease(8)), "baaabaaa");
}

#[test]
fn a_tenant_without_jobs_keeps_its_weight_and_its_row_goes_with_it() {
    let mut shard = Shard::new();
    shard.run(&set_weight("t", to(5)));
    assert!(shard.rows.map.contains_key(&Tenants::key(&tenant("t"))));
    assert_eq!(shard.soft.totals().total(), 0, "it counts no job");
    let key = shard.enqueue(plain("j"));
    let task = shard.lease_one();
    shard.report(&task.id, success());
    shard.delete(&key);
    let row = shard.image().tenants[&tenant("t")].clone();
    assert_eq!(row.weight, Some(Weight::parse(5).unwrap()));
    let reply = shard.run(&Command::GetTenant(tenant("t")));
    match reply {
        Reply::Tenant(view) => assert_eq!(view.weight.map(Weight::get), Some(5)),
        other => panic!("{other:?}"),
    }
    shard.run(&set_weight("t", SetWeight::Clear));
    assert!(shard.rows.map.is_empty(), "nothing is left");
}

#[test]
fn a_weight_is_1_to_1000() {
    for number in [0, 1001, u32::MAX] {
        assert!(Weight::parse(number).is_err(), "{number}");
    }
    for number in [1, 1000] {
        assert_eq!(u32::from(Weight::parse(number).unwrap().get()), number);
    }
    assert_eq!(Weight::default(), Weight::ONE);
}

#[derive(Clone, Debug)]
enum Op {
    Enqueue { tenant: usize, jobs: u8 },
    Lease { tasks_max: u32 },
    Forget,
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (0..NAMES.len(), 1..20u8).prop_map(|(tenant, jobs)| Op::Enqueue { tenant, jobs }),
        6 => (1..12u32).prop_map(|tasks_max| Op::Lease { tasks_max }),
        1 => Just(Op::Forget),
    ];
    prop::collection::vec(op, 1..80)
}

/// Who has ready jobs, how many, and what others got since it waits.
#[derive(Default)]
struct Turns {
    ready: BTreeMap<String, u32>,
    passed: BTreeMap<String, BTreeMap<String, u32>>,
}

impl Turns {
    /// A task went to `name`: since its last task, or since it began to wait, nobody has seen more
    /// than one turn of it.
    fn served(&mut self, name: &str, weights: &BTreeMap<&str, u32>) {
        for (waiter, passed) in &mut self.passed {
            if waiter == name {
                passed.clear();
                continue;
            }
            let count = passed.entry(name.to_owned()).or_default();
            *count += 1;
            let weight = weights[name];
            assert!(
                *count <= weight,
                "{waiter} waits, {name} of {weight} got {count}"
            );
        }
        let left = self.ready.get_mut(name).unwrap();
        *left -= 1;
        if *left == 0 {
            self.ready.remove(name);
            self.passed.remove(name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whoever begins to wait has its first task after at most one turn of each other tenant.
    #[test]
    fn whoever_waits_gets_its_first_task_within_one_turn_of_the_ring(
        weights in prop::collection::vec(1..9u32, NAMES.len()),
        ops in ops(),
    ) {
        let mut shard = Shard::new();
        shard.is_checked = false;
        let weights: BTreeMap<&str, u32> = NAMES.into_iter().zip(weights).collect();
        for (name, weight) in &weights {
            shard.run(&set_weight(name, to(*weight)));
        }
        let mut turns = Turns::default();
        let mut jobs = 0;
        for op in ops {
            match op {
                Op::Enqueue { tenant, jobs: count } => {
                    for _ in 0..count {
                        jobs += 1;
                        shard.enqueue(of_tenant(NAMES[tenant], &format!("j{jobs}")));
                    }
                    let name = NAMES[tenant].to_owned();
                    *turns.ready.entry(name.clone()).or_default() += u32::from(count);
                    turns.passed.entry(name).or_default();
                }
                Op::Lease { tasks_max } => {
                    let ready: u32 = turns.ready.values().sum();
                    let tasks = shard.lease(tasks_max);
                    assert_eq!(tasks.len(), ready.min(tasks_max) as usize, "none stands idle");
                    for task in tasks {
                        turns.served(task.id.tenant.as_str(), &weights);
                    }
                }
                Op::Forget => {
                    shard.soft = Soft::lost();
                    shard.settle();
                    turns.passed.values_mut().for_each(BTreeMap::clear);
                }
            }
        }
    }

    /// Among tenants that always have work, each has what its weight says, but for one turn.
    #[test]
    fn shares_follow_the_weights_exactly_but_for_the_turn_that_goes_on(
        weights in prop::collection::vec(1..7u32, 2..5),
        sizes in prop::collection::vec(1..9u32, 1..40),
    ) {
        let names = NAMES.into_iter().take(weights.len());
        let jobs: Vec<(&str, u32)> = names.map(|name| (name, 330)).collect();
        let mut shard = with_jobs_unchecked(&jobs);
        for (name, weight) in NAMES.iter().zip(&weights) {
            shard.run(&set_weight(name, to(*weight)));
        }
        let mut got = vec![0u32; weights.len()];
        for size in sizes {
            for task in shard.lease(size) {
                let at = NAMES.iter().position(|n| *n == task.id.tenant.as_str()).unwrap();
                got[at] += 1;
                let turns: Vec<(u32, u32)> = got
                    .iter()
                    .zip(&weights)
                    .map(|(got, weight)| (got / weight, got.div_ceil(*weight)))
                    .collect();
                let least = turns.iter().map(|(whole, _)| *whole).min().unwrap();
                let most = turns.iter().map(|(_, begun)| *begun).max().unwrap();
                assert!(most <= least + 1, "{got:?} of {weights:?}");
            }
        }
    }
}

fn with_jobs_unchecked(of: &[(&str, u32)]) -> Shard {
    let mut shard = Shard::new();
    shard.is_checked = false;
    for (name, count) in of {
        for number in 0..*count {
            shard.enqueue(of_tenant(name, &format!("{name}{number}")));
        }
    }
    shard
}
