//! Limits, one promise at a time: who gets a slot, who waits, who is next.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use common::limits::*;
use common::{Shard, failure, ids, job, lease_job, limit_key, limited, policy, queue, success};
use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::{Enqueue, EnqueueAll};
use silo_core::shard::commands::report::Outcome;
use silo_core::shard::limits::search::{LOOKS_MAX, PASSES_MAX};
use silo_core::shard::refusal::Refusal;
use silo_core::shard::reply::{Reply, Task};
use silo_core::shard::soft::Soft;
use silo_core::table::codec::encode;
use silo_core::table::line::{LineRow, Lines};
use silo_core::table::state::Status;
use silo_core::table::{Table as _, TableId};
use silo_core::types::limit::{LIMITS_MAX, check_limits};
use silo_core::types::time::{Millis, Timestamp};

fn held(shard: &Shard, key: &str) -> u32 {
    row(shard, key).map_or(0, |row| row.held)
}

/// Rows of tables that only limits use.
fn rows_of_limits(shard: &Shard) -> usize {
    let rows = shard.rows.map.keys();
    rows.filter(|key| key[0] >= TableId::Limit.byte()).count()
}

#[test]
fn no_more_run_at_once_than_a_limit_has_slots_and_all_run_in_order() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["1", "2", "3", "4", "5"], &[("a", 2)]);
    let mut tasks = shard.lease(9);
    assert_eq!(ids(&tasks), ["1", "2"]);
    for next in ["3", "4", "5"] {
        succeed(&mut shard, &tasks.remove(0));
        let task = shard.lease_one();
        assert_eq!(task.id.job.as_str(), next, "at once, and in order");
        tasks.push(task);
    }
    for task in tasks {
        succeed(&mut shard, &task);
    }
    assert_eq!(
        rows_of_limits(&shard),
        0,
        "nothing is left of what nobody uses"
    );
}

#[test]
fn a_slot_is_taken_when_a_job_may_run_and_kept_until_it_is_over() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["1"], &[("a", 1)]);
    assert_eq!(held(&shard, "a"), 1, "ready");
    let task = shard.lease_one();
    assert_eq!(held(&shard, "a"), 1, "leased");
    succeed(&mut shard, &task);
    assert_eq!(held(&shard, "a"), 0, "over");
    assert_eq!(row(&shard, "a"), None);
}

#[test]
fn all_slots_are_taken_together_or_none() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["a"], &[("a", 1)]);
    enqueue(&mut shard, &["both"], &[("a", 1), ("b", 1)]);
    assert!(is_parked(&shard, "both"));
    assert_eq!(held(&shard, "b"), 0, "who waits holds nothing");
    enqueue(&mut shard, &["b"], &[("b", 1)]);
    assert!(is_ready(&shard, "b"), "and keeps nobody waiting");
    let tasks = shard.lease(9);
    succeed(&mut shard, &tasks[0]);
    assert!(is_parked(&shard, "both"), "now for the other");
    succeed(&mut shard, &tasks[1]);
    assert!(is_ready(&shard, "both"));
    assert_eq!((held(&shard, "a"), held(&shard, "b")), (1, 1));
}

/// Every way out of a run gives slots back, and whoever waits runs.
#[test]
fn every_way_out_gives_the_slot_to_the_next() {
    let ends: [fn(&mut Shard, &Task); 6] = [
        |shard, task| drop(shard.report(&task.id, success())),
        |shard, task| drop(shard.report(&task.id, failure())),
        |shard, task| {
            let key = job("t", "1");
            shard.cancel(&key);
            shard.report(&task.id, Outcome::Cancelled);
        },
        |shard, task| {
            let delay = Millis::new(60_000);
            shard.report(&task.id, Outcome::Snooze { delay });
        },
        |shard, task| {
            shard.heartbeat(&task.id);
            shard.pass(20_000);
        },
        |shard, task| {
            shard.heartbeat(&task.id);
            shard.cancel(&job("t", "1"));
            shard.pass(20_000);
            assert_eq!(shard.status(&job("t", "1")), Status::Cancelled);
        },
    ];
    for (number, end) in ends.into_iter().enumerate() {
        let mut shard = Shard::new();
        enqueue(&mut shard, &["1", "2"], &[("a", 1)]);
        let task = shard.lease_one();
        end(&mut shard, &task);
        assert!(is_ready(&shard, "2"), "way {number}");
        assert_eq!(held(&shard, "a"), 1, "way {number}");
    }
}

#[test]
fn a_ready_job_that_is_cancelled_or_deleted_gives_its_slot_to_the_next() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["1", "2", "3"], &[("a", 1)]);
    shard.cancel(&job("t", "1"));
    assert!(is_ready(&shard, "2"));
    shard.delete(&job("t", "2"));
    assert!(is_ready(&shard, "3"));
}

