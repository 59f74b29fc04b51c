//! Limits beside damaged rows: what a job held is given back, and nobody else is stopped.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use common::limits::*;
use common::{Shard, job, limited, success, tenant};
use silo_core::shard::command::Command;
use silo_core::shard::commands::set_limit::LimitChange;
use silo_core::shard::limits::anew::WAITERS_COUNTED_MAX;
use silo_core::shard::refusal::Refusal;
use silo_core::shard::reply::{Reply, Task};
use silo_core::table::Table as _;
use silo_core::table::codec::encode;
use silo_core::table::limit::Limits;
use silo_core::table::line::{LineName, Lines, Parked, WaiterKey, WaiterRow, Waiters};
use silo_core::table::state::{Position, States, Status};

#[test]
fn a_job_that_was_set_aside_while_it_ran_gives_its_slots_back() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["1", "2"], &[("a", 1)]);
    let task = shard.lease_one();
    shard.is_damaged = true;
    let key = job("t", "1");
    shard.once_damaged.insert(key.clone());
    let state = States::key(&key);
    shard.damage(&state);
    shard.report(&task.id, success());
    assert_eq!(shard.status(&key), Status::Quarantined);
    shard.settle();
    assert!(is_ready(&shard, "2"));
    assert_eq!(row(&shard, "a").unwrap().held, 1);
    assert_eq!(shard.restart(&key), Reply::Restarted);
    assert!(is_parked(&shard, "1"), "and wants them again");
}

/// What is left of its state says that it does not run, so it holds nothing.
#[test]
fn a_job_that_was_set_aside_while_it_waited_gives_nothing_back() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["1", "2"], &[("a", 1)]);
    shard.lease_one();
    let key = job("t", "2");
    let state = States::key(&key);
    let left = shard.rows.map[&state].slice(..3);
    shard.is_damaged = true;
    shard.once_damaged.insert(key.clone());
    shard.rows.map.insert(state, left);
    shard.cancel(&key);
    assert_eq!(shard.status(&key), Status::Quarantined);
    assert_eq!(row(&shard, "a").unwrap().held, 1);
}

#[test]
fn two_damaged_jobs_one_that_runs_and_one_that_waits_for_it_stop_nobody() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["1", "2", "3"], &[("a", 1)]);
    let task = shard.lease_one();
    shard.is_damaged = true;
    for id in ["1", "2"] {
        let key = job("t", id);
        let state = States::key(&key);
        shard.once_damaged.insert(key);
        shard.damage(&state);
    }
    shard.report(&task.id, success());
    shard.settle();
    for id in ["1", "2"] {
        assert_eq!(shard.status(&job("t", id)), Status::Quarantined);
    }
    assert!(is_ready(&shard, "3"));
}

#[test]
fn one_whose_state_is_lost_while_it_waits_is_passed_by() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["1", "2", "3"], &[("a", 1)]);
    let task = shard.lease_one();
    shard.is_damaged = true;
    let key = job("t", "2");
    shard.once_damaged.insert(key.clone());
    let state = States::key(&key);
    shard.damage(&state);
    succeed(&mut shard, &task);
    assert_eq!(shard.status(&key), Status::Quarantined);
    assert!(is_ready(&shard, "3"));
}

#[test]
fn a_limit_whose_row_is_damaged_starts_nobody_and_stops_nothing_else() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["1", "2"], &[("a", 1), ("b", 1)]);
    let task = shard.lease_one();
    shard.is_damaged = true;
    shard.is_checked = false;
    shard.damage(&Limits::key(&name("a")));
    succeed(&mut shard, &task);
    assert!(
        is_parked(&shard, "2"),
        "nobody knows whether there is a slot"
    );
    enqueue(&mut shard, &["3"], &[("b", 1)]);
    enqueue(&mut shard, &["4"], &[("a", 1)]);
    assert!(is_ready(&shard, "3"));
    let state = shard.state(&job("t", "4")).position;
    assert!(matches!(state, Position::Due(_)), "it tries again later");
    shard.pass(5000);
    assert_eq!(shard.cancel(&job("t", "2")), Reply::Cancelled);
}

/// Jobs that wait for two limits, and their line of which the row is damaged.
fn with_a_damaged_line(ids: &[&str]) -> (Shard, Task, LineName) {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["runs"], &[("a", 1), ("b", 5)]);
    let task = shard.lease_one();
    enqueue(&mut shard, ids, &[("a", 1), ("b", 5)]);
    let line = line_of(&shard, ids[0]);
    shard.damage(&Lines::key(&line));
    shard.is_checked = false;
    (shard, task, line)
}

/// Everything holds again, whoever reads it anew too.
fn is_whole(shard: &mut Shard) {
    assert_eq!(recount(shard), 0);
    (shard.is_checked, shard.is_damaged) = (true, false);
    shard.reopen(shard.rows.clone());
    shard.settle();
}

fn runs_next(shard: &mut Shard, ids: &[&str]) {
    for id in ids {
        let task = shard.lease_one();
        assert_eq!(task.id.job.as_str(), *id);
        succeed(shard, &task);
    }
}

#[test]
fn counting_anew_makes_the_row_of_a_line_that_cannot_be_read() {
    let (mut shard, _, line) = with_a_damaged_line(&["1", "2", "3"]);
    assert_eq!(recount(&mut shard), 1, "a line");
    assert_eq!(shard.image().lines[&line].count, 3);
    is_whole(&mut shard);
}

