//! Retention: what has ended goes when its time is over, a bounded number at once, and nothing is
//! left of it.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use bytes::Bytes;
use common::{Shard, failure, job, kept, lease_job, of_tenant, plain, retrying, success};
use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::Enqueue;
use silo_core::shard::commands::report::Outcome;
use silo_core::shard::commands::tick::TICK_TENANTS_MAX;
use silo_core::shard::commands::tick::turn::TICK_DUE_MAX;
use silo_core::shard::reply::Reply;
use silo_core::shard::soft::Soft;
use silo_core::table::codec::encode;
use silo_core::table::due::DueKey;
use silo_core::table::expiry::{Expiries, ExpiryRow};
use silo_core::table::job::JobKey;
use silo_core::table::place::Place;
use silo_core::table::state::{EARLIER_ATTEMPTS_MAX, States, Status};
use silo_core::table::tenant::Tallies;
use silo_core::table::{Table, TableId};
use silo_core::types::retention::Retention;
use silo_core::types::time::{Millis, Timestamp};

fn unchecked() -> Shard {
    let mut shard = Shard::new();
    shard.is_checked = false;
    shard
}

/// Leases a job and reports on it.
fn work(shard: &mut Shard, key: &JobKey, outcome: Outcome) {
    let Reply::Leased(tasks) = shard.run(&lease_job(key)) else {
        panic!("{} is leased", key.job);
    };
    assert_eq!(shard.report(&tasks[0].id, outcome), Reply::Reported);
}

fn tallies(shard: &Shard) -> Tallies {
    let rows = shard.image().tenants;
    rows.values()
        .fold(Tallies::default(), |sum, row| sum.with(&row.tallies))
}

#[test]
fn a_job_goes_with_everything_once_its_time_is_over_and_not_before() {
    let mut shard = Shard::new();
    let mut asked = kept("j", 5000);
    asked.payload = Bytes::from(vec![1; 5000]);
    asked.retry = retrying("j", 2).retry;
    let key = shard.enqueue(asked);
    let large = Outcome::Failure {
        code: "E".to_owned(),
        data: Bytes::from(vec![2; 5000]),
        retryable: true,
        retry_after: Some(Millis::ZERO),
    };
    work(&mut shard, &key, large.clone());
    work(&mut shard, &key, large.clone());
    work(&mut shard, &key, large);
    assert_eq!(
        shard.image().payloads.len(),
        4,
        "its payload and three errors"
    );
    shard.pass(4999);
    assert_eq!(shard.status(&key), Status::Failed);
    shard.pass(1);
    assert!(!shard.has_rows(&key));
    assert!(shard.rows.map.is_empty(), "{:?}", shard.rows.map);
    assert_eq!(shard.next_wake(), None, "nobody wakes for nothing");
    assert_eq!(shard.soft.totals(), Tallies::default());
}

#[test]
fn each_outcome_has_a_retention_of_its_own() {
    let retention = Retention {
        succeeded: Some(Millis::new(1000)),
        failed: Some(Millis::new(2000)),
        cancelled: Some(Millis::new(3000)),
    };
    let asked = |id| Enqueue {
        retention,
        ..plain(id)
    };
    let mut shard = Shard::new();
    let succeeded = shard.enqueue(asked("succeeded"));
    work(&mut shard, &succeeded, success());
    let failed = shard.enqueue(asked("failed"));
    work(&mut shard, &failed, failure());
    let cancelled = shard.enqueue(asked("cancelled"));
    shard.cancel(&cancelled);
    for (gone, left) in [(succeeded, 2), (failed, 1), (cancelled, 0)] {
        assert!(shard.has_rows(&gone));
        shard.pass(1000);
        assert!(!shard.has_rows(&gone));
        assert_eq!(tallies(&shard).total(), left, "tallies are exact");
        assert_eq!(shard.soft.totals().total(), left);
    }
}

#[test]
fn the_servers_default_holds_where_a_job_says_nothing_as_of_its_end() {
    let mut shard = Shard::new();
    shard.retention.succeeded = Some(Millis::new(1000));
    let by_default = shard.enqueue(plain("default"));
    let own = shard.enqueue(kept("own", 5000));
    let for_ever = shard.enqueue(plain("for ever"));
    work(&mut shard, &by_default, success());
    work(&mut shard, &own, success());
    // The default that counts is the one at the end of the job.
    shard.retention.succeeded = None;
    work(&mut shard, &for_ever, success());
    shard.pass(1000);
    assert!(!shard.has_rows(&by_default));
    assert!(shard.has_rows(&own));
    shard.pass(i64::from(u32::MAX));
    assert!(!shard.has_rows(&own));
    assert_eq!(shard.status(&for_ever), Status::Succeeded);
}

