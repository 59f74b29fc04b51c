//! Corners of limits: what meets only seldom, and must not leave anybody waiting.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use common::limits::{
    enqueue, exactly, explain, is_parked, is_ready, line_of, name, recount, row, set, succeed,
    with_ticket,
};
use common::{
    Shard, attempted, failure, imported, job, limit_key, limited, of_tenant, pause_queue,
    pause_tenant, plain, queue, retrying, set_weight, tenant,
};
use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::Enqueue;
use silo_core::shard::commands::import::{ImportEnding, ImportJob};
use silo_core::shard::commands::report::Outcome;
use silo_core::shard::commands::set_limit::{LimitChange, SetLimit};
use silo_core::shard::commands::tenant::SetWeight;
use silo_core::shard::limits::search::{LOOKS_MAX, PASSES_MAX, TICK_LOOKS_MAX};
use silo_core::shard::refusal::QUEUES_MAX;
use silo_core::shard::reply::Task;
use silo_core::shard::seen::{DueBecause, Explanation};
use silo_core::shard::soft::Soft;
use silo_core::table::Table as _;
use silo_core::table::codec::encode;
use silo_core::table::limit::LimitName;
use silo_core::table::line::{LineId, LineName, LineRow, Lines};
use silo_core::table::state::{Position, States};
use silo_core::types::time::{Millis, Timestamp};
use silo_core::types::weight::Weight;

/// Ends whoever holds the limit where the line is not parked, then has one of a higher priority
/// wait for the other; the task that holds that.
fn with_one_before(shard: &mut Shard, mut tasks: Vec<Task>, first: &str) -> Task {
    let with_ticket = |line: &&LineRow| line.ticket.is_some();
    let at = shard
        .image()
        .lines
        .values()
        .find(with_ticket)
        .unwrap()
        .at
        .clone();
    let of_at = |task: &Task| task.id.job.as_str().starts_with(at.as_str());
    let here = tasks.iter().position(of_at).expect("it is full");
    let here = tasks.remove(here);
    succeed(shard, &tasks[0]);
    assert!(is_parked(shard, first), "and a slot is kept for it");
    shard.enqueue(Enqueue {
        queue: queue("g", 0),
        ..limited("urgent", &[(at.as_str(), 1)])
    });
    assert!(is_parked(shard, "urgent"));
    here
}

/// What is kept for a line is for its next job when its first cannot run.
#[test]
fn a_kept_slot_goes_to_the_next_of_the_line_when_the_first_is_damaged() {
    let mut shard = Shard::new();
    let both = ["both1", "both2"].map(|id| limited(id, &[("a", 1), ("b", 1)]));
    let tasks = with_ticket(&mut shard, both.to_vec());
    let here = with_one_before(&mut shard, tasks, "both1");
    shard.damage(&States::key(&job("t", "both1")));
    succeed(&mut shard, &here);
    shard.settle();
    assert!(is_ready(&shard, "both2"));
}

/// And for others, of all its limits, when it has no next.
#[test]
fn what_was_kept_for_a_damaged_job_goes_to_others() {
    let mut shard = Shard::new();
    let both = limited("both", &[("a", 1), ("b", 1)]);
    let tasks = with_ticket(&mut shard, vec![both]);
    let here = with_one_before(&mut shard, tasks, "both");
    shard.damage(&States::key(&job("t", "both")));
    succeed(&mut shard, &here);
    shard.settle();
    assert!(is_ready(&shard, "urgent"));
    assert_eq!(shard.lease(9).len(), 2, "one of each");
}

#[test]
fn a_kept_slot_goes_to_the_next_of_the_line_when_the_first_would_be_in_one_queue_too_many() {
    let mut shard = Shard::new();
    let mut both = ["both1", "both2"].map(|id| limited(id, &[("a", 1), ("b", 1)]));
    both[0].queue = queue("another", 10);
    let tasks = with_ticket(&mut shard, both.to_vec());
    let here = with_one_before(&mut shard, tasks, "both1");
    shard.is_checked = false;
    shard.enqueue(plain("ready"));
    for number in 1..QUEUES_MAX {
        shard.enqueue(Enqueue {
            queue: queue(&format!("q{number}"), 10),
            ..plain(&format!("q{number}"))
        });
    }
    shard.is_checked = true;
    succeed(&mut shard, &here);
    let state = shard.state(&job("t", "both1")).position;
    assert!(matches!(state, Position::Due(_)), "{state:?}");
    assert!(is_ready(&shard, "both2"));
}

