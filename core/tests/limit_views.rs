//! What operators see of limits, and why a job does not run.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use common::limits::*;
use common::{
    Shard, failure, job, limit_key, limited, pause_queue, plain, queue, retrying, tenant, worker,
};
use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::Enqueue;
use silo_core::shard::commands::report::Outcome;
use silo_core::shard::commands::set_limit::LimitChange;
use silo_core::shard::commands::show_limit::{HOLDERS_SCANNED_MAX, LINES_SHOWN, ShowLimit};
use silo_core::shard::refusal::{Paused, Refusal};
use silo_core::shard::reply::Reply;
use silo_core::shard::seen::{Count, DueBecause, Explanation, LimitPage, Obstacle};
use silo_core::table::Table as _;
use silo_core::table::state::{Ended, States};
use silo_core::types::time::{Millis, Timestamp};

#[test]
fn limits_are_listed_in_pages_with_who_waits() {
    let mut shard = Shard::new();
    assert_eq!(page(&mut shard, "", None, 10), LimitPage::default());
    enqueue(&mut shard, &["1", "2", "3"], &[("mail/a", 1)]);
    shard.now += 5;
    enqueue(&mut shard, &["4"], &[("mail/a", 1), ("mail/b", 3)]);
    enqueue(&mut shard, &["5"], &[("mail/b", 3)]);
    enqueue(&mut shard, &["6"], &[("print", 2)]);
    shard.enqueue(Enqueue {
        tenant: tenant("other"),
        ..limited("7", &[("mail/c", 1)])
    });
    let all = page(&mut shard, "", None, 10);
    let keys = |page: &LimitPage| -> Vec<String> {
        let keys = page.limits.iter().map(|limit| limit.key.to_string());
        keys.collect()
    };
    assert_eq!(keys(&all), ["mail/a", "mail/b", "print"]);
    assert_eq!((all.damaged, all.next), (0, None));
    let a = &all.limits[0];
    assert_eq!((a.held, a.slots, a.waiting), (1, 1, exactly(3)));
    let first = a.first.as_ref().expect("somebody waits");
    assert_eq!(first.job.as_str(), "2");
    assert_eq!(first.since, Timestamp::from_millis(shard.now - 5));
    let b = &all.limits[1];
    assert_eq!(
        (b.held, b.waiting),
        (1, exactly(0)),
        "4 waits for the other"
    );
    assert_eq!(b.first, None);

    let first = page(&mut shard, "mail/", None, 1);
    assert_eq!(keys(&first), ["mail/a"]);
    assert_eq!(first.next, Some(limit_key("mail/a")));
    let second = page(&mut shard, "mail/", Some("mail/a"), 1);
    assert_eq!(keys(&second), ["mail/b"]);
    let last = page(&mut shard, "mail/", Some("mail/b"), 1);
    assert_eq!(last, LimitPage::default());
    assert_eq!(keys(&page(&mut shard, "", Some("mail/bb"), 0)), ["print"]);
}

/// Not the oldest of all: the oldest of the priority that is the next.
#[test]
fn of_those_that_wait_the_first_in_order_is_listed_and_since_when() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["holds"], &[("a", 1)]);
    let first = |shard: &mut Shard| {
        let first = page(shard, "a", None, 1).limits.remove(0).first;
        let first = first.expect("somebody waits");
        let since = first.since.as_millis() - common::START;
        (first.job.to_string(), since)
    };
    for (at, id, priority, others) in [
        (10, "low", 50, &[][..]),
        (20, "1", 10, &[]),
        (30, "2", 10, &[("b", 1)]),
    ] {
        shard.now = common::START + at;
        let limits = [&[("a", 1)], others].concat();
        shard.enqueue(Enqueue {
            queue: queue("g", priority),
            ..limited(id, &limits)
        });
    }
    assert_eq!(first(&mut shard), ("1".to_owned(), 20));
    shard.now = common::START + 40;
    shard.cancel(&job("t", "1"));
    assert_eq!(first(&mut shard), ("2".to_owned(), 30), "of another line");
    shard.expedite(&job("t", "low"));
    assert_eq!(first(&mut shard), ("low".to_owned(), 40));
}

#[test]
fn of_many_lines_at_least_so_many_are_told_to_wait() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["holds"], &[("a", 1)]);
    for number in 0..10 {
        let own = format!("own{number}");
        enqueue(&mut shard, &[&format!("{number}")], &[("a", 1), (&own, 1)]);
    }
    let listed = page(&mut shard, "a", None, 1).limits.remove(0);
    let at_least = Count {
        number: 10,
        is_exact: false,
    };
    assert_eq!(listed.waiting, at_least);
    assert_eq!(view(&mut shard, "a").waiting, exactly(10));
    let wait = waits(&mut shard, "9");
    assert_eq!((wait.before, wait.of), (exactly(0), 1));
    assert_eq!(wait.lines_before, exactly(9));
}

