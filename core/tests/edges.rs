//! What random sequences seldom meet: clocks that go back, rows that are missing, large imports.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use std::cell::Cell;

use bytes::Bytes;
use common::{
    LEASE, Shard, attempted, failed_import, failure, get, ids, imported, job, lease_job, plain,
    request, retrying,
};
use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::Enqueue;
use silo_core::shard::commands::import::ImportEnding;
use silo_core::shard::commands::report::Outcome;
use silo_core::shard::commands::tick::turn::TICK_DUE_MAX;
use silo_core::shard::decide;
use silo_core::shard::decision::Notice;
use silo_core::shard::refusal::{QUEUE_WAIT, QUEUES_MAX, Refusal};
use silo_core::shard::reply::Reply;
use silo_core::shard::soft::Soft;
use silo_core::shard::view::{Need, Rows, View};
use silo_core::table::Table;
use silo_core::table::attempt::{AttemptKey, Attempts};
use silo_core::table::codec::encode;
use silo_core::table::job::{JobKey, Jobs};
use silo_core::table::key::{Key, KeyRange};
use silo_core::table::place::{Head, Place};
use silo_core::table::state::{EndCode, Ended, Position, States, Status};
use silo_core::table::tenant::Tenants;
use silo_core::types::retention::Retention;
use silo_core::types::retry::{Jitter, RetryPolicy};
use silo_core::types::time::{Millis, Timestamp};

#[test]
fn a_job_that_was_ready_before_the_clock_was_set_back_is_ready_after_its_release() {
    for is_lost in [true, false] {
        let mut shard = Shard::new();
        let key = shard.enqueue(plain("j"));
        shard.now -= 86_400_000;
        shard.soft = Soft::lost();
        shard.settle();
        let task = shard.lease_one();
        if is_lost {
            shard.pass(i64::try_from(LEASE).unwrap());
            assert_eq!(shard.state(&key).losses, 1);
        } else {
            shard.report(&task.id, Outcome::Release);
        }
        assert_eq!(ids(&shard.lease(1)), ["j"]);
    }
}

#[test]
fn the_id_of_a_job_whose_description_is_missing_is_taken() {
    let mut shard = Shard::new();
    let key = shard.enqueue(plain("j"));
    shard.rows.map.remove(&Jobs::key(&key));
    shard.is_checked = false;
    let reply = shard.run(&Command::Enqueue(Box::new(plain("j"))));
    assert_eq!(reply, Reply::Refused(Refusal::Quarantined(key.clone())));
    assert_eq!(shard.status(&key), Status::Quarantined);
    shard.is_checked = true;
    assert_eq!(shard.delete(&key), Reply::Deleted);
    assert!(shard.rows.map.is_empty(), "{:?}", shard.rows.map);
    shard.enqueue(plain("j"));
    assert_eq!(ids(&shard.lease(9)), ["j"]);
}

#[test]
fn nothing_is_left_of_a_job_set_aside_twice_that_is_deleted() {
    let mut shard = Shard::new();
    let key = shard.enqueue(retrying("j", 5));
    let large = Outcome::Failure {
        code: "E".to_owned(),
        data: Bytes::from(vec![1; 5000]),
        retryable: true,
        retry_after: Some(Millis::ZERO),
    };
    for _ in 0..3 {
        let task = shard.lease_one();
        shard.report(&task.id, large.clone());
        shard.settle();
    }
    // Once for an earlier attempt: it and those before it are given up.
    shard.damage(&Attempts::key(&AttemptKey::of(&key, 2)));
    shard.run(&get(&key));
    assert_eq!(shard.restart(&key), Reply::Restarted);
    // And once more for its description.
    shard.damage(&Jobs::key(&key));
    shard.run(&get(&key));
    assert_eq!(shard.status(&key), Status::Quarantined);
    assert_eq!(shard.delete(&key), Reply::Deleted);
    assert!(!shard.has_rows(&key), "{:?}", shard.image().payloads.keys());
}

fn large_failure(retry_after: u64) -> Outcome {
    Outcome::Failure {
        code: "E".to_owned(),
        data: Bytes::from(vec![1; 5000]),
        retryable: true,
        retry_after: Some(Millis::new(retry_after)),
    }
}

#[test]
fn a_job_with_large_data_is_given_back_with_what_can_still_be_told_apart() {
    let mut shard = Shard::new();
    let mut asked = retrying("j", 5);
    asked.payload = Bytes::from(vec![2; 5000]);
    let key = shard.enqueue(asked);
    for _ in 0..2 {
        let task = shard.lease_one();
        shard.report(&task.id, large_failure(0));
    }
    shard.damage(&States::key(&key));
    shard.run(&get(&key));
    assert_eq!(shard.restart(&key), Reply::Restarted);
    let slots: Vec<u32> = shard.image().payloads.keys().map(|at| at.slot).collect();
    assert_eq!(slots, [0, 1], "the latest error was in the state");
    shard.settle();
    assert_eq!(ids(&shard.lease(9)), ["j"]);
}

