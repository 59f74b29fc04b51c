//! Ticks: a bounded amount each, and nobody starves; soft state that is lost is found again.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use bytes::Bytes;
use common::{Shard, group, job, lease, of_tenant, plain};
use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::Enqueue;
use silo_core::shard::commands::lease::TASKS_MAX;
use silo_core::shard::commands::tick::recovery::TICK_RECOVERY_MAX;
use silo_core::shard::commands::tick::turn::TICK_DUE_MAX;
use silo_core::shard::commands::tick::{TICK_LEASES_MAX, TICK_TENANTS_MAX};
use silo_core::shard::decision::Notice;
use silo_core::shard::reply::Reply;
use silo_core::shard::soft::Soft;
use silo_core::table::Table as _;
use silo_core::table::due::{DueKey, Dues};
use silo_core::table::state::{Position, Status};
use silo_core::types::time::Timestamp;

/// Many enough to need many ticks; the full hundred thousand only when optimised.
const MANY: usize = if cfg!(debug_assertions) {
    10_000
} else {
    100_000
};

fn unchecked() -> Shard {
    let mut shard = Shard::new();
    shard.is_checked = false;
    shard
}

fn due_in(later: i64, asked: Enqueue) -> Enqueue {
    Enqueue {
        start_at: Some(Timestamp::from_millis(common::START + later)),
        ..asked
    }
}

/// Most row operations of one tick: three per job moved, and a row per tenant.
const OPERATIONS_MAX: usize =
    TICK_LEASES_MAX * 3 + TICK_TENANTS_MAX * (TICK_DUE_MAX * 3 + 1) + TICK_LEASES_MAX;

#[test]
fn very_many_expired_leases_end_a_bounded_number_per_tick_and_delay_no_due_job() {
    let mut shard = unchecked();
    for number in 0..MANY {
        shard.enqueue(of_tenant("many", &format!("m{number}")));
    }
    let mut leased = 0;
    while leased < MANY {
        leased += shard.lease(TASKS_MAX).len();
    }
    let key = shard.enqueue(due_in(10_000, of_tenant("one", "j")));
    shard.now += 10_000;
    shard.run(&Command::Tick);
    assert!(matches!(shard.state(&key).position, Position::Ready(_)));
    let mut ticks = 1;
    while shard.next_wake().is_some() {
        shard.run(&Command::Tick);
        assert!(shard.changes.len() <= OPERATIONS_MAX);
        ticks += 1;
    }
    assert_eq!(ticks, MANY.div_ceil(TICK_LEASES_MAX));
    shard.is_checked = true;
    shard.run(&Command::Tick);
}

#[test]
fn very_many_due_jobs_of_a_tenant_start_a_bounded_number_per_tick_and_delay_nobody() {
    let mut shard = unchecked();
    for number in 0..MANY {
        shard.enqueue(due_in(1000, of_tenant("many", &format!("m{number}"))));
    }
    let key = shard.enqueue(due_in(1000, of_tenant("one", "j")));
    shard.now += 1000;
    shard.run(&Command::Tick);
    assert!(matches!(shard.state(&key).position, Position::Ready(_)));
    let mut ticks = 1;
    while shard.next_wake().is_some() {
        shard.run(&Command::Tick);
        assert!(shard.changes.len() <= OPERATIONS_MAX);
        ticks += 1;
    }
    assert_eq!(ticks, MANY.div_ceil(TICK_DUE_MAX));
    shard.is_checked = true;
    shard.run(&Command::Tick);
}

#[test]
fn more_tenants_with_a_backlog_than_a_tick_serves_delay_a_new_one_by_one_turn_of_all() {
    let tenants = TICK_TENANTS_MAX * 2;
    let mut shard = unchecked();
    for tenant in 0..tenants {
        for number in 0..i64::try_from(TICK_DUE_MAX * 8).unwrap() {
            let asked = of_tenant(&format!("t{tenant}"), &format!("j{number}"));
            shard.enqueue(due_in(1000 + number, asked));
        }
    }
    let key = shard.enqueue(due_in(5000, of_tenant("late", "j")));
    shard.now += 10_000;
    let mut ticks = 0;
    while !matches!(shard.state(&key).position, Position::Ready(_)) {
        shard.run(&Command::Tick);
        ticks += 1;
    }
    let turn = (tenants + 1).div_ceil(TICK_TENANTS_MAX);
    assert!(ticks <= turn, "{ticks} ticks for a turn of {turn}");
}