#[test]
fn a_job_that_waits_can_be_cancelled_and_deleted_and_is_passed_by() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["1", "2", "3", "4", "5"], &[("a", 1)]);
    let task = shard.lease_one();
    assert_eq!(shard.cancel(&job("t", "2")), Reply::Cancelled, "the first");
    assert_eq!(
        shard.delete(&job("t", "4")),
        Reply::Deleted,
        "in the middle"
    );
    assert_eq!(shard.cancel(&job("t", "5")), Reply::Cancelled, "the last");
    succeed(&mut shard, &task);
    let task = shard.lease_one();
    assert_eq!(task.id.job.as_str(), "3");
    succeed(&mut shard, &task);
    assert_eq!(shard.lease(9), []);
    assert_eq!(rows_of_limits(&shard), 0);
}

#[test]
fn what_is_released_goes_before_those_that_came_later() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["1", "2"], &[("a", 1)]);
    let task = shard.lease_one();
    shard.now += 1000;
    shard.report(&task.id, Outcome::Release);
    assert!(is_ready(&shard, "1"), "at its old place it is the first");
    assert!(is_parked(&shard, "2"));
}

#[test]
fn a_retry_waits_its_turn_like_any_other() {
    let mut shard = Shard::new();
    let mut first = limited("1", &[("a", 1)]);
    first.retry = Some(policy(3));
    shard.enqueue(first);
    enqueue(&mut shard, &["2"], &[("a", 1)]);
    let task = shard.lease_one();
    shard.report(&task.id, failure());
    assert!(is_ready(&shard, "2"), "a back-off holds nothing");
    shard.pass(60_000);
    assert!(
        is_parked(&shard, "1"),
        "its time has come, and it has no slot"
    );
    let task = shard.lease_one();
    succeed(&mut shard, &task);
    assert!(is_ready(&shard, "1"));
}

#[test]
fn a_job_with_a_late_start_holds_nothing_and_enters_as_if_it_came_then() {
    let mut shard = Shard::new();
    let start = Some(Timestamp::from_millis(shard.now + 1000));
    shard.enqueue(Enqueue {
        start_at: start,
        ..limited("late", &[("a", 1)])
    });
    assert_eq!(row(&shard, "a"), None);
    enqueue(&mut shard, &["now"], &[("a", 1)]);
    shard.pass(1000);
    assert!(is_ready(&shard, "now") && is_parked(&shard, "late"));
}

#[test]
fn priority_comes_first_among_those_that_wait() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["holds"], &[("a", 1)]);
    for (id, priority) in [("low", 50), ("high", 1), ("middle", 10)] {
        shard.enqueue(Enqueue {
            queue: queue("g", priority),
            ..limited(id, &[("a", 1)])
        });
    }
    for next in ["high", "middle", "low"] {
        let task = shard.lease_one();
        succeed(&mut shard, &task);
        assert!(is_ready(&shard, next), "{next}");
    }
}

#[test]
fn a_job_that_waits_and_is_expedited_is_the_next() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["1", "2", "3", "4"], &[("a", 1)]);
    assert_eq!(shard.expedite(&job("t", "4")), Reply::Expedited);
    assert!(is_parked(&shard, "4"), "it passes no limit by");
    assert_eq!(shard.expedite(&job("t", "3")), Reply::Expedited);
    assert_eq!(shard.expedite(&job("t", "4")), Reply::Expedited, "again");
    for next in ["4", "3", "2"] {
        let task = shard.lease_one();
        succeed(&mut shard, &task);
        assert!(is_ready(&shard, next), "{next}");
    }
}

#[test]
fn a_job_that_is_restarted_takes_its_slots_as_for_any_run() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["1", "2"], &[("a", 1)]);
    shard.cancel(&job("t", "1"));
    assert_eq!(shard.restart(&job("t", "1")), Reply::Restarted);
    assert!(is_parked(&shard, "1") && is_ready(&shard, "2"));
}

#[test]
fn a_lease_of_one_given_job_takes_its_slots_or_is_refused() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["1", "2", "3"], &[("a", 1), ("b", 9)]);
    let full = |id: &str| {
        Reply::Refused(Refusal::LimitFull {
            key: job("t", id),
            limit: limit_key("a"),
        })
    };
    assert_eq!(shard.run(&lease_job(&job("t", "3"))), full("3"));
    let Reply::Leased(tasks) = shard.run(&lease_job(&job("t", "1"))) else {
        panic!("it is ready, and holds its slots");
    };
    assert_eq!(held(&shard, "a"), 1);
    // Another maximum lets both go on; the third is taken before its turn.
    let start = Some(Timestamp::from_millis(shard.now + 60_000));
    shard.enqueue(Enqueue {
        start_at: start,
        ..limited("late", &[("a", 3)])
    });
    assert!(is_ready(&shard, "2") && is_ready(&shard, "3"));
    assert_eq!(shard.run(&lease_job(&job("t", "late"))), full("late"));
    succeed(&mut shard, &tasks[0]);
    let Reply::Leased(_) = shard.run(&lease_job(&job("t", "late"))) else {
        panic!("there is a slot for it");
    };
    assert_eq!(held(&shard, "a"), 3);
}