fn spread() -> RetryPolicy {
    RetryPolicy {
        jitter: Jitter::Decorrelated,
        max_interval: Millis::ZERO,
        ..common::policy(5)
    }
}

fn due_in(shard: &Shard, key: &JobKey) -> i64 {
    match shard.state(key).position {
        Position::Due(place) => place.at.as_millis() - shard.now,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_spread_delay_goes_on_from_the_delay_before_it_whoever_chose_that() {
    let mut of_worker = Vec::new();
    let mut of_import = Vec::new();
    for number in 0..20 {
        let mut shard = Shard::new();
        // What is drawn depends on how many commands came before.
        for _ in 0..number {
            shard.stamp();
        }
        let key = shard.enqueue(Enqueue {
            retry: Some(spread()),
            ..plain(&format!("j{number}"))
        });
        for retry_after in [Some(Millis::new(9000)), None] {
            let Reply::Leased(tasks) = shard.run(&lease_job(&key)) else {
                panic!("leased");
            };
            let failed = Outcome::Failure {
                code: "E".to_owned(),
                data: Bytes::new(),
                retryable: true,
                retry_after,
            };
            shard.report(&tasks[0].id, failed);
        }
        of_worker.push(due_in(&shard, &key));
        let key = job("t", &format!("i{number}"));
        let mut given = imported(key.job.as_str(), vec![attempted(1, failed_import())]);
        given.retry = Some(spread());
        shard.import_one(given).unwrap();
        let Reply::Leased(tasks) = shard.run(&lease_job(&key)) else {
            panic!("leased");
        };
        shard.report(&tasks[0].id, failure());
        of_import.push(due_in(&shard, &key));
    }
    let is_spread = |delays: &[i64], most: i64| {
        assert!(delays.iter().all(|delay| (1000..=most).contains(delay)));
        assert!(delays.iter().any(|delay| *delay > most / 2), "{delays:?}");
    };
    is_spread(&of_worker, 27_000);
    // The delay after the first failure is the one between 1 s and 3 s.
    is_spread(&of_import, 9000);
}

#[test]
fn an_imported_job_ended_when_its_last_attempt_did() {
    let succeeded = ImportEnding::Succeeded { data: Bytes::new() };
    for how in [failed_import(), succeeded, ImportEnding::Cancelled] {
        let mut shard = Shard::new();
        let last = attempted(1, how);
        shard.import_one(imported("j", vec![last.clone()])).unwrap();
        let state = shard.state(&job("t", "j"));
        let Position::Ended { at, code, .. } = state.position else {
            panic!("{state:?}");
        };
        assert_eq!((at, code), (last.finished_at, None));
        assert_eq!(state.changed_at, Timestamp::from_millis(shard.now));
    }
}

#[test]
fn more_history_of_a_job_that_is_here_respects_the_bound_on_queues() {
    let mut shard = Shard::new();
    shard.is_checked = false;
    let mut late = imported("late", vec![]);
    late.queue = common::queue("other", 1);
    late.start_at = Some(Timestamp::from_millis(shard.now + 1_000_000));
    late.retry = Some(common::policy(5));
    shard.import_one(late.clone()).unwrap();
    for number in 0..QUEUES_MAX {
        shard.enqueue(Enqueue {
            queue: common::queue(&format!("g{number}"), 1),
            ..plain(&format!("j{number}"))
        });
    }
    late.attempts.push(attempted(1, failed_import()));
    let tenant = common::tenant("t");
    let rows = shard.rows.clone();
    assert_eq!(
        shard.import_one(late),
        Err(Refusal::TooManyQueues { tenant })
    );
    assert!(shard.rows == rows);
}

#[test]
fn a_call_of_an_earlier_release_is_known_again_and_retention_makes_another_call() {
    let mut shard = Shard::new();
    let asked = |retention| Enqueue {
        request: request(1),
        retention,
        ..plain("j")
    };
    let key = shard.enqueue(asked(Retention::FOREVER));
    let known = shard.view(&key).job.request.unwrap();
    // As it was before jobs had a retention of their own.
    assert_eq!(
        u128::from_be_bytes(known.fingerprint),
        19_045_730_998_895_248_509_444_046_182_101_087_806,
    );
    let mut again = |retention| shard.run(&Command::Enqueue(Box::new(asked(retention))));
    assert_eq!(again(Retention::FOREVER), Reply::Enqueued(key.job.clone()));
    let kept = common::kept("x", 1).retention;
    let other = Reply::Refused(Refusal::JobExists(key.job.clone()));
    assert_eq!(again(kept), other);
}

#[test]
fn heads_that_count_what_is_not_there_are_mended_and_wake_nobody_again() {
    for is_due in [true, false] {
        let mut shard = Shard::new();
        shard.enqueue(plain("j"));
        let tenant = common::tenant("t");
        let mut row = shard.image().tenants[&tenant].clone();
        let at = Timestamp::from_millis(shard.now);
        let phantom = Some(Head::first(Place { at, seq: 0 }));
        if is_due {
            row.due = phantom;
        } else {
            row.expiry = phantom;
        }
        shard.rows.map.insert(Tenants::key(&tenant), encode(&row));
        shard.soft = Soft::lost();
        shard.is_checked = false;
        shard.settle();
        shard.is_checked = true;
        assert_eq!(shard.next_wake(), None);
        assert_eq!(ids(&shard.lease(9)), ["j"]);
    }
}

#[test]
fn a_tally_below_what_it_counts_is_told_of_and_a_right_one_is_not() {
    for is_right in [true, false] {
        let mut shard = Shard::new();
        let key = shard.enqueue(plain("j"));
        shard.enqueue(plain("k"));
        let tenant = common::tenant("t");
        let mut row = shard.image().tenants[&tenant].clone();
        if !is_right {
            row.tallies.scheduled = 0;
            shard.is_checked = false;
        }
        shard.rows.map.insert(Tenants::key(&tenant), encode(&row));
        assert_eq!(shard.delete(&key), Reply::Deleted);
        let mended = Notice::Mended("a tally was below what it counts");
        assert_eq!(shard.notices.contains(&mended), !is_right);
    }
}

/// A complete view that counts what is read through it.
struct Counting<'a> {
    rows: &'a Rows,
    gets: Cell<usize>,
    ranged: Cell<usize>,
}

impl View for Counting<'_> {
    fn get(&self, key: &Key) -> Result<Option<Bytes>, Need> {
        self.gets.set(self.gets.get() + 1);
        self.rows.get(key)
    }

    fn range(&self, range: &KeyRange, limit: usize) -> Result<Vec<(Key, Bytes)>, Need> {
        let rows = self.rows.range(range, limit)?;
        self.ranged.set(self.ranged.get() + rows.len());
        Ok(rows)
    }
}

