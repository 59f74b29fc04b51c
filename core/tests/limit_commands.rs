//! What operators say of limits, and counting anew.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use common::limits::*;
use common::{Shard, ids, job, limit_key, plain, tenant};
use silo_core::shard::command::Command;
use silo_core::shard::commands::recount::RECOUNTED_MAX;
use silo_core::shard::commands::set_limit::{LimitChange, SetLimit};
use silo_core::shard::commands::show_limit::ShowLimit;
use silo_core::shard::decision::Notice;
use silo_core::shard::limits::search::{LOOKS_MAX, PASSES_MAX};
use silo_core::shard::refusal::Refusal;
use silo_core::shard::reply::Reply;
use silo_core::shard::seen::Obstacle;
use silo_core::table::Table as _;
use silo_core::table::codec::encode;
use silo_core::table::limit::{LimitRow, Limits, TicketRow, Tickets};
use silo_core::table::line::WaitPlace;
use silo_core::table::place::{Head, Place, Spot as _};

#[test]
fn what_is_set_holds_instead_of_what_enqueues_say_until_it_is_cleared() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["1", "2", "3", "4"], &[("a", 1)]);
    set(&mut shard, "a", LimitChange::Maximum(2));
    assert!(is_ready(&shard, "2") && is_parked(&shard, "3"), "raised");
    enqueue(&mut shard, &["5"], &[("a", 4)]);
    assert!(is_parked(&shard, "3"), "what an enqueue says is kept aside");
    let seen = view(&mut shard, "a");
    assert_eq!(
        (seen.slots, seen.maximum, seen.set, seen.held),
        (2, 4, Some(2), 2)
    );
    set(&mut shard, "a", LimitChange::Clear);
    assert!(is_ready(&shard, "4") && is_parked(&shard, "5"), "4 slots");
    assert_eq!(view(&mut shard, "a").set, None);
}

#[test]
fn what_is_lowered_is_taken_from_nobody_and_given_to_nobody_until_it_is_free() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["1", "2", "3", "4", "5"], &[("a", 3)]);
    let tasks = shard.lease(9);
    set(&mut shard, "a", LimitChange::Maximum(1));
    let seen = view(&mut shard, "a");
    assert_eq!((seen.slots, seen.held), (1, 3));
    succeed(&mut shard, &tasks[0]);
    succeed(&mut shard, &tasks[1]);
    assert!(is_parked(&shard, "4"), "one still runs");
    succeed(&mut shard, &tasks[2]);
    assert!(is_ready(&shard, "4") && is_parked(&shard, "5"));
    set(&mut shard, "a", LimitChange::Maximum(2));
    assert!(is_ready(&shard, "5"), "raised again");
}

#[test]
fn a_limit_that_is_paused_lets_run_what_runs_and_nobody_else_until_it_is_resumed() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["1", "2", "3"], &[("a", 2)]);
    let task = shard.lease_one();
    set(&mut shard, "a", LimitChange::Pause);
    succeed(&mut shard, &task);
    assert_eq!(ids(&shard.lease(9)), ["2"], "it had its slot");
    assert!(is_parked(&shard, "3"));
    assert!(view(&mut shard, "a").is_paused);
    set(&mut shard, "a", LimitChange::Maximum(5));
    assert!(is_parked(&shard, "3"), "paused, however many there are");
    set(&mut shard, "a", LimitChange::Resume);
    assert!(is_ready(&shard, "3"));
}

#[test]
fn a_limit_may_be_set_before_anybody_uses_it_and_is_forgotten_when_it_is_cleared() {
    for (change, back) in [
        (LimitChange::Maximum(0), LimitChange::Clear),
        (LimitChange::Pause, LimitChange::Resume),
    ] {
        let mut shard = Shard::new();
        set(&mut shard, "a", change);
        let seen = view(&mut shard, "a");
        assert_eq!((seen.slots, seen.held, seen.waiting), (0, 0, exactly(0)));
        enqueue(&mut shard, &["1", "2", "3"], &[("a", 2)]);
        assert!(is_parked(&shard, "1"));
        assert_eq!(view(&mut shard, "a").maximum, 2, "as the first job says");
        set(&mut shard, "a", back);
        assert!(is_ready(&shard, "1") && is_ready(&shard, "2") && is_parked(&shard, "3"));
        for id in ["1", "2", "3"] {
            shard.delete(&job("t", id));
        }
        assert_eq!(row(&shard, "a"), None);
        set(&mut shard, "a", change);
        set(&mut shard, "a", change);
        set(&mut shard, "a", back);
        assert_eq!(row(&shard, "a"), None, "nobody used it");
        set(&mut shard, "a", back);
        assert!(shard.changes.is_empty(), "nothing was set");
    }
}

#[test]
fn what_is_set_outlives_the_jobs_that_use_it() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["1"], &[("a", 1)]);
    set(&mut shard, "a", LimitChange::Maximum(2));
    let task = shard.lease_one();
    succeed(&mut shard, &task);
    assert_eq!(row(&shard, "a").and_then(|row| row.set), Some(2));
    enqueue(&mut shard, &["2", "3", "4"], &[("a", 7)]);
    assert!(is_ready(&shard, "3") && is_parked(&shard, "4"));
    set(&mut shard, "a", LimitChange::Clear);
    assert!(is_ready(&shard, "4"), "7, as the first of those now said");
}