/// What one tenant has left to be searched keeps no other tenant waiting.
#[test]
fn the_looks_of_a_tick_are_shared_by_all_tenants() {
    // Whichever of them is searched first.
    for (many, one) in [("a", "z"), ("z", "a")] {
        let mut shard = Shard::new();
        shard.is_checked = false;
        let of = |owner: &str, id: &str, key: &str| Enqueue {
            tenant: tenant(owner),
            ..limited(id, &[(key, 1)])
        };
        for number in 0..TICK_LOOKS_MAX * 8 {
            shard.enqueue(of(many, &format!("j{number}"), "hot"));
        }
        shard.enqueue(of(one, "runs", "k"));
        shard.enqueue(of(one, "waits", "k"));
        assert_eq!(shard.lease(9).len(), 2);
        shard.cancel(&job(one, "runs"));
        shard.now += 60_000;
        let limit = LimitName {
            tenant: tenant(many),
            ..name("hot")
        };
        let change = LimitChange::Maximum(u32::MAX);
        shard.run(&Command::SetLimit(SetLimit { limit, change }));
        shard.run(&Command::Tick);
        let position = shard.state(&job(one, "waits")).position;
        assert!(matches!(position, Position::Ready(_)), "{position:?}");
        assert!(shard.settle() > 4, "the other has more than that");
        assert!(shard.image().waiters.is_empty());
    }
}

/// Whoever stands first and wants what is paused as well gets no ticket; whoever comes next does.
#[test]
fn whoever_waits_behind_one_that_wants_what_is_paused_runs_all_the_same() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["a0"], &[("a", 1)]);
    enqueue(&mut shard, &["b0"], &[("b", 1)]);
    let mut tasks = shard.lease(9);
    enqueue(&mut shard, &["paused"], &[("a", 1), ("p", 1)]);
    set(&mut shard, "p", LimitChange::Pause);
    enqueue(&mut shard, &["both"], &[("a", 1), ("b", 1)]);
    for number in 1..=PASSES_MAX * 3 {
        enqueue(&mut shard, &[&format!("a{number}")], &[("a", 1)]);
        enqueue(&mut shard, &[&format!("b{number}")], &[("b", 1)]);
    }
    let mut rounds = 0;
    while is_parked(&shard, "both") {
        rounds += 1;
        assert!(rounds <= 3 * PASSES_MAX, "it waits for ever");
        let task = tasks.remove(0);
        succeed(&mut shard, &task);
        tasks.extend(shard.lease(9));
    }
    assert!(is_parked(&shard, "paused"));
    set(&mut shard, "p", LimitChange::Resume);
    for _ in 0..PASSES_MAX * 6 {
        tasks.extend(shard.lease(9));
        if tasks.is_empty() {
            break;
        }
        let task = tasks.remove(0);
        succeed(&mut shard, &task);
    }
    assert!(!is_parked(&shard, "paused"), "so does it, then");
}