#[test]
fn a_tick_reads_no_more_of_a_backlog_than_it_does() {
    for is_due in [true, false] {
        let mut shard = Shard::new();
        shard.is_checked = false;
        for number in 0..TICK_DUE_MAX * 4 {
            let mut asked = common::kept(&format!("j{number}"), 1000);
            if is_due {
                asked.start_at = Some(Timestamp::from_millis(shard.now + 1000));
                shard.enqueue(asked);
            } else {
                let key = shard.enqueue(asked);
                shard.cancel(&key);
            }
        }
        shard.now += 1000;
        let view = Counting {
            rows: &shard.rows.clone(),
            gets: Cell::new(0),
            ranged: Cell::new(0),
        };
        let stamp = shard.stamp();
        decide(&shard.soft, &view, &stamp, &Command::Tick).unwrap();
        assert_eq!(
            view.ranged.get(),
            TICK_DUE_MAX + 1,
            "one more says whether to go on"
        );
        assert!(view.gets.get() <= TICK_DUE_MAX + 1, "{:?}", view.gets);
    }
}

#[test]
fn an_expedited_job_whose_time_has_come_keeps_its_place() {
    let mut shard = Shard::new();
    for (id, later) in [("a", 1000), ("b", 2000)] {
        shard.enqueue(Enqueue {
            start_at: Some(Timestamp::from_millis(shard.now + later)),
            ..plain(id)
        });
    }
    // No tick has come since.
    shard.now += 3000;
    assert_eq!(shard.expedite(&job("t", "a")), Reply::Expedited);
    shard.settle();
    assert_eq!(ids(&shard.lease(9)), ["a", "b"]);
}

#[test]
fn a_crash_after_a_heartbeat_begins_the_row_of_losses_anew() {
    let mut shard = Shard::new();
    let key = shard.enqueue(plain("j"));
    let lease = i64::try_from(LEASE).unwrap();
    shard.lease_one();
    shard.pass(lease);
    assert_eq!(
        (shard.state(&key).losses, shard.state(&key).crashes),
        (1, 0)
    );
    let task = shard.lease_one();
    shard.heartbeat(&task.id);
    shard.pass(lease);
    assert_eq!(
        (shard.state(&key).losses, shard.state(&key).crashes),
        (0, 1)
    );
}