#[test]
fn a_limit_that_is_raised_far_serves_all_that_wait_in_bounded_steps() {
    let mut shard = Shard::new();
    shard.is_checked = false;
    let many = LOOKS_MAX * 3;
    for number in 0..many {
        enqueue(&mut shard, &[&format!("{number}")], &[("a", 0)]);
    }
    shard.is_checked = true;
    set(&mut shard, "a", LimitChange::Maximum(1000));
    let seen = view(&mut shard, "a");
    assert!(seen.is_to_be_searched, "{seen:?}");
    assert_eq!(seen.held, u32::try_from(LOOKS_MAX).unwrap());
    let wait = waits(&mut shard, "100");
    assert!(wait.is_to_be_searched, "{wait:?}");
    assert_eq!(wait.limits[0].obstacle, None);
    shard.settle();
    assert_eq!(shard.lease(1000).len(), many);
}

#[test]
fn tickets_of_those_that_want_what_is_paused_keep_nothing_from_others() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["a0"], &[("a", 1)]);
    enqueue(&mut shard, &["b0"], &[("b", 1)]);
    let mut tasks = shard.lease(9);
    enqueue(&mut shard, &["both"], &[("a", 1), ("b", 1)]);
    for number in 1..=PASSES_MAX + 4 {
        enqueue(&mut shard, &[&format!("a{number}")], &[("a", 1)]);
        enqueue(&mut shard, &[&format!("b{number}")], &[("b", 1)]);
    }
    while !waits(&mut shard, "both").has_ticket {
        let task = tasks.remove(0);
        succeed(&mut shard, &task);
        tasks.extend(shard.lease(9));
    }
    assert_eq!(view(&mut shard, "a").tickets, 1);
    // One more comes free and is kept: whoever waits for it is told for whom.
    while !tasks.is_empty() && !is_ready(&shard, "both") {
        let kept = ["a", "b"].into_iter().find(|key| {
            let row = row(&shard, key).unwrap();
            row.free() == 1 && row.lowest.is_some()
        });
        if let Some(key) = kept {
            let mine = |waits: &silo_core::shard::seen::Waiting| waits.job.as_str() != "both";
            let others = shown(&mut shard, key, 100).waiters;
            let other = others.into_iter().find(mine).expect("others wait");
            let wait = waits(&mut shard, other.job.as_str());
            let both = job("t", "both").job;
            assert_eq!(wait.limits[0].obstacle, Some(Obstacle::Kept(Some(both))));
            let elsewhere = if key == "a" { "b" } else { "a" };
            set(&mut shard, elsewhere, LimitChange::Pause);
            assert!(is_ready(&shard, other.job.as_str()), "kept no longer");
            let wait = waits(&mut shard, "both");
            assert!(!wait.has_ticket);
            return;
        }
        let task = tasks.remove(0);
        succeed(&mut shard, &task);
    }
    panic!("nothing was kept");
}

#[test]
fn counting_anew_finds_nothing_to_correct() {
    let mut shard = Shard::new();
    assert_eq!(recount(&mut shard), 0, "an unknown tenant");
    enqueue(&mut shard, &["1", "2", "3"], &[("a", 2), ("b", 1)]);
    enqueue(&mut shard, &["4"], &[("a", 2)]);
    shard.lease(1);
    set(&mut shard, "unused", LimitChange::Pause);
    let before = shard.rows.clone();
    assert_eq!(recount(&mut shard), 0);
    assert!(shard.rows == before);
}

/// Changes a limit's row behind the shard's back.
fn edit(shard: &mut Shard, key: &str, edit: impl FnOnce(&mut LimitRow)) {
    let mut row = row(shard, key).expect("a row");
    edit(&mut row);
    shard.rows.map.insert(Limits::key(&name(key)), encode(&row));
}

#[test]
fn counting_anew_corrects_what_was_damaged_and_whoever_waits_runs() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["1", "2"], &[("a", 2)]);
    enqueue(&mut shard, &["3", "4"], &[("a", 2)]);
    shard.lease(1);
    edit(&mut shard, "a", |row| row.held = 5);
    shard.is_checked = false;
    shard.delete(&job("t", "2"));
    assert!(is_parked(&shard, "3"), "nothing seems to be free");
    assert_eq!(recount(&mut shard), 1);
    assert!(is_ready(&shard, "3") && is_parked(&shard, "4"));
    shard.is_checked = true;
    shard.reopen(shard.rows.clone());
    shard.settle();
    assert_eq!(recount(&mut shard), 0);
}