#[test]
fn a_limit_is_shown_with_who_holds_and_who_waits_in_their_order() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["other"], &[("b", 1)]);
    enqueue(&mut shard, &["1", "2", "3"], &[("a", 2), ("b", 9)]);
    enqueue(&mut shard, &["4", "5"], &[("a", 2)]);
    shard.enqueue(Enqueue {
        queue: queue("g", 1),
        ..limited("first", &[("a", 2)])
    });
    enqueue(&mut shard, &["6"], &[("a", 2), ("b", 9)]);
    shard.expedite(&job("t", "6"));
    let lease = silo_core::shard::commands::lease_job::LeaseJob {
        key: job("t", "2"),
        grantee: common::grantee("w"),
    };
    shard.now += 7;
    shard.run(&Command::LeaseJob(lease));
    let seen = shown(&mut shard, "a", 100);
    let holders: Vec<_> = seen
        .holders
        .iter()
        .map(|holder| (holder.job.as_str(), holder.worker.is_some(), holder.since))
        .collect();
    let (now, then) = (
        Timestamp::from_millis(shard.now),
        Timestamp::from_millis(shard.now - 7),
    );
    assert_eq!(holders, [("2", true, now), ("1", false, then)]);
    let waiters: Vec<_> = seen.waiters.iter().map(|it| it.job.as_str()).collect();
    assert_eq!(waiters, ["6", "first", "3", "4", "5"]);
    assert!(seen.waiters[0].is_expedited && !seen.waiters[1].is_expedited);
    assert_eq!(seen.waiters[1].priority, queue("g", 1).priority);
    assert_eq!(seen.next, None);

    let cut = shown(&mut shard, "a", 1);
    assert_eq!((cut.holders.len(), cut.waiters.len()), (1, 1));
    let rest = ShowLimit {
        limit: name("a"),
        holders_max: 9,
        holders_after: cut.next,
        waiters_max: 0,
    };
    let rest = show(&mut shard, rest);
    assert_eq!(rest.holders, seen.holders[1..]);
    assert_eq!((rest.next, rest.waiters), (None, Vec::new()));
    let unused = shown(&mut shard, "unused", 9);
    assert_eq!((unused.limit, unused.holders), (None, Vec::new()));
}

#[test]
fn who_holds_is_found_among_many_that_do_not() {
    let mut shard = Shard::new();
    shard.is_checked = false;
    for number in 0..HOLDERS_SCANNED_MAX + 10 {
        shard.enqueue(plain(&format!("{number}")));
    }
    enqueue(&mut shard, &["holds"], &[("a", 1)]);
    let mut holders = Vec::new();
    let mut after = None;
    for pages in 1..10 {
        let of = ShowLimit {
            limit: name("a"),
            holders_max: 5,
            holders_after: after,
            waiters_max: 0,
        };
        let seen = show(&mut shard, of);
        holders.extend(seen.holders);
        after = seen.next;
        if after.is_none() {
            assert_eq!(pages, 2);
            break;
        }
    }
    assert_eq!(after, None, "it comes to an end");
    assert_eq!(holders.len(), 1);
    assert_eq!(holders[0].job.as_str(), "holds");
}

#[test]
fn an_explanation_tells_what_a_job_waits_for() {
    let mut shard = Shard::new();
    let at = |millis| Timestamp::from_millis(common::START + millis);
    let start_at = Some(at(1000));
    shard.enqueue(Enqueue {
        start_at,
        ..limited("late", &[("a", 1)])
    });
    assert_eq!(
        explain(&mut shard, "late"),
        Explanation::NotDue {
            until: at(1000),
            because: DueBecause::Start
        }
    );
    enqueue(&mut shard, &["1"], &[("a", 1)]);
    assert_eq!(
        explain(&mut shard, "1"),
        Explanation::Ready {
            since: at(0),
            before: exactly(0),
            of: 1,
            paused: None
        }
    );
    shard.run(&pause_queue("g", None, true));
    assert!(matches!(
        explain(&mut shard, "1"),
        Explanation::Ready {
            paused: Some(Paused::Queue(_)),
            ..
        }
    ));
    shard.run(&pause_queue("g", None, false));
    shard.now += 10;
    let task = shard.lease_one();
    let runs = |cancel_asked_at| Explanation::Runs {
        worker: worker("w"),
        since: at(10),
        attempt: 1,
        cancel_asked_at,
    };
    assert_eq!(explain(&mut shard, "1"), runs(None));
    shard.now += 10;
    shard.cancel(&job("t", "1"));
    assert_eq!(explain(&mut shard, "1"), runs(Some(at(20))));

    enqueue(&mut shard, &["2", "3"], &[("a", 1), ("b", 5)]);
    let wait = waits(&mut shard, "3");
    assert_eq!(
        (wait.since, wait.before, wait.of),
        (at(20), exactly(1), 2),
        "{wait:?}"
    );
    assert_eq!(wait.at, limit_key("a"));
    let facts: Vec<_> = wait.limits.iter().map(|it| (it.held, it.slots)).collect();
    assert_eq!(facts, [(1, 1), (0, 5)]);
    assert_eq!(wait.limits[0].obstacle, Some(Obstacle::Full));
    assert_eq!(wait.limits[1].obstacle, None, "not in use: as the job says");
    assert_eq!(wait.holders.len(), 1);
    assert_eq!(wait.holders[0].job.as_str(), "1");
    assert!(!wait.has_ticket && !wait.is_expedited && !wait.is_to_be_searched);

    set(&mut shard, "a", LimitChange::Pause);
    let wait = waits(&mut shard, "2");
    assert_eq!(wait.limits[0].obstacle, Some(Obstacle::Paused));
    set(&mut shard, "a", LimitChange::Resume);
    set(&mut shard, "a", LimitChange::Maximum(0));
    let wait = waits(&mut shard, "2");
    assert_eq!(wait.limits[0].obstacle, Some(Obstacle::Paused));
    set(&mut shard, "a", LimitChange::Clear);
    enqueue(&mut shard, &["none"], &[("a", 0)]);
    let wait = waits(&mut shard, "2");
    assert_eq!(wait.limits[0].obstacle, Some(Obstacle::MaximumZero));

    shard.report(&task.id, Outcome::Cancelled);
    assert_eq!(
        explain(&mut shard, "1"),
        Explanation::Ended {
            status: Ended::Cancelled,
            at: at(20),
            code: None
        }
    );
    let unknown = ask(&mut shard, &Command::Explain(job("t", "nobody")));
    let nobody = Refusal::JobNotFound(job("t", "nobody"));
    assert_eq!(unknown, Reply::Refused(nobody));
}