/// A limit with room and more lines than one command looks at; those of "x" and "y", who want the
/// same, come last.
fn with_a_rest_to_search() -> Shard {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["holds"], &[("hot", 1)]);
    shard.is_checked = false;
    for number in 0..LOOKS_MAX {
        let own = format!("own{number}");
        enqueue(&mut shard, &[&own], &[("hot", 1), (&own, 1)]);
    }
    enqueue(&mut shard, &["x", "y"], &[("hot", 1), ("last", 2)]);
    shard.is_checked = true;
    enqueue(&mut shard, &["raises"], &[("hot", 1000)]);
    assert!(is_parked(&shard, "x") && is_parked(&shard, "y"));
    shard
}

#[test]
fn a_lease_out_of_turn_is_one_of_the_line() {
    let mut shard = with_a_rest_to_search();
    let image = shard.image();
    let (name, line) = image.lines.iter().find(|it| it.1.count == 2).unwrap();
    assert_eq!(line.first.as_str(), "x");
    // It was passed over before.
    let passed = LineRow {
        passes: PASSES_MAX - 1,
        ..line.clone()
    };
    shard.rows.map.insert(Lines::key(name), encode(&passed));
    let Reply::Leased(tasks) = shard.run(&lease_job(&job("t", "x"))) else {
        panic!("both of its limits have a slot for it");
    };
    assert_eq!(ids(&tasks), ["x"]);
    assert_eq!(held(&shard, "last"), 1);
    let image = shard.image();
    let line = &image.lines[name];
    assert_eq!(
        (line.first.as_str(), line.count),
        ("y", 1),
        "the next is first"
    );
    assert_eq!(line.passes, 0, "it had its turn");
    shard.settle();
    assert!(is_ready(&shard, "y"), "it is served as the others");
    assert_eq!(held(&shard, "last"), 2);
}

#[test]
fn another_maximum_counts_from_the_enqueue_that_says_it() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["1", "2", "3", "4"], &[("a", 3)]);
    assert_eq!(held(&shard, "a"), 3);
    enqueue(&mut shard, &["5"], &[("a", 1)]);
    let tasks = shard.lease(9);
    assert_eq!(tasks.len(), 3, "what runs goes on");
    succeed(&mut shard, &tasks[0]);
    succeed(&mut shard, &tasks[1]);
    assert_eq!(shard.lease(9), [], "none before it is below the maximum");
    succeed(&mut shard, &tasks[2]);
    assert_eq!(ids(&shard.lease(9)), ["4"]);
    enqueue(&mut shard, &["6"], &[("a", 9)]);
    assert_eq!(ids(&shard.lease(9)), ["5", "6"], "raised: at once");
}

#[test]
fn a_maximum_of_nothing_pauses_until_there_is_another() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["1", "2"], &[("a", 0)]);
    assert_eq!(shard.lease(9), []);
    enqueue(&mut shard, &["3"], &[("a", 1)]);
    assert_eq!(ids(&shard.lease(9)), ["1"]);
}

#[test]
fn limits_are_of_one_tenant() {
    let mut shard = Shard::new();
    for name in ["t", "u", "v"] {
        shard.enqueue(Enqueue {
            tenant: common::tenant(name),
            ..limited("j", &[("a", 1)])
        });
    }
    assert_eq!(shard.lease(9).len(), 3);
}

#[test]
fn a_limit_that_is_named_twice_counts_once_as_it_was_named_last() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["1", "2", "3"], &[("a", 1), ("a", 2)]);
    assert_eq!((held(&shard, "a"), shard.lease(9).len()), (2, 2));
}

#[test]
fn a_job_may_have_so_many_limits_and_no_more() {
    let keys: Vec<String> = (0..=LIMITS_MAX).map(|n| format!("k{n}")).collect();
    let limits: Vec<(&str, u32)> = keys.iter().map(|key| (key.as_str(), 1)).collect();
    let mut all = limited("1", &limits);
    assert!(check_limits(&all.limits).is_err() && all.check().is_err());
    all.limits.pop();
    all.check().expect("sixteen");
    let mut shard = Shard::new();
    shard.enqueue(all.clone());
    all.id = limited("2", &[]).id;
    shard.enqueue(all);
    let task = shard.lease_one();
    assert_eq!(task.limits.len(), LIMITS_MAX);
    assert_eq!(shard.lease(9), []);
    succeed(&mut shard, &task);
    assert_eq!(ids(&shard.lease(9)), ["2"]);
}