/// Whoever stands before the mark would not be looked at; one that stands too low costs a search
/// its way, and is right.
#[test]
fn counting_anew_corrects_a_mark_that_stands_behind_a_line() {
    for (is_behind, differed) in [(true, 1), (false, 0)] {
        let mut shard = Shard::new();
        enqueue(&mut shard, &["1", "2"], &[("a", 1)]);
        edit(&mut shard, "a", |row| {
            let head = row.parked.expect("a line");
            let first = Place {
                seq: 0,
                ..head.low.place()
            };
            row.parked = Some(Head {
                low: if is_behind {
                    head.low.next()
                } else {
                    WaitPlace::new(head.low.priority(), first)
                },
                ..head
            });
        });
        shard.is_checked = false;
        assert_eq!(recount(&mut shard), differed);
        assert_eq!(recount(&mut shard), 0);
        shard.is_checked = true;
        let task = shard.lease_one();
        succeed(&mut shard, &task);
        assert!(is_ready(&shard, "2"));
    }
}

/// It is told, and nobody holds less than nothing.
#[test]
fn whoever_gives_back_a_slot_that_was_not_counted_is_told_of() {
    for is_counted in [true, false] {
        let mut shard = Shard::new();
        enqueue(&mut shard, &["1"], &[("a", 2)]);
        set(&mut shard, "a", LimitChange::Maximum(2));
        let task = shard.lease_one();
        if !is_counted {
            edit(&mut shard, "a", |row| row.held = 0);
            shard.is_checked = false;
        }
        succeed(&mut shard, &task);
        let mended = |notice: &Notice| matches!(notice, Notice::Mended(_));
        assert_eq!(shard.notices.iter().any(mended), !is_counted);
        assert_eq!(row(&shard, "a").unwrap().held, 0);
    }
}

#[test]
fn counting_anew_makes_a_row_that_cannot_be_read() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["1", "2", "3", "4"], &[("a", 2)]);
    enqueue(&mut shard, &["5"], &[("a", 2), ("b", 1)]);
    shard.lease(1);
    let before = row(&shard, "a");
    shard.damage(&Limits::key(&name("a")));
    let listed = page(&mut shard, "", None, 10);
    let keys = listed.limits.iter().map(|limit| limit.key.as_str());
    assert_eq!((keys.collect::<Vec<_>>(), listed.damaged), (vec!["b"], 1));
    let damaged = || Reply::Refused(Refusal::LimitDamaged(limit_key("a")));
    let of = ShowLimit {
        limit: name("a"),
        holders_max: 1,
        holders_after: None,
        waiters_max: 1,
    };
    assert_eq!(shard.run(&Command::ShowLimit(of)), damaged());
    let pause = SetLimit {
        limit: name("a"),
        change: LimitChange::Pause,
    };
    assert_eq!(shard.run(&Command::SetLimit(pause)), damaged());
    let wait = waits(&mut shard, "3");
    assert_eq!(wait.limits[0].obstacle, Some(Obstacle::Damaged));

    assert_eq!(recount(&mut shard), 1);
    let mended = |notice: &Notice| matches!(notice, Notice::Mended(_));
    assert!(shard.notices.iter().any(mended));
    assert_eq!(row(&shard, "a"), before);
    shard.is_damaged = false;
    assert_eq!(recount(&mut shard), 0);
    let task = shard.lease_one();
    succeed(&mut shard, &task);
    assert!(is_ready(&shard, "3"));
}

#[test]
fn a_damaged_row_that_nobody_needs_goes() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["1"], &[("a", 2)]);
    shard.damage(&Limits::key(&name("a")));
    shard.delete(&job("t", "1"));
    assert_eq!(recount(&mut shard), 1);
    assert!(!shard.rows.map.contains_key(&Limits::key(&name("a"))));
}

#[test]
fn too_many_to_be_counted_at_once_are_not() {
    let mut shard = Shard::new();
    shard.is_checked = false;
    for number in 0..=RECOUNTED_MAX {
        shard.enqueue(plain(&format!("{number}")));
    }
    let refused = Refusal::TooManyToCount(tenant("t"));
    let reply = shard.run(&Command::RecountLimits(tenant("t")));
    assert_eq!(reply, Reply::Refused(refused));
    shard.delete(&job("t", "0"));
    assert_eq!(recount(&mut shard), 0);
}

#[test]
fn too_many_tickets_to_be_counted_at_once_are_not() {
    let mut shard = Shard::new();
    shard.is_checked = false;
    enqueue(&mut shard, &["1", "2"], &[("a", 1)]);
    let line = line_of(&shard, "2");
    for ticket in 0..=RECOUNTED_MAX as u64 {
        let row = Tickets::key(&line.ticket_key(&limit_key("a"), ticket));
        shard.rows.map.insert(row, encode(&TicketRow {}));
    }
    let refused = Refusal::TooManyToCount(tenant("t"));
    let reply = shard.run(&Command::RecountLimits(tenant("t")));
    assert_eq!(reply, Reply::Refused(refused));
    let one = line.ticket_key(&limit_key("a"), 0);
    shard.rows.map.remove(&Tickets::key(&one));
    assert_eq!(
        recount(&mut shard),
        0,
        "no row of a limit or a line differs"
    );
    assert_eq!(shard.image().tickets.len(), 0);
}