#[test]
fn an_explanation_tells_a_back_off_from_a_snooze() {
    let mut shard = Shard::new();
    shard.enqueue(retrying("j", 3));
    let task = shard.lease_one();
    shard.report(&task.id, failure());
    let until = Timestamp::from_millis(shard.now + 1000);
    let because = DueBecause::BackOff;
    assert_eq!(
        explain(&mut shard, "j"),
        Explanation::NotDue { until, because }
    );
    shard.pass(1000);
    let task = shard.lease_one();
    let delay = Millis::new(30);
    shard.report(&task.id, Outcome::Snooze { delay });
    let until = Timestamp::from_millis(shard.now + 30);
    let because = DueBecause::Snooze;
    assert_eq!(
        explain(&mut shard, "j"),
        Explanation::NotDue { until, because }
    );
}

#[test]
fn an_explanation_counts_who_is_ready_before() {
    let mut shard = Shard::new();
    for id in ["1", "2", "3"] {
        shard.enqueue(plain(id));
    }
    for (id, group, priority) in [("high", "g", 1), ("low", "g", 50), ("other", "h", 0)] {
        shard.enqueue(Enqueue {
            queue: queue(group, priority),
            ..plain(id)
        });
    }
    let before = |shard: &mut Shard, id| match explain(shard, id) {
        Explanation::Ready { before, of, .. } => (before, of),
        other => panic!("{other:?}"),
    };
    assert_eq!(before(&mut shard, "high"), (exactly(0), 5));
    assert_eq!(before(&mut shard, "3"), (exactly(3), 5));
    assert_eq!(before(&mut shard, "low"), (exactly(4), 5));
    shard.lease(2);
    assert_eq!(before(&mut shard, "3"), (exactly(1), 3));
    shard.is_checked = false;
    for number in 0..1100 {
        shard.enqueue(plain(&format!("n{number}")));
    }
    let (count, of) = before(&mut shard, "n1099");
    assert_eq!((count.number, count.is_exact, of), (1000, false, 1103));
}

#[test]
fn an_explanation_of_a_damaged_job_says_what_is_wrong_with_it() {
    let mut shard = Shard::new();
    enqueue(&mut shard, &["1", "2"], &[("a", 1)]);
    shard.damage(&States::key(&job("t", "1")));
    let reply = shard.run(&Command::Explain(job("t", "1")));
    let Reply::Explained(_, Explanation::Quarantined { reason, at }) = reply else {
        panic!("{reply:?}")
    };
    assert!(reason.contains("State row"), "{reason}");
    assert_eq!(at, Timestamp::from_millis(shard.now));
    shard.settle();
    assert!(is_ready(&shard, "2"), "it gave its slot back");
}

/// Of more lines than are gone through, who waits is shown as far as it is certain that nobody
/// of another line stands between.
#[test]
fn nobody_is_shown_who_may_come_after_one_that_is_not() {
    let mut shard = Shard::new();
    shard.is_checked = false;
    enqueue(&mut shard, &["runs"], &[("a", 1)]);
    for round in ["x", "y"] {
        for number in 0..LINES_SHOWN + 6 {
            shard.now += 1;
            let own = format!("own-{number:02}");
            let id = format!("{round}-{number:02}");
            enqueue(&mut shard, &[&id], &[("a", 1), (&own, 1)]);
        }
    }
    let first = (0..LINES_SHOWN).map(|number| format!("x-{number:02}"));
    let shown = shown(&mut shard, "a", 1000);
    let ids = shown.waiters.iter().map(|waiter| waiter.job.as_str());
    assert!(ids.eq(first));
    let waiting = shown.limit.unwrap().waiting;
    assert!(!waiting.is_exact && waiting.number >= (2 * LINES_SHOWN + 6) as u64);
}