#[test]
fn jobs_that_are_taken_together_share_what_there_is() {
    let mut shard = Shard::new();
    let jobs = ["1", "2", "3"].map(|id| limited(id, &[("a", 2)])).to_vec();
    let all = Command::EnqueueAll(EnqueueAll { jobs });
    assert!(matches!(shard.run(&all), Reply::EnqueuedAll(_)));
    assert_eq!(ids(&shard.lease(9)), ["1", "2"]);
}

#[test]
fn whoever_wants_both_has_them_before_whoever_came_later_for_one() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["a"], &[("a", 1)]);
    enqueue(&mut shard, &["both"], &[("a", 1), ("b", 2)]);
    enqueue(&mut shard, &["b1", "b2"], &[("b", 2)]);
    enqueue(&mut shard, &["same"], &[("a", 1)]);
    let tasks = shard.lease(9);
    assert_eq!(ids(&tasks), ["a", "b1", "b2"]);
    succeed(&mut shard, &tasks[1]);
    succeed(&mut shard, &tasks[0]);
    assert!(is_ready(&shard, "both") && is_parked(&shard, "same"));
}

/// There is a slot for it, and others are still to be looked at.
#[test]
fn a_newcomer_stands_behind_those_that_are_still_to_be_looked_at() {
    let mut shard = with_a_rest_to_search();
    enqueue(&mut shard, &["newcomer"], &[("hot", 1000)]);
    assert!(row(&shard, "hot").unwrap().free() > 0);
    assert!(is_parked(&shard, "newcomer"));
    shard.settle();
    let order = ids(&shard.lease(1000)).join(" ");
    assert!(order.ends_with("x y raises newcomer"), "{order}");
}

/// Of two limits one is always busy with others: whoever wants both is passed over so often, and
/// then one slot of each is kept for it.
#[test]
fn whoever_is_passed_over_too_often_gets_a_ticket_and_runs() {
    runs_though_always_one_is_busy(&[("a", 1), ("b", 1)]);
}

/// A limit without a row is not one that is paused.
#[test]
fn so_does_whoever_wants_a_limit_besides_that_nobody_uses() {
    runs_though_always_one_is_busy(&[("a", 1), ("b", 1), ("unused", 1)]);
}

fn runs_though_always_one_is_busy(limits: &[(&str, u32)]) {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["a0"], &[("a", 1)]);
    enqueue(&mut shard, &["b0"], &[("b", 1)]);
    let mut tasks = shard.lease(9);
    enqueue(&mut shard, &["both"], limits);
    for number in 1..=PASSES_MAX + 4 {
        enqueue(&mut shard, &[&format!("a{number}")], &[("a", 1)]);
        enqueue(&mut shard, &[&format!("b{number}")], &[("b", 1)]);
    }
    let mut rounds = 0;
    while shard.status(&job("t", "both")) == Status::Scheduled && !is_ready(&shard, "both") {
        rounds += 1;
        assert!(rounds <= 2 * PASSES_MAX + 8, "it waits for ever");
        // Never both at the same time.
        let task = tasks.remove(0);
        succeed(&mut shard, &task);
        tasks.extend(shard.lease(9));
    }
    assert!(rounds > PASSES_MAX, "it was passed over");
    let runs = tasks.iter().any(|task| task.id.job.as_str() == "both");
    assert!(runs || is_ready(&shard, "both"));
}

#[test]
fn what_one_command_does_not_come_to_is_left_for_ticks_and_nobody_is_forgotten() {
    let mut shard = Shard::new();
    let many = LOOKS_MAX * 3;
    enqueue(&mut shard, &["holds"], &[("hot", 1)]);
    let holder = shard.lease_one();
    shard.is_checked = false;
    // Lines of their own: each wants a limit that nobody else wants.
    for number in 0..many {
        let own = format!("own{number}");
        enqueue(&mut shard, &[&own], &[("hot", 1), (&own, 1)]);
    }
    shard.is_checked = true;
    enqueue(&mut shard, &["raises"], &[("hot", 1000)]);
    assert!(
        !shard.image().admits.is_empty(),
        "more than one command does"
    );
    assert_eq!(shard.next_wake(), Some(Timestamp::from_millis(shard.now)));
    shard.soft = Soft::lost();
    shard.settle();
    assert!(shard.image().admits.is_empty());
    let ready = shard.lease(1000).len();
    assert_eq!(ready, many + 1);
    succeed(&mut shard, &holder);
}