#[test]
fn lost_soft_state_is_found_again_page_by_page() {
    let mut shard = unchecked();
    let tenants = TICK_RECOVERY_MAX + 10;
    for number in 0..tenants {
        shard.enqueue(of_tenant(&format!("t{number}"), "j"));
        if number % 2 == 0 {
            shard.enqueue(due_in(50_000, of_tenant(&format!("t{number}"), "k")));
        }
    }
    shard.lease(5);
    shard.soft = Soft::lost();
    assert_eq!(
        shard.next_wake(),
        Some(Timestamp::from_millis(shard.now)),
        "at once"
    );
    shard.is_checked = true;
    let ticks = shard.settle();
    assert!(ticks <= 4, "{ticks}");
    assert_eq!(shard.lease(TASKS_MAX).len(), TASKS_MAX as usize);
}

#[test]
fn lost_leases_are_found_again_page_by_page() {
    let mut shard = unchecked();
    let leases = TICK_RECOVERY_MAX + 10;
    for number in 0..leases {
        shard.enqueue(plain(&format!("j{number}")));
    }
    while !shard.lease(TASKS_MAX).is_empty() {}
    shard.soft = Soft::lost();
    let mut ticks = 0;
    while !shard.soft.is_recovered() {
        shard.run(&Command::Tick);
        ticks += 1;
        assert!(
            ticks <= 4,
            "a page of tenants, one of limits, two of leases"
        );
    }
    for number in 0..leases {
        let key = job("t", &format!("j{number}"));
        assert!(shard.soft.lease(&key).is_some(), "{number}");
    }
}

#[test]
fn due_jobs_start_though_a_row_among_them_does_not_decode() {
    let mut shard = unchecked();
    let jobs = TICK_DUE_MAX + 10;
    let mut first = None;
    for number in 0..jobs {
        let key = shard.enqueue(due_in(1000, plain(&format!("j{number:03}"))));
        let Position::Due(place) = shard.state(&key).position else {
            panic!("due");
        };
        first.get_or_insert(Dues::key(&DueKey::of(&key, place)));
    }
    let first = first.unwrap();
    let garbage = first.slice(..first.len() - 3);
    shard.rows.map.insert(garbage.clone(), Bytes::new());
    shard.pass(1000);
    assert_eq!(shard.lease(TASKS_MAX).len(), jobs);
    assert!(!shard.rows.map.contains_key(&garbage));
}

#[test]
fn each_lease_gets_one_full_duration_after_soft_state_was_lost() {
    let mut shard = Shard::new();
    let key = shard.enqueue(plain("j"));
    shard.lease_one();
    shard.now += 9000;
    shard.soft = Soft::lost();
    shard.settle();
    shard.pass(9999);
    assert_eq!(shard.status(&key), Status::Running);
    shard.pass(1);
    assert_eq!(shard.status(&key), Status::Scheduled);
}

#[test]
fn workers_that_wait_are_told_of_work_that_is_found_again() {
    let mut shard = Shard::new();
    shard.enqueue(plain("j"));
    shard.soft = Soft::lost();
    assert_eq!(
        shard.run(&lease("g", 1)),
        Reply::Leased(Vec::new()),
        "nothing is known yet"
    );
    let mut notices = Vec::new();
    while !shard.soft.is_recovered() {
        shard.run(&Command::Tick);
        notices.append(&mut shard.notices.clone());
    }
    assert_eq!(notices, [Notice::Ready(group("g"))]);
}

#[test]
fn a_clock_that_went_back_holds_nothing_up_but_what_is_due_later() {
    let mut shard = Shard::new();
    shard.enqueue(plain("ready"));
    let key = shard.enqueue(plain("leased"));
    shard.lease_one();
    shard.now -= 3_600_000;
    shard.soft = Soft::lost();
    shard.settle();
    assert_eq!(shard.lease(5).len(), 1, "what was ready stays ready");
    shard.pass(10_000);
    shard.pass(3_600_000);
    assert_eq!(shard.lease(5).len(), 2);
    assert_eq!(shard.status(&key), Status::Running);
}