#[test]
fn no_time_at_all_is_the_next_tick_and_all_the_time_there_is_is_for_ever() {
    let mut shard = Shard::new();
    let brief = shard.enqueue(kept("brief", 0));
    let long = shard.enqueue(kept("long", u64::MAX));
    work(&mut shard, &brief, success());
    work(&mut shard, &long, success());
    assert!(
        shard.has_rows(&brief),
        "its outcome is answered from its rows"
    );
    shard.settle();
    assert!(!shard.has_rows(&brief));
    shard.now = i64::MAX - 1;
    shard.settle();
    assert!(shard.has_rows(&long));
}

#[test]
fn a_job_that_is_restarted_is_kept_from_its_next_end_on() {
    let mut shard = Shard::new();
    let key = shard.enqueue(kept("j", 1000));
    work(&mut shard, &key, failure());
    shard.pass(500);
    shard.restart(&key);
    assert!(shard.image().expiry.is_empty());
    shard.pass(5000);
    work(&mut shard, &key, success());
    shard.pass(999);
    assert_eq!(shard.status(&key), Status::Succeeded);
    shard.pass(1);
    assert!(!shard.has_rows(&key));
}

#[test]
fn very_many_jobs_go_a_bounded_number_per_tick_and_delay_no_start() {
    let mut shard = unchecked();
    let jobs = TICK_DUE_MAX * 5;
    for number in 0..jobs {
        let key = shard.enqueue(kept(&format!("j{number}"), 1000));
        shard.cancel(&key);
    }
    let mut due = plain("due");
    due.start_at = Some(Timestamp::from_millis(shard.now + 1000));
    shard.enqueue(due);
    shard.now += 1000;
    let mut left = jobs as u64;
    while shard.next_wake().is_some() {
        assert_eq!(shard.run(&Command::Tick), Reply::Ticked);
        assert_eq!(
            common::ids(&shard.lease(1)).len(),
            usize::from(left == jobs as u64)
        );
        left -= TICK_DUE_MAX as u64;
        assert_eq!(tallies(&shard).cancelled, left);
        if left == 0 {
            break;
        }
    }
    assert_eq!(left, 0);
    assert!(shard.image().expiry.is_empty());
}

#[test]
fn tenants_with_very_many_jobs_to_remove_take_turns() {
    let mut shard = unchecked();
    let tenants = TICK_TENANTS_MAX * 2;
    for number in 0..tenants {
        for id in 0..TICK_DUE_MAX + 1 {
            let asked = Enqueue {
                retention: kept("x", 0).retention,
                ..of_tenant(&format!("t{number:02}"), &format!("j{id}"))
            };
            let key = shard.enqueue(asked);
            shard.cancel(&key);
        }
    }
    for round in 1..=2 {
        shard.run(&Command::Tick);
        let image = shard.image();
        let served = image
            .tenants
            .values()
            .filter(|row| row.tallies.total() == 1);
        assert_eq!(
            served.count(),
            TICK_TENANTS_MAX * round,
            "everybody once before anybody twice"
        );
    }
}

#[test]
fn jobs_with_very_many_attempts_keep_a_bounded_number_and_go_few_at_a_time() {
    let mut shard = unchecked();
    let attempts = EARLIER_ATTEMPTS_MAX + 10;
    for id in ["a", "b"] {
        let mut asked = kept(id, 1000);
        asked.retry = retrying("x", attempts).retry;
        let key = shard.enqueue(asked);
        for _ in 0..attempts {
            work(&mut shard, &key, failure());
        }
        let shown = shard.view(&key).attempts;
        assert_eq!(shown.len(), 1001, "the latest, and a thousand before it");
        assert_eq!(shown[0].attempt.number, attempts - 1000);
        shard.cancel(&key);
    }
    shard.is_checked = true;
    shard.pass(999);
    shard.now += 1;
    shard.run(&Command::Tick);
    let rows = shard.changes.len();
    assert!(
        rows < 2100,
        "one job with a thousand attempts in a tick: {rows} rows"
    );
    shard.settle();
    assert!(shard.rows.map.is_empty());
}

