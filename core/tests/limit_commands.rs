//! What operators do with limits and see of them, and why a job does not run.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use common::{
    Shard, failure, group, ids, job, limit_key, limited, plain, queue, retrying, success, tenant,
    worker,
};
use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::Enqueue;
use silo_core::shard::commands::list_limits::ListLimits;
use silo_core::shard::commands::recount::RECOUNTED_MAX;
use silo_core::shard::commands::report::Outcome;
use silo_core::shard::commands::set_limit::{LimitChange, SetLimit};
use silo_core::shard::commands::show_limit::{HOLDERS_SCANNED_MAX, ShowLimit};
use silo_core::shard::decision::Notice;
use silo_core::shard::limits::search::{LOOKS_MAX, PASSES_MAX};
use silo_core::shard::refusal::Refusal;
use silo_core::shard::reply::{Reply, Task};
use silo_core::shard::seen::{
    Count, DueBecause, Explanation, LimitPage, LimitShown, LimitView, Obstacle, Wait,
};
use silo_core::table::Table as _;
use silo_core::table::codec::encode;
use silo_core::table::limit::{LimitName, LimitRow, Limits};
use silo_core::table::state::{Ended, Position, States};
use silo_core::types::time::{Millis, Timestamp};

fn name(key: &str) -> LimitName {
    LimitName {
        tenant: tenant("t"),
        key: limit_key(key),
    }
}

fn row(shard: &Shard, key: &str) -> Option<LimitRow> {
    shard.image().limits.get(&name(key)).cloned()
}

fn set(shard: &mut Shard, key: &str, change: LimitChange) {
    let limit = name(key);
    let reply = shard.run(&Command::SetLimit(SetLimit { limit, change }));
    assert_eq!(reply, Reply::LimitSet);
}

fn enqueue(shard: &mut Shard, ids: &[&str], limits: &[(&str, u32)]) {
    for id in ids {
        shard.enqueue(limited(id, limits));
    }
}

fn is_parked(shard: &Shard, id: &str) -> bool {
    matches!(shard.state(&job("t", id)).position, Position::Parked { .. })
}

fn is_ready(shard: &Shard, id: &str) -> bool {
    matches!(shard.state(&job("t", id)).position, Position::Ready(_))
}

fn succeed(shard: &mut Shard, task: &Task) {
    assert_eq!(shard.report(&task.id, success()), Reply::Reported);
}

/// Asks for something that changes nothing.
fn ask(shard: &mut Shard, command: &Command) -> Reply {
    let before = shard.rows.clone();
    let reply = shard.run(command);
    assert!(shard.rows == before && shard.changes.is_empty());
    reply
}

fn page(shard: &mut Shard, prefix: &str, after: Option<&str>, limits_max: u32) -> LimitPage {
    let list = ListLimits {
        tenant: tenant("t"),
        prefix: prefix.to_owned(),
        after: after.map(limit_key),
        limits_max,
    };
    match ask(shard, &Command::ListLimits(list)) {
        Reply::Limits(page) => page,
        other => panic!("{other:?}"),
    }
}

fn show(shard: &mut Shard, show: ShowLimit) -> LimitShown {
    match ask(shard, &Command::ShowLimit(show)) {
        Reply::Limit(shown) => *shown,
        other => panic!("{other:?}"),
    }
}

/// A limit with at most so many jobs of each kind.
fn shown(shard: &mut Shard, key: &str, jobs_max: u32) -> LimitShown {
    let of = ShowLimit {
        limit: name(key),
        holders_max: jobs_max,
        holders_after: None,
        waiters_max: jobs_max,
    };
    show(shard, of)
}

fn view(shard: &mut Shard, key: &str) -> LimitView {
    shown(shard, key, 0).limit.expect("a limit in use")
}

fn explain(shard: &mut Shard, id: &str) -> Explanation {
    match ask(shard, &Command::Explain(job("t", id))) {
        Reply::Explained(queue, explanation) => {
            assert_eq!(queue.group, group("g"));
            explanation
        }
        other => panic!("{other:?}"),
    }
}

fn waits(shard: &mut Shard, id: &str) -> Wait {
    match explain(shard, id) {
        Explanation::Waits(wait) => *wait,
        other => panic!("{other:?}"),
    }
}

fn recount(shard: &mut Shard) -> u64 {
    match shard.run(&Command::RecountLimits(tenant("t"))) {
        Reply::Recounted { differed } => differed,
        other => panic!("{other:?}"),
    }
}

fn exactly(number: u64) -> Count {
    Count {
        number,
        is_exact: true,
    }
}

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
    for pages in 1.. {
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
            of: 1
        }
    );
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