#[test]
fn whoever_was_passed_by_as_their_line_could_not_be_read_runs_once_it_is_made_anew() {
    let (mut shard, task, _) = with_a_damaged_line(&["1", "2"]);
    succeed(&mut shard, &task);
    assert!(is_parked(&shard, "1"), "nobody can tell who is next");
    assert_eq!(
        recount(&mut shard),
        2,
        "a line, and the limit where it is parked"
    );
    is_whole(&mut shard);
    runs_next(&mut shard, &["1", "2"]);
}

#[test]
fn a_line_is_found_by_its_own_row_when_that_of_where_it_is_parked_cannot_be_read() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["runs"], &[("a", 1), ("b", 1)]);
    let task = shard.lease_one();
    enqueue(&mut shard, &["1"], &[("a", 1)]);
    enqueue(&mut shard, &["2"], &[("a", 1), ("b", 1)]);
    let line = line_of(&shard, "2");
    for id in ["1", "2"] {
        let line = line_of(&shard, id);
        let row = line.parked_key(&shard.image().lines[&line]);
        shard.damage(&Parked::key(&row));
    }
    shard.is_checked = false;
    set(&mut shard, "a", LimitChange::Maximum(3));
    assert!(is_ready(&shard, "1"));
    assert!(is_parked(&shard, "2"), "where it is blocked");
    assert_eq!(shard.image().lines[&line].at, common::limit_key("b"));
    is_whole(&mut shard);
    succeed(&mut shard, &task);
    assert!(is_ready(&shard, "2"));
}

#[test]
fn those_that_come_after_the_damage_stand_behind_those_of_the_damaged_line() {
    let (mut shard, task, line) = with_a_damaged_line(&["1", "2", "3"]);
    enqueue(&mut shard, &["4", "5"], &[("a", 1), ("b", 5)]);
    assert!(line_of(&shard, "4") != line, "its row says nothing");
    assert_eq!(shard.cancel(&job("t", "2")), Reply::Cancelled);
    assert_eq!(recount(&mut shard), 1);
    assert_eq!(shard.image().lines[&line].count, 2);
    is_whole(&mut shard);
    succeed(&mut shard, &task);
    runs_next(&mut shard, &["1", "3", "4", "5"]);
    assert!(row(&shard, "a").is_none() && row(&shard, "b").is_none());
}

#[test]
fn a_damaged_line_in_which_nobody_waits_goes() {
    let (mut shard, _, line) = with_a_damaged_line(&["1"]);
    assert_eq!(shard.cancel(&job("t", "1")), Reply::Cancelled);
    assert_eq!(recount(&mut shard), 3, "a line, and both limits counted it");
    assert!(!shard.rows.map.contains_key(&Lines::key(&line)));
    is_whole(&mut shard);
    assert_eq!(row(&shard, "a").unwrap().lines, 0);
}

#[test]
fn nothing_is_kept_for_a_line_that_was_made_anew() {
    let mut shard = Shard::new();
    let both = limited("both", &[("a", 1), ("b", 1)]);
    with_ticket(&mut shard, vec![both]);
    let line = line_of(&shard, "both");
    shard.damage(&Lines::key(&line));
    shard.is_checked = false;
    assert_eq!(
        recount(&mut shard),
        3,
        "a line, and both counted its ticket"
    );
    assert_eq!(shard.image().lines[&line].ticket, None);
    for key in ["a", "b"] {
        assert_eq!(row(&shard, key).unwrap().tickets, 0);
    }
    is_whole(&mut shard);
    assert!(is_parked(&shard, "both"));
}

#[test]
fn whoever_looks_at_a_damaged_line_or_moves_in_it_is_told_and_nobody_is_set_aside() {
    let (mut shard, ..) = with_a_damaged_line(&["1", "2"]);
    let key = job("t", "2");
    let damaged = || Reply::Refused(Refusal::LimitDamaged(common::limit_key("a")));
    assert_eq!(shard.run(&Command::Explain(key.clone())), damaged());
    assert_eq!(shard.expedite(&key), damaged());
    assert!(is_parked(&shard, "2"));
}

#[test]
fn rows_that_speak_of_no_line_go_when_they_are_counted_anew() {
    let (mut shard, _, line) = with_a_damaged_line(&["1"]);
    shard.rows.map.remove(&Lines::key(&line));
    assert_eq!(recount(&mut shard), 1, "the job's row says that it waits");
    is_whole(&mut shard);
}

#[test]
fn a_damaged_line_in_which_too_many_wait_is_left_alone() {
    let (mut shard, _, line) = with_a_damaged_line(&["1"]);
    let place = match shard.state(&job("t", "1")).position {
        Position::Parked { place, .. } => place,
        other => panic!("{other:?}"),
    };
    for number in 1..=WAITERS_COUNTED_MAX {
        let other = job("t", &format!("1-{number:06}"));
        let row = Waiters::key(&WaiterKey::of(&other, line.id, place));
        shard.rows.map.insert(row, encode(&WaiterRow {}));
    }
    let refused = Reply::Refused(Refusal::TooManyToCount(tenant("t")));
    let recount_limits = Command::RecountLimits(tenant("t"));
    assert_eq!(shard.run(&recount_limits), refused);
    shard.cancel(&job("t", "1"));
    shard.run(&recount_limits);
    assert!(!shard.rows.map.contains_key(&Lines::key(&line)), "no job");
}