#[test]
fn jobs_with_few_attempts_go_a_whole_turn_at_once() {
    let mut shard = unchecked();
    for number in 0..TICK_DUE_MAX {
        let mut asked = kept(&format!("j{number}"), 1000);
        asked.retry = retrying("x", 5).retry;
        let key = shard.enqueue(asked);
        for _ in 0..3 {
            work(&mut shard, &key, failure());
        }
        shard.cancel(&key);
    }
    shard.now += 1000;
    shard.run(&Command::Tick);
    assert!(shard.rows.map.is_empty(), "all in one tick");
}

#[test]
fn the_oldest_attempt_goes_when_one_more_begins_than_are_kept() {
    let mut shard = unchecked();
    let key = shard.enqueue(retrying("j", 2 * EARLIER_ATTEMPTS_MAX));
    for _ in 0..=EARLIER_ATTEMPTS_MAX {
        work(&mut shard, &key, failure());
    }
    let rows = shard.rows.clone();
    shard.reopen(rows);
    shard.is_checked = true;
    assert_eq!(shard.state(&key).attempts_from, 1);
    assert!(matches!(shard.run(&lease_job(&key)), Reply::Leased(_)));
    assert_eq!(shard.state(&key).attempts_from, 2);
}

#[test]
fn what_is_to_go_is_found_again_after_soft_state_was_lost() {
    let mut shard = Shard::new();
    let key = shard.enqueue(kept("j", 1000));
    shard.cancel(&key);
    shard.soft = Soft::lost();
    shard.settle();
    assert_eq!(
        shard.next_wake(),
        Some(Timestamp::from_millis(shard.now + 1000))
    );
    shard.pass(1000);
    assert!(!shard.has_rows(&key));
}

#[test]
fn a_clock_that_went_back_keeps_jobs_longer_and_loses_none() {
    let mut shard = Shard::new();
    let key = shard.enqueue(kept("j", 1000));
    shard.cancel(&key);
    shard.now -= 86_400_000;
    shard.soft = Soft::lost();
    shard.settle();
    assert!(shard.has_rows(&key));
    shard.pass(86_401_000);
    assert!(!shard.has_rows(&key));
}

#[test]
fn an_expiry_row_that_matches_no_job_is_dropped_and_the_job_stays() {
    let mut shard = Shard::new();
    let key = shard.enqueue(kept("j", 1000));
    shard.cancel(&key);
    let stray = Place {
        at: Timestamp::from_millis(shard.now + 1000),
        seq: 99,
    };
    let row = DueKey::of(&key, stray);
    shard
        .rows
        .map
        .insert(Expiries::key(&row), encode(&ExpiryRow {}));
    let mut state = shard.state(&key);
    let silo_core::table::state::Position::Ended { expires, .. } = &mut state.position else {
        panic!("it has ended");
    };
    let own = expires.take().unwrap();
    shard.rows.map.insert(States::key(&key), encode(&state));
    shard.is_checked = false;
    shard.pass(1000);
    assert!(!shard.rows.map.contains_key(&Expiries::key(&row)));
    assert!(
        !shard
            .rows
            .map
            .contains_key(&Expiries::key(&DueKey::of(&key, own)))
    );
    assert_eq!(shard.status(&key), Status::Cancelled);
    let lists = |notice: &silo_core::shard::decision::Notice| {
        matches!(
            notice,
            silo_core::shard::decision::Notice::IndexDropped(TableId::Expiry)
        )
    };
    assert!(shard.notices.iter().any(lists));
    assert_eq!(shard.next_wake(), None);
}

#[test]
fn the_removal_of_a_plain_job_reads_its_state_alone_and_takes_four_rows() {
    let mut shard = Shard::new();
    let key = shard.enqueue(kept("j", 1000));
    work(&mut shard, &key, success());
    shard.now += 1000;
    shard.run(&Command::Tick);
    let tables: Vec<Option<TableId>> = shard
        .changes
        .iter()
        .map(|change| TableId::of(&change.key))
        .collect();
    let tables: Vec<TableId> = tables.into_iter().flatten().collect();
    assert_eq!(
        tables,
        [
            TableId::Tenant,
            TableId::Job,
            TableId::State,
            TableId::Expiry
        ]
    );
    assert!(!shard.has_rows(&job("t", "j")));
}
