//! What soft state tells whoever drives a shard: which groups have work, whether that changed, and
//! whether two of its states behave alike.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use std::hash::{DefaultHasher, Hasher};

use common::{Shard, group, lease, of_tenant, plain, queue, success};
use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::Enqueue;
use silo_core::shard::commands::lease::Lease;
use silo_core::shard::soft::Soft;
use silo_core::types::time::Timestamp;
use silo_core::types::weight::{Weight, Weights};

fn groups(shard: &Shard) -> Vec<String> {
    shard.soft.groups().map(ToString::to_string).collect()
}

#[test]
fn the_groups_with_ready_work_are_told() {
    let mut shard = Shard::new();
    for (id, name) in [("a", "g"), ("b", "g"), ("c", "h")] {
        shard.enqueue(Enqueue {
            queue: queue(name, 1),
            ..plain(id)
        });
    }
    assert_eq!(groups(&shard), ["g", "h"]);
    assert!(shard.soft.has_ready(&group("g")) && shard.soft.has_ready(&group("h")));
    assert!(!shard.soft.has_ready(&group("i")));
    shard.lease_from("h", 1);
    assert_eq!(groups(&shard), ["g"]);
    assert!(shard.soft.has_ready(&group("g")) && !shard.soft.has_ready(&group("h")));
}

#[test]
fn a_change_of_the_groups_with_ready_work_shows_in_a_number() {
    let mut shard = Shard::new();
    let mut seen = shard.soft.groups_version();
    let mut has_grown = |shard: &Shard| {
        let before = seen;
        seen = shard.soft.groups_version();
        assert!(seen >= before, "it only grows");
        seen > before
    };
    shard.enqueue(plain("a"));
    assert!(has_grown(&shard), "a group has work");
    shard.enqueue(of_tenant("u", "b"));
    assert!(!has_grown(&shard), "of another tenant as well");
    shard.lease(1);
    assert!(!has_grown(&shard), "there is still work in it");
    shard.lease(1);
    assert!(has_grown(&shard), "there is none left");
    shard.enqueue(plain("c"));
    assert!(has_grown(&shard), "and some again");
}

fn form(shard: &Shard) -> u64 {
    let mut hasher = DefaultHasher::new();
    shard.soft.form(shard.time(), &mut hasher);
    hasher.finish()
}

/// A shard whose clock says so much more than that of others, with a job that starts later.
fn with_one_due(clock: i64, wait: i64) -> Shard {
    let mut shard = Shard::new();
    shard.now += clock;
    shard.enqueue(Enqueue {
        start_at: Some(Timestamp::from_millis(shard.now + wait)),
        ..plain("j")
    });
    shard
}

#[test]
fn hints_have_one_form_exactly_if_they_behave_alike_from_now_on() {
    let shard = with_one_due(0, 1000);
    assert_eq!(form(&shard), form(&with_one_due(5000, 1000)));
    assert_ne!(form(&shard), form(&with_one_due(0, 2000)), "it waits");
    let mut later = shard.clone();
    later.now += 1;
    assert_ne!(form(&shard), form(&later), "it has less to wait");
    let mut lost = shard.clone();
    lost.soft = Soft::lost();
    assert_ne!(form(&shard), form(&lost), "it is found again first");
}

#[test]
fn what_is_known_of_leases_and_turns_is_part_of_the_form() {
    let mut shard = Shard::new();
    for name in ["t", "u"] {
        for id in ["a", "b"] {
            shard.enqueue(of_tenant(name, id));
        }
    }
    let task = shard.lease_one();
    let mut heartbeated = shard.clone();
    heartbeated.heartbeat(&task.id);
    assert_ne!(form(&shard), form(&heartbeated));
    // The other tenant is served next, or this one.
    let mut other = shard.clone();
    let second = other.lease_one();
    assert_ne!(second.id.tenant, task.id.tenant);
    assert_ne!(form(&shard), form(&other));
    shard.report(&task.id, success());
    assert_ne!(form(&shard), form(&other));
}

#[test]
fn what_is_left_of_a_turn_is_part_of_the_form() {
    let mut shard = Shard::new();
    for name in ["t", "u"] {
        for id in ["a", "b", "c", "d"] {
            shard.enqueue(of_tenant(name, id));
        }
    }
    let after_one_task = |weight| {
        let mut shard = shard.clone();
        let weights = Weights {
            default: Weight::parse(weight).unwrap(),
            ..Weights::default()
        };
        let Command::Lease(lease) = lease("g", 1) else {
            unreachable!();
        };
        shard.run(&Command::Lease(Lease { weights, ..lease }));
        (shard.rows.clone(), form(&shard))
    };
    let (rows, two) = after_one_task(2);
    let (same_rows, three) = after_one_task(3);
    assert!(rows == same_rows, "it stands in no row");
    assert_eq!(two, after_one_task(2).1);
    assert_ne!(two, three, "one more is left of it");
}