#[test]
fn an_explanation_counts_who_is_ready_before_also_while_they_are_paused() {
    let pauses = [
        pause_tenant("t", true),
        pause_queue("g", Some("t"), true),
        pause_queue("g", None, true),
    ];
    for pause in pauses {
        let mut shard = Shard::new();
        for id in ["1", "2", "3"] {
            shard.enqueue(plain(id));
        }
        shard.run(&pause);
        match explain(&mut shard, "3") {
            Explanation::Ready { before, of, .. } => assert_eq!((before, of), (exactly(2), 3)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_explanation_tells_a_back_off_also_after_a_snooze() {
    let mut shard = Shard::new();
    shard.enqueue(retrying("j", 3));
    let task = shard.lease_one();
    let delay = Millis::new(30);
    shard.report(&task.id, Outcome::Snooze { delay });
    shard.pass(30);
    let task = shard.lease_one();
    shard.report(&task.id, failure());
    let until = Timestamp::from_millis(shard.now + 1000);
    let because = DueBecause::BackOff;
    let told = explain(&mut shard, "j");
    assert_eq!(told, Explanation::NotDue { until, because });
}

#[test]
fn a_damaged_line_with_a_ticket_does_not_have_ticks_go_on_for_ever() {
    let mut shard = Shard::new();
    let both = limited("both", &[("a", 1), ("b", 1)]);
    with_ticket(&mut shard, vec![both]);
    shard.is_checked = false;
    shard.damage(&Lines::key(&line_of(&shard, "both")));
    set(&mut shard, "a", LimitChange::Pause);
    shard.settle();
}

/// What is long over says nothing of how many run now.
#[test]
fn an_import_of_what_has_ended_leaves_the_maximum_alone() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["1", "2"], &[("a", 2)]);
    let ended = ImportEnding::Succeeded { data: "".into() };
    shard
        .import_one(ImportJob {
            limits: limited("x", &[("a", 0)]).limits,
            ..imported("old", vec![attempted(1, ended)])
        })
        .unwrap();
    assert_eq!(row(&shard, "a").unwrap().maximum, 2);
}

#[test]
fn the_largest_maxima_and_weights_overflow_nothing() {
    let mut shard = Shard::new();
    shard.run(&set_weight(
        "t",
        SetWeight::To(Weight::parse(Weight::MAX.into()).unwrap()),
    ));
    enqueue(&mut shard, &["1"], &[("a", u32::MAX), ("b", 0)]);
    assert!(is_parked(&shard, "1"));
    set(&mut shard, "b", LimitChange::Maximum(u32::MAX));
    enqueue(&mut shard, &["2", "3"], &[("a", u32::MAX), ("b", u32::MAX)]);
    let tasks = shard.lease(u32::MAX);
    assert_eq!(tasks.len(), 3);
    set(&mut shard, "a", LimitChange::Maximum(0));
    enqueue(&mut shard, &["4"], &[("a", u32::MAX)]);
    for task in &tasks {
        succeed(&mut shard, task);
    }
    assert!(is_parked(&shard, "4"));
    set(&mut shard, "a", LimitChange::Clear);
    assert!(is_ready(&shard, "4"));
    assert_eq!(recount(&mut shard), 0);
}

#[test]
fn what_is_set_and_cleared_during_a_pause_counts_after_it_in_any_order() {
    use LimitChange::{Clear, Maximum, Pause, Resume};
    let scripts: [&[LimitChange]; 6] = [
        &[Pause, Maximum(0), Resume, Clear],
        &[Pause, Maximum(3), Clear, Resume],
        &[Maximum(0), Pause, Clear, Resume],
        &[Maximum(0), Pause, Resume, Maximum(1)],
        &[Pause, Resume, Pause, Resume],
        &[Clear, Resume, Maximum(0), Clear],
    ];
    for script in scripts {
        for is_used in [false, true] {
            let mut shard = Shard::new();
            if is_used {
                enqueue(&mut shard, &["before"], &[("a", 1)]);
            }
            let half = script.len() / 2;
            for change in &script[..half] {
                set(&mut shard, "a", *change);
            }
            shard.delete(&job("t", "before"));
            enqueue(&mut shard, &["1", "2"], &[("a", 1)]);
            for change in &script[half..] {
                set(&mut shard, "a", *change);
            }
            assert!(is_ready(&shard, "1"), "{script:?}");
            let task = shard.lease_one();
            succeed(&mut shard, &task);
            let task = if is_ready(&shard, "2") {
                shard.lease_one()
            } else {
                panic!("{script:?}")
            };
            succeed(&mut shard, &task);
        }
    }
}

#[test]
fn a_tenant_that_is_paused_in_its_turn_has_one_when_it_is_resumed() {
    let mut shard = Shard::new();
    for (name, number) in [("t", 6), ("u", 6)] {
        shard.run(&set_weight(name, SetWeight::To(Weight::parse(3).unwrap())));
        for n in 0..number {
            shard.enqueue(of_tenant(name, &format!("{n}")));
        }
    }
    let of = |tasks: &[Task]| -> Vec<String> {
        tasks
            .iter()
            .map(|task| task.id.tenant.to_string())
            .collect()
    };
    assert_eq!(of(&shard.lease(1)), ["t"]);
    shard.run(&pause_tenant("t", true));
    assert_eq!(of(&shard.lease(1)), ["u"]);
    shard.run(&pause_tenant("t", false));
    assert_eq!(of(&shard.lease(6)), ["u", "u", "t", "t", "t", "u"]);
    shard.run(&pause_queue("g", None, true));
    shard.soft = Soft::lost();
    shard.settle();
    assert_eq!(shard.lease(9).len(), 0);
    shard.run(&pause_queue("g", None, false));
    assert_eq!(shard.lease(9).len(), 4, "nobody is left out");
}

#[test]
fn whoever_is_the_last_that_may_be_looked_at_leaves_nobody_behind() {
    let both = LOOKS_MAX + TICK_LOOKS_MAX;
    for many in [LOOKS_MAX, both].map(|n| [n - 1, n, n + 1]).concat() {
        for of_their_own in [false, true] {
            let mut shard = Shard::new();
            shard.is_checked = false;
            enqueue(&mut shard, &["holds"], &[("hot", 1)]);
            for number in 0..many {
                let own = format!("own{number}");
                let all = [("hot", 1), (own.as_str(), 1)];
                let wanted = if of_their_own { &all[..] } else { &all[..1] };
                shard.enqueue(limited(&own, wanted));
            }
            shard.is_checked = true;
            set(&mut shard, "hot", LimitChange::Maximum(u32::MAX));
            shard.settle();
            assert!(shard.image().admits.is_empty());
            assert_eq!(shard.lease(1000).len(), many + 1, "{of_their_own}");
        }
    }
}

/// Of those that want two limits that are searched together, nobody waits for ever: each has one of
/// its limits in common with the next, and the slots of all are given back at once.
#[test]
fn everybody_in_a_circle_of_limits_runs_however_their_lines_are_moved() {
    let mut shard = Shard::new();
    let keys: Vec<String> = (0..5).map(|n| format!("k{n}")).collect();
    for number in 0..200 {
        let (one, other) = (number % 5, (number + 1 + number / 5 % 4) % 5);
        let wanted = [(keys[one].as_str(), 1), (keys[other].as_str(), 1)];
        shard.enqueue(limited(&format!("{number}"), &wanted));
    }
    let mut ran = 0;
    for _ in 0..400 {
        let tasks = shard.lease(9);
        ran += tasks.len();
        for task in tasks {
            succeed(&mut shard, &task);
        }
    }
    assert_eq!(ran, 200);
    assert!(shard.image().limits.is_empty());
}

/// Of a limit that an operator has set it is known what the newest enqueue said, also while nobody
/// uses it.
#[test]
fn an_older_job_does_not_say_the_maximum_of_a_limit_that_is_set() {
    let mut shard = Shard::new();
    set(&mut shard, "a", LimitChange::Maximum(9));
    let start = Some(Timestamp::from_millis(shard.now + 1000));
    shard.enqueue(Enqueue {
        start_at: start,
        ..limited("older", &[("a", 1)])
    });
    enqueue(&mut shard, &["newest"], &[("a", 5)]);
    let task = shard.lease_one();
    succeed(&mut shard, &task);
    shard.pass(1000);
    assert!(is_ready(&shard, "older"));
    set(&mut shard, "a", LimitChange::Clear);
    assert_eq!(row(&shard, "a").unwrap().slots(), 5);
}

/// Whoever is the first to use a limit that was set before says what nobody had said.
#[test]
fn a_job_says_the_maximum_of_a_limit_that_was_set_before_anybody_had_said_it() {
    let mut shard = Shard::new();
    let start = Some(Timestamp::from_millis(shard.now + 1000));
    shard.enqueue(Enqueue {
        start_at: start,
        ..limited("waits", &[("a", 4)])
    });
    set(&mut shard, "a", LimitChange::Maximum(9));
    shard.pass(1000);
    assert!(is_ready(&shard, "waits"));
    set(&mut shard, "a", LimitChange::Clear);
    assert_eq!(row(&shard, "a").unwrap().slots(), 4);
}

/// Its place in the queue is that of the moment at which it was served; where it waited is another.
#[test]
fn what_has_waited_and_is_released_goes_before_those_that_came_later() {
    let mut shard = Shard::new();
    for id in ["1", "2", "3"] {
        shard.now += 1000;
        enqueue(&mut shard, &[id], &[("a", 1)]);
    }
    let task = shard.lease_one();
    shard.now += 1000;
    succeed(&mut shard, &task);
    for _ in 0..2 {
        let task = shard.lease_one();
        shard.report(&task.id, Outcome::Release);
        assert!(is_ready(&shard, "2") && is_parked(&shard, "3"));
    }
}

#[test]
fn what_has_waited_and_is_tried_again_begins_to_wait_anew() {
    let mut shard = Shard::new();
    for id in ["1", "2", "3"] {
        shard.now += 1000;
        enqueue(&mut shard, &[id], &[("a", 1)]);
    }
    let task = shard.lease_one();
    succeed(&mut shard, &task);
    let task = shard.lease_one();
    let delay = Millis::ZERO;
    shard.report(&task.id, Outcome::Snooze { delay });
    assert!(is_parked(&shard, "2") && is_ready(&shard, "3"));
}

/// Names of lines are hashes: two sets of limits may have one in common.
#[test]
fn a_line_that_has_the_name_of_another_takes_the_next() {
    let mut shard = Shard::new();
    let a = limit_key("a");
    let named = |n| LineName {
        tenant: tenant("t"),
        id: LineId::of([&a].into_iter(), n),
    };
    enqueue(&mut shard, &["runs"], &[("a", 1), ("b", 1)]);
    enqueue(&mut shard, &["other"], &[("b", 1)]);
    let other = shard.image().lines[&line_of(&shard, "other")].clone();
    shard.is_checked = false;
    shard.rows.map.insert(Lines::key(&named(0)), encode(&other));
    enqueue(&mut shard, &["1", "2"], &[("a", 1)]);
    assert_eq!(line_of(&shard, "1"), named(1));
    assert_eq!(line_of(&shard, "2"), named(1));
    let lines = shard.image().lines;
    assert_eq!((&lines[&named(0)], lines[&named(1)].count), (&other, 2));
}