#[test]
fn a_job_that_was_given_back_when_it_should_stop_ended_without_an_attempt() {
    let snooze = Outcome::Snooze {
        delay: Millis::new(5),
    };
    for how in [Outcome::Release, snooze] {
        let mut shard = Shard::new();
        let key = shard.enqueue(retrying("j", 5));
        let task = shard.lease_one();
        shard.report(&task.id, large_failure(0));
        let task = shard.lease_one();
        shard.cancel(&key);
        shard.report(&task.id, how);
        let Position::Ended { status, code, .. } = shard.state(&key).position else {
            panic!("it has ended");
        };
        assert_eq!((status, code), (Ended::Cancelled, Some(EndCode::Cancelled)));
        let Reply::Result(result) = shard.run(&Command::Result(key.clone())) else {
            panic!("a result");
        };
        assert_eq!(
            result.data, None,
            "what an earlier attempt said is no result"
        );
        assert_eq!(shard.delete(&key), Reply::Deleted);
        assert!(!shard.has_rows(&key), "{:?}", shard.rows.map.keys());
    }
}

#[test]
fn a_release_leaves_the_row_of_crashes_and_a_snooze_ends_it() {
    let snooze = Outcome::Snooze {
        delay: Millis::ZERO,
    };
    for (how, crashes) in [(Outcome::Release, 1), (snooze, 0)] {
        let mut shard = Shard::new();
        let key = shard.enqueue(plain("j"));
        let task = shard.lease_one();
        shard.heartbeat(&task.id);
        shard.pass(i64::try_from(LEASE).unwrap());
        shard.pass(1000);
        let task = shard.lease_one();
        shard.report(&task.id, how);
        assert_eq!(shard.state(&key).crashes, crashes);
    }
}

#[test]
fn what_an_earlier_attempt_reported_is_no_result_of_a_job_cancelled_while_it_waits() {
    let mut shard = Shard::new();
    let key = shard.enqueue(retrying("j", 5));
    let task = shard.lease_one();
    shard.report(&task.id, failure());
    assert_eq!(shard.cancel(&key), Reply::Cancelled);
    let Reply::Result(result) = shard.run(&Command::Result(key)) else {
        panic!("a result");
    };
    assert_eq!(result.data, None);
}

#[test]
fn jobs_that_start_in_ever_more_queues_wait_until_there_is_room() {
    let mut shard = Shard::new();
    let start = shard.now + 10_000;
    let count = QUEUES_MAX + 3;
    // A thousand looks at a thousand jobs would take half a minute; the ticks are looked at.
    shard.is_checked = false;
    let keys: Vec<JobKey> = (0..count)
        .map(|number| {
            shard.enqueue(Enqueue {
                queue: common::queue(&format!("g{number}"), 1),
                start_at: Some(Timestamp::from_millis(start)),
                ..plain(&format!("j{number}"))
            })
        })
        .collect();
    // Another that is due much later: what waits on stands before it.
    shard.enqueue(Enqueue {
        start_at: Some(Timestamp::from_millis(start + 3_600_000)),
        ..plain("late")
    });
    shard.is_checked = true;
    shard.pass(10_000);
    let queues = |shard: &Shard| shard.image().tenants[&common::tenant("t")].ready.len();
    assert_eq!(queues(&shard), QUEUES_MAX);
    let is_due =
        |shard: &Shard, key: &JobKey| matches!(shard.state(key).position, Position::Due(_));
    let waiting = |shard: &Shard| keys.iter().filter(|key| is_due(shard, key)).count();
    assert_eq!(waiting(&shard), 3);
    let wait = i64::try_from(QUEUE_WAIT.get()).unwrap();
    assert_eq!(
        shard.next_wake(),
        Some(Timestamp::from_millis(start + wait)),
        "they try again a second later"
    );
    // One queue is emptied: one of them has room. A job that ran comes back to a queue that is gone
    // meanwhile, and waits as well.
    let task = shard.lease_from("g0", 1).remove(0);
    shard.pass(wait);
    assert_eq!((queues(&shard), waiting(&shard)), (QUEUES_MAX, 2));
    shard.report(&task.id, Outcome::Release);
    assert_eq!((queues(&shard), waiting(&shard)), (QUEUES_MAX, 3));
    for number in 1..=3 {
        let task = shard.lease_from(&format!("g{number}"), 1).remove(0);
        shard.report(&task.id, common::success());
    }
    shard.pass(2 * wait);
    assert_eq!(waiting(&shard), 0, "nothing is left behind");
}

#[test]
fn refusals_say_where_the_job_stands() {
    let words = [
        (Status::Scheduled, "scheduled"),
        (Status::Running, "running"),
        (Status::Succeeded, "succeeded"),
        (Status::Failed, "failed"),
        (Status::Cancelled, "cancelled"),
        (Status::Quarantined, "quarantined"),
    ];
    for (status, word) in words {
        let said = Refusal::NotRestartable(job("t", "j"), status).to_string();
        assert_eq!(said, format!("job cannot be restarted: it is {word}"));
    }
}
