//! What is promised of a job once it is leased, one promise per test: outcomes, retries, cancel,
//! release, expiry, results.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use bytes::Bytes;
use common::{
    LEASE, Shard, failure, get, gone, group, heartbeat, ids, job, lease_job, plain, retrying,
    success, worker,
};
use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::Enqueue;
use silo_core::shard::commands::report::Outcome;
use silo_core::shard::decision::Notice;
use silo_core::shard::refusal::{Gone, Refusal, RefusalCode};
use silo_core::shard::reply::{Content, Reply};
use silo_core::table::attempt::Ending;
use silo_core::table::job::JobKey;
use silo_core::table::state::{EndCode, Ended, Position, Status};
use silo_core::types::time::{Millis, Timestamp};

fn enqueue(shard: &mut Shard, enqueue: Enqueue) -> Reply {
    shard.run(&Command::Enqueue(Box::new(enqueue)))
}

fn refused(reply: Reply) -> Refusal {
    match reply {
        Reply::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

/// A shard in which one job was enqueued and leased.
fn with_lease(asked: Enqueue) -> (Shard, JobKey, silo_core::shard::reply::Task) {
    let mut shard = Shard::new();
    let key = shard.enqueue(asked);
    let task = shard.lease_one();
    (shard, key, task)
}

#[test]
fn success_ends_a_job_with_its_result() {
    let (mut shard, key, task) = with_lease(plain("j"));
    assert_eq!(shard.report(&task.id, success()), Reply::Reported);
    assert_eq!(shard.status(&key), Status::Succeeded);
    let Reply::Result(result) = shard.run(&Command::Result(key)) else {
        panic!("a result");
    };
    assert_eq!(
        result.data,
        Some(Content::Inline(Bytes::from_static(b"done")))
    );
    assert_eq!(shard.next_wake(), None);
}

#[test]
fn a_failure_retries_with_back_off_and_the_last_one_fails() {
    let (mut shard, key, task) = with_lease(retrying("j", 2));
    shard.report(&task.id, failure());
    assert_eq!(shard.lease(1), [], "not before its time");
    shard.pass(999);
    assert_eq!(shard.lease(1), []);
    shard.pass(1);
    let task = shard.lease_one();
    shard.report(&task.id, failure());
    shard.pass(2000);
    let task = shard.lease_one();
    assert!(task.is_last_attempt);
    shard.report(&task.id, failure());
    assert_eq!(shard.status(&key), Status::Failed);
    let shown = shard.view(&key).attempts;
    let numbers: Vec<u32> = shown.iter().map(|a| a.attempt.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

#[test]
fn a_failure_without_a_policy_or_marked_as_final_is_final() {
    let (mut shard, key, task) = with_lease(plain("j"));
    shard.report(&task.id, failure());
    assert_eq!(shard.status(&key), Status::Failed);
    let (mut shard, key, task) = with_lease(retrying("j", 5));
    let last = Outcome::Failure {
        code: "E".to_owned(),
        data: Bytes::new(),
        retryable: false,
        retry_after: None,
    };
    shard.report(&task.id, last);
    assert_eq!(shard.status(&key), Status::Failed);
}

#[test]
fn a_worker_may_say_when_to_retry() {
    let (mut shard, key, task) = with_lease(retrying("j", 1));
    let later = Outcome::Failure {
        code: "E".to_owned(),
        data: Bytes::new(),
        retryable: true,
        retry_after: Some(Millis::new(77_000)),
    };
    shard.report(&task.id, later);
    let due = Timestamp::from_millis(shard.now + 77_000);
    assert!(matches!(shard.state(&key).position, Position::Due(place) if place.at == due));
    assert_eq!(shard.next_wake(), Some(due));
}

#[test]
fn a_worker_that_stopped_because_it_was_asked_ends_the_job_as_cancelled() {
    let (mut shard, key, task) = with_lease(retrying("j", 5));
    shard.cancel(&key);
    shard.report(&task.id, Outcome::Cancelled);
    assert_eq!(shard.status(&key), Status::Cancelled);
}

#[test]
fn the_same_outcome_again_succeeds_also_many_attempts_later() {
    let (mut shard, _, first) = with_lease(retrying("j", 3));
    let mut tasks = vec![first];
    for _ in 0..3 {
        let last = tasks.last().unwrap().id.clone();
        shard.report(&last, failure());
        shard.pass(8000);
        tasks.push(shard.lease_one());
    }
    for task in &tasks[..3] {
        assert_eq!(shard.report(&task.id, failure()), Reply::Reported);
        assert_eq!(shard.changes, []);
        let other = shard.report(&task.id, success());
        assert_eq!(other, gone(&task.id, Gone::Finished));
    }
}

#[test]
fn an_outcome_with_other_data_is_another_outcome() {
    let (mut shard, key, task) = with_lease(plain("j"));
    let large = |byte| Outcome::Success {
        data: Bytes::from(vec![byte; 5000]),
    };
    shard.report(&task.id, large(1));
    assert_eq!(shard.report(&task.id, large(1)), Reply::Reported);
    let other = shard.report(&task.id, large(2));
    assert_eq!(other, gone(&task.id, Gone::Finished));
    assert_eq!(refused(other).to_string(), "lease not found");
    assert_eq!(shard.status(&key), Status::Succeeded);
}

#[test]
fn reports_and_heartbeats_of_leases_that_never_were_are_refused() {
    let (mut shard, _, task) = with_lease(plain("j"));
    let mut never = task.id.clone();
    never.nonce ^= 1;
    assert_eq!(shard.report(&never, success()), gone(&never, Gone::Unknown));
    assert_eq!(shard.heartbeat(&never), gone(&never, Gone::Unknown));
    never.attempt = 0;
    assert_eq!(shard.report(&never, success()), gone(&never, Gone::Unknown));
    never.job = job("t", "nobody").job;
    assert_eq!(shard.report(&never, success()), gone(&never, Gone::Unknown));
}

#[test]
fn a_heartbeat_of_another_worker_is_refused() {
    let (mut shard, _, task) = with_lease(plain("j"));
    let reply = refused(shard.run(&heartbeat(&task.id, "thief")));
    assert_eq!(reply.to_string(), "lease owner mismatch");
    assert_eq!(reply.code(), RefusalCode::FailedPrecondition);
}

#[test]
fn a_release_gives_the_old_place_and_number_back_and_costs_no_retry() {
    let mut shard = Shard::new();
    let key = shard.enqueue(retrying("first", 1));
    shard.enqueue(plain("second"));
    let task = shard.lease_one();
    shard.now += 500;
    assert_eq!(shard.report(&task.id, Outcome::Release), Reply::Reported);
    assert_eq!(shard.report(&task.id, Outcome::Release), Reply::Reported);
    assert_eq!(
        shard.report(&task.id, success()),
        gone(&task.id, Gone::Released)
    );
    let again = shard.lease_one();
    assert_eq!(again.id.job, key.job, "before the second");
    assert_eq!(again.id.attempt, 1);
    assert_ne!(again.id, task.id);
    assert_eq!(shard.state(&key).retries_used, 0);
    assert_eq!(shard.report(&task.id, Outcome::Release), Reply::Reported);
    assert_eq!(shard.status(&key), Status::Running, "the new lease stays");
}

#[test]
fn a_job_leased_before_its_time_goes_back_to_wait_for_it() {
    let mut shard = Shard::new();
    let mut later = plain("j");
    later.start_at = Some(Timestamp::from_millis(shard.now + 5000));
    let key = shard.enqueue(later);
    let Reply::Leased(tasks) = shard.run(&lease_job(&key)) else {
        panic!("leased");
    };
    shard.report(&tasks[0].id, Outcome::Release);
    assert!(matches!(shard.state(&key).position, Position::Due(_)));
    shard.pass(5000);
    assert_eq!(shard.lease(5).len(), 1);
}

#[test]
fn cancelling_a_job_that_waits_ends_it_at_once_wherever_it_waits() {
    let mut shard = Shard::new();
    let ready = shard.enqueue(plain("ready"));
    let mut later = plain("due");
    later.start_at = Some(Timestamp::from_millis(shard.now + 5000));
    let due = shard.enqueue(later);
    for key in [&ready, &due] {
        assert_eq!(shard.cancel(key), Reply::Cancelled);
        let Position::Ended { status, code, .. } = shard.state(key).position else {
            panic!("ended");
        };
        assert_eq!((status, code), (Ended::Cancelled, Some(EndCode::Cancelled)));
        let again = refused(shard.cancel(key));
        assert_eq!(again, Refusal::AlreadyCancelled(key.clone()));
    }
    assert_eq!(shard.lease(5), []);
    assert_eq!(shard.next_wake(), None);
    let image = shard.image();
    assert!(image.ready.is_empty() && image.due.is_empty());
}

#[test]
fn cancelling_a_running_job_flags_it_and_its_worker_learns_it() {
    let (mut shard, key, task) = with_lease(plain("j"));
    assert_eq!(shard.cancel(&key), Reply::Cancelled);
    assert_eq!(shard.notices, [Notice::CancelAsked(task.id.clone())]);
    assert_eq!(shard.status(&key), Status::Running);
    let asked = Some(Timestamp::from_millis(shard.now));
    let expected = Reply::Extended {
        cancel_asked_at: asked,
        lease: task.lease,
    };
    assert_eq!(shard.heartbeat(&task.id), expected);
    assert!(matches!(
        refused(shard.cancel(&key)),
        Refusal::AlreadyCancelled(_)
    ));
}

#[test]
fn after_a_cancel_success_counts_failure_and_release_do_not_run_again() {
    let ends = [
        (success(), Status::Succeeded),
        (failure(), Status::Cancelled),
        (Outcome::Release, Status::Cancelled),
        (Outcome::Cancelled, Status::Cancelled),
    ];
    for (outcome, status) in ends {
        let (mut shard, key, task) = with_lease(retrying("j", 5));
        shard.cancel(&key);
        assert_eq!(shard.report(&task.id, outcome), Reply::Reported);
        assert_eq!(shard.status(&key), status);
    }
}

#[test]
fn cancelling_what_ended_or_never_was_is_refused() {
    let (mut shard, key, task) = with_lease(plain("j"));
    shard.report(&task.id, success());
    assert_eq!(refused(shard.cancel(&key)), Refusal::AlreadyTerminal(key));
    let nobody = job("t", "nobody");
    assert_eq!(refused(shard.cancel(&nobody)), Refusal::JobNotFound(nobody));
}

#[test]
fn a_lease_lives_until_a_tick_ends_it() {
    let (mut shard, key, task) = with_lease(plain("j"));
    let lease = i64::try_from(LEASE).unwrap();
    shard.now += lease * 10;
    assert!(matches!(shard.heartbeat(&task.id), Reply::Extended { .. }));
    shard.pass(lease - 1);
    assert_eq!(shard.status(&key), Status::Running);
    shard.pass(1);
    assert_eq!(shard.status(&key), Status::Scheduled);
}

#[test]
fn a_lease_that_was_heartbeated_expires_as_a_crash_with_a_budget_of_its_own() {
    let mut shard = Shard::new();
    let key = shard.enqueue(plain("j"));
    for (crash, delay) in [(1, 1000), (2, 2000)] {
        let task = shard.lease_one();
        shard.heartbeat(&task.id);
        shard.pass(10_000);
        assert_eq!(shard.notices, [Notice::Crashed(key.clone())]);
        assert_eq!(
            shard.report(&task.id, success()),
            gone(&task.id, Gone::Expired)
        );
        let state = shard.state(&key);
        assert_eq!((state.crashes, state.retries_used), (crash, 0));
        assert_eq!(state.last.unwrap().end.unwrap().how, Ending::Crashed);
        shard.pass(delay - 1);
        assert_eq!(shard.lease(1), []);
        shard.pass(1);
    }
    let task = shard.lease_one();
    assert_eq!(task.id.attempt, 3);
    shard.heartbeat(&task.id);
    shard.pass(10_000);
    assert_eq!(
        shard.status(&key),
        Status::Failed,
        "its two crashes are used up"
    );
}

#[test]
fn an_outcome_resets_the_crashes() {
    let mut shard = Shard::new();
    let key = shard.enqueue(retrying("j", 5));
    let task = shard.lease_one();
    shard.heartbeat(&task.id);
    shard.pass(10_000);
    shard.pass(1000);
    let task = shard.lease_one();
    shard.report(&task.id, failure());
    assert_eq!(shard.state(&key).crashes, 0);
}

#[test]
fn a_lease_that_was_never_heartbeated_is_a_loss_and_becomes_a_crash_after_many() {
    let mut shard = Shard::new();
    let key = shard.enqueue(plain("j"));
    for loss in 1..=6 {
        let task = shard.lease_one();
        shard.pass(10_000);
        assert!(shard.notices.contains(&Notice::Lost(key.clone())));
        let state = shard.state(&key);
        assert_eq!((state.losses, state.crashes), (loss, 0));
        assert_eq!(state.attempts_ended, 0, "the number is used again");
        assert_eq!(
            shard.report(&task.id, success()),
            gone(&task.id, Gone::Expired)
        );
    }
    shard.lease_one();
    shard.pass(10_000);
    assert_eq!(shard.state(&key).crashes, 1);
}

#[test]
fn a_cancelled_job_whose_lease_expires_is_cancelled() {
    for is_heartbeated in [false, true] {
        let (mut shard, key, task) = with_lease(retrying("j", 5));
        if is_heartbeated {
            shard.heartbeat(&task.id);
        }
        shard.cancel(&key);
        shard.pass(10_000);
        assert_eq!(shard.status(&key), Status::Cancelled);
    }
}

#[test]
fn looking_at_a_job_says_what_it_is_and_a_result_only_when_it_ended() {
    let (mut shard, key, _) = with_lease(plain("j"));
    let running = refused(shard.run(&Command::Result(key.clone())));
    assert_eq!(running, Refusal::NotTerminal(key.clone(), Status::Running));
    assert_eq!(running.code(), RefusalCode::FailedPrecondition);
    assert_eq!(shard.view(&key).attempts.len(), 1);
    let nobody = job("t", "nobody");
    let missing = Refusal::JobNotFound(nobody.clone());
    assert_eq!(refused(shard.run(&get(&nobody))), missing);
    assert_eq!(refused(shard.run(&Command::Result(nobody))), missing);
}

#[test]
fn tenants_cannot_reach_each_others_jobs() {
    let (mut shard, _, task) = with_lease(plain("j"));
    let other = job("u", "j");
    assert!(matches!(
        refused(shard.run(&get(&other))),
        Refusal::JobNotFound(_)
    ));
    assert!(matches!(
        refused(shard.cancel(&other)),
        Refusal::JobNotFound(_)
    ));
    let mut stolen = task.id;
    stolen.tenant = common::tenant("u");
    assert_eq!(
        shard.report(&stolen, success()),
        gone(&stolen, Gone::Unknown)
    );
}

#[test]
fn one_given_job_is_leased_out_of_its_turn_and_only_when_it_waits() {
    let mut shard = Shard::new();
    shard.enqueue(plain("first"));
    let second = shard.enqueue(plain("second"));
    let Reply::Leased(tasks) = shard.run(&lease_job(&second)) else {
        panic!("leased");
    };
    assert_eq!(ids(&tasks), ["second"]);
    let again = refused(shard.run(&lease_job(&second)));
    assert_eq!(again, Refusal::NotLeasable(second.clone(), Status::Running));
    shard.report(&tasks[0].id, success());
    let over = refused(shard.run(&lease_job(&second)));
    assert_eq!(over, Refusal::NotLeasable(second, Status::Succeeded));
    let nobody = job("t", "nobody");
    let missing = refused(shard.run(&lease_job(&nobody)));
    assert_eq!(missing, Refusal::JobNotFound(nobody));
}

#[test]
fn a_due_job_starts_at_its_time_and_the_shard_asks_to_be_woken_then() {
    let mut shard = Shard::new();
    let mut later = plain("j");
    later.start_at = Some(Timestamp::from_millis(shard.now + 5000));
    shard.enqueue(later.clone());
    assert_eq!(shard.next_wake(), later.start_at);
    shard.pass(4999);
    assert_eq!(shard.lease(1), []);
    shard.now += 1;
    shard.run(&Command::Tick);
    assert_eq!(shard.notices, [Notice::Ready(group("g"))]);
    assert_eq!(shard.lease(1).len(), 1);
}

#[test]
fn a_worker_is_named_in_its_attempt() {
    let (mut shard, key, _) = with_lease(plain("j"));
    let shown = shard.view(&key).attempts;
    assert_eq!(shown[0].attempt.worker, worker("w"));
}

#[test]
fn a_job_that_was_ready_is_ready_again_though_the_clock_was_set_back() {
    for is_lost in [true, false] {
        let (mut shard, key, task) = with_lease(plain("j"));
        shard.now -= 86_400_000;
        if is_lost {
            shard.soft = silo_core::shard::soft::Soft::lost();
            shard.settle();
            shard.pass(i64::try_from(LEASE).unwrap());
            assert_eq!(shard.state(&key).losses, 1);
        } else {
            shard.report(&task.id, Outcome::Release);
        }
        assert_eq!(ids(&shard.lease(1)), ["j"]);
    }
}

#[test]
fn a_lease_lasts_as_long_as_it_lasts_however_the_wall_clock_is_set() {
    const LEASE_MS: i64 = LEASE.cast_signed();
    for by in [86_400_000, -86_400_000] {
        let (mut shard, key, task) = with_lease(plain("j"));
        let is_leased = |shard: &Shard| matches!(shard.state(&key).position, Position::Leased(_));
        shard.set_wall(by);
        shard.pass(LEASE_MS - 1);
        assert!(is_leased(&shard), "after a jump by {by}");
        shard.run(&heartbeat(&task.id, "w"));
        shard.set_wall(-2 * by);
        shard.pass(LEASE_MS - 1);
        assert!(is_leased(&shard), "a confirmed one as well");
        shard.pass(1);
        assert!(!is_leased(&shard), "and no longer");
    }
}
