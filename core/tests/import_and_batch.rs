//! Jobs from elsewhere, and batches that are taken all or none.
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
    Shard, attempted, failed_import, imported, job, limited, plain, policy, request, success,
};
use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::{ATOMIC_JOBS_MAX, Enqueue, EnqueueAll};
use silo_core::shard::commands::import::{
    IMPORT_ATTEMPTS_MAX, ImportAttempt, ImportEnding, ImportJob,
};
use silo_core::shard::refusal::{ImportFault, QUEUES_MAX, Refusal};
use silo_core::shard::reply::{Imported, Reply};
use silo_core::table::Table;
use silo_core::table::attempt::{AttemptKey, Attempts};
use silo_core::table::job::JobKey;
use silo_core::table::state::{Position, Status};
use silo_core::types::time::{Millis, Timestamp};

fn retried(id: &str, failures: u32, retry_count: u32) -> ImportJob {
    let attempts = (1..=failures)
        .map(|n| attempted(n, failed_import()))
        .collect();
    ImportJob {
        retry: Some(policy(retry_count)),
        ..imported(id, attempts)
    }
}

fn numbers(shard: &mut Shard, key: &JobKey) -> Vec<u32> {
    let shown = shard.view(key).attempts;
    shown.iter().map(|shown| shown.attempt.number).collect()
}

#[test]
fn an_imported_job_shows_its_history_and_goes_on_with_its_numbers() {
    let mut shard = Shard::new();
    assert_eq!(shard.import_one(retried("j", 2, 3)), Ok(Status::Scheduled));
    let key = job("t", "j");
    assert_eq!(numbers(&mut shard, &key), [1, 2]);
    let view = shard.view(&key);
    assert_eq!(
        view.job.enqueued_at,
        Timestamp::from_millis(common::START - 100_000)
    );
    assert_eq!(view.state.retries_used, 2);
    let task = shard.lease_one();
    assert_eq!((task.id.attempt, task.relative_attempt), (3, 3));
    assert!(!task.is_last_attempt, "one retry is left");
    shard.report(&task.id, success());
    assert_eq!(numbers(&mut shard, &key), [1, 2, 3]);
}

#[test]
fn a_known_job_takes_a_slot_before_another_of_the_same_import_lowers_the_maximum() {
    let mut shard = Shard::new();
    for id in ["a", "b"] {
        shard.enqueue(limited(id, &[("k", 5)]));
    }
    let known = ImportJob {
        limits: limited("known", &[("k", 5)]).limits,
        start_at: Some(Timestamp::from_millis(common::START + 100_000)),
        ..retried("known", 1, 3)
    };
    assert_eq!(shard.import_one(known), Ok(Status::Scheduled));
    let waits = &shard.state(&job("t", "known")).position;
    assert!(matches!(waits, Position::Due(_)), "{waits:?}");
    let known = ImportJob {
        start_at: Some(Timestamp::from_millis(common::START)),
        ..retried("known", 2, 3)
    };
    let new = ImportJob {
        limits: limited("new", &[("k", 1)]).limits,
        ..imported("new", Vec::new())
    };
    // The invariants hold, which are checked after each command.
    shard.import(vec![known, new]);
    let at = |id: &str| shard.state(&job("t", id)).position.clone();
    assert!(
        matches!(at("known"), Position::Ready(_)),
        "{:?}",
        at("known")
    );
    assert!(
        matches!(at("new"), Position::Parked { .. }),
        "{:?}",
        at("new")
    );
}

#[test]
fn a_failed_job_runs_again_while_retries_are_left() {
    let mut shard = Shard::new();
    for (failures, status) in [(3, Status::Scheduled), (4, Status::Failed)] {
        let id = format!("j{failures}");
        assert_eq!(shard.import_one(retried(&id, failures, 3)), Ok(status));
        let state = shard.state(&job("t", &id));
        assert_eq!(state.retries_used, 3);
    }
}

#[test]
fn a_retry_starts_after_its_back_off_or_when_the_import_says() {
    let mut shard = Shard::new();
    let mut recent = retried("recent", 2, 3);
    recent.attempts[1].finished_at = Timestamp::from_millis(shard.now);
    assert_eq!(shard.import_one(recent), Ok(Status::Scheduled));
    let due = |shard: &Shard, id| match shard.state(&job("t", id)).position {
        Position::Due(place) => place.at.as_millis() - shard.now,
        other => panic!("{other:?}"),
    };
    assert_eq!(due(&shard, "recent"), 2000, "the second back-off");
    let mut told = retried("told", 2, 3);
    told.start_at = Some(Timestamp::from_millis(shard.now + 7000));
    assert_eq!(shard.import_one(told), Ok(Status::Scheduled));
    assert_eq!(due(&shard, "told"), 7000);
}

#[test]
fn more_history_is_taken_in_when_it_goes_on_from_what_is_here() {
    let mut shard = Shard::new();
    let key = job("t", "j");
    assert_eq!(shard.import_one(retried("j", 1, 5)), Ok(Status::Scheduled));
    let large = ImportEnding::Succeeded {
        data: Bytes::from(vec![1; 5000]),
    };
    let mut more = retried("j", 2, 5);
    more.attempts.push(attempted(3, large));
    assert_eq!(shard.import_one(more.clone()), Ok(Status::Succeeded));
    assert_eq!(numbers(&mut shard, &key), [1, 2, 3]);
    let not = |fault| Err(Refusal::NotImportable(key.clone(), fault));
    assert_eq!(shard.import_one(more), not(ImportFault::Succeeded));
}

#[test]
fn history_that_is_not_new_or_is_another_one_is_refused() {
    let mut shard = Shard::new();
    let key = job("t", "j");
    assert_eq!(shard.import_one(retried("j", 2, 5)), Ok(Status::Scheduled));
    let not = |fault| Err(Refusal::NotImportable(key.clone(), fault));
    assert_eq!(
        shard.import_one(retried("j", 2, 5)),
        not(ImportFault::NothingNew)
    );
    assert_eq!(
        shard.import_one(retried("j", 1, 5)),
        not(ImportFault::Differs),
        "shorter"
    );
    let edits: [fn(&mut ImportAttempt); 4] = [
        |a| a.started_at = Timestamp::from_millis(1),
        |a| a.finished_at = Timestamp::from_millis(1),
        |a| {
            a.how = ImportEnding::Failed {
                code: "F".to_owned(),
                data: Bytes::from_static(b"broken"),
            }
        },
        |a| {
            a.how = ImportEnding::Failed {
                code: "E".to_owned(),
                data: Bytes::from_static(b"other"),
            }
        },
    ];
    for edit in edits {
        for which in 0..2 {
            let mut other = retried("j", 3, 5);
            edit(&mut other.attempts[which]);
            assert_eq!(shard.import_one(other), not(ImportFault::Differs));
        }
    }
    assert_eq!(shard.import_one(retried("j", 3, 5)), Ok(Status::Scheduled));
}

#[test]
fn a_crash_here_comes_back_as_it_is_shown_and_uses_no_retry() {
    let mut shard = Shard::new();
    let key = shard.enqueue(common::retrying("j", 1));
    let task = shard.lease_one();
    shard.heartbeat(&task.id);
    shard.pass(10_000);
    let shown = shard.view(&key).attempts.remove(0).attempt;
    let crashed = ImportAttempt {
        started_at: shown.started_at,
        finished_at: shown.end.unwrap().at,
        how: ImportEnding::Failed {
            code: "WORKER_CRASHED".to_owned(),
            data: Bytes::from_static(&[0xc0]),
        },
    };
    let again = ImportJob {
        retry: Some(policy(1)),
        ..imported("j", vec![crashed, attempted(9, failed_import())])
    };
    assert_eq!(shard.import_one(again), Ok(Status::Scheduled));
    assert_eq!(shard.state(&key).retries_used, 1);
}

#[test]
fn a_crash_elsewhere_does_not_end_a_job_without_retries() {
    let mut shard = Shard::new();
    let crashed = ImportAttempt {
        how: ImportEnding::Failed {
            code: "WORKER_CRASHED".to_owned(),
            data: Bytes::new(),
        },
        ..attempted(1, failed_import())
    };
    let job = imported("j", vec![crashed]);
    assert_eq!(job.retry, None);
    assert_eq!(shard.import_one(job), Ok(Status::Scheduled));
    let failed = imported("k", vec![attempted(1, failed_import())]);
    assert_eq!(shard.import_one(failed), Ok(Status::Failed));
}

#[test]
fn each_job_of_an_import_stands_for_itself() {
    let mut shard = Shard::new();
    shard.import_one(retried("here", 1, 3)).unwrap();
    let jobs = vec![
        imported("new", vec![]),
        retried("here", 1, 3),
        imported("new", vec![]),
        imported("other", vec![]),
    ];
    let not = |id: &str, fault| Err(Refusal::NotImportable(job("t", id), fault));
    let results = |outcomes: Vec<(&str, Result<Status, Refusal>)>| {
        let result = |(id, outcome): (&str, _)| Imported {
            job: job("t", id).job,
            outcome,
        };
        Reply::Imported(outcomes.into_iter().map(result).collect())
    };
    let expected = results(vec![
        ("new", Ok(Status::Scheduled)),
        ("here", not("here", ImportFault::NothingNew)),
        ("new", not("new", ImportFault::Twice)),
        ("other", Ok(Status::Scheduled)),
    ]);
    assert_eq!(shard.import(jobs), expected);
}

#[test]
fn an_import_is_checked_against_every_bound() {
    let attempts = |count: usize| {
        let failed = |n: usize| attempted(u32::try_from(n).unwrap(), failed_import());
        (0..count).map(failed).collect()
    };
    assert!(imported("j", attempts(IMPORT_ATTEMPTS_MAX)).check().is_ok());
    assert!(
        imported("j", attempts(IMPORT_ATTEMPTS_MAX + 1))
            .check()
            .is_err()
    );
    let done = || ImportEnding::Succeeded { data: Bytes::new() };
    let last = |how| imported("j", vec![attempted(1, failed_import()), attempted(2, how)]);
    assert!(last(done()).check().is_ok() && last(ImportEnding::Cancelled).check().is_ok());
    let first = |how| imported("j", vec![attempted(1, how), attempted(2, failed_import())]);
    assert!(first(done()).check().is_err() && first(ImportEnding::Cancelled).check().is_err());
    let mut pairs = imported("j", vec![]);
    pairs.metadata = (0..17).map(|n| (n.to_string(), String::new())).collect();
    assert!(pairs.check().is_err());
    let mut retry = retried("j", 0, 1);
    retry.retry.as_mut().unwrap().backoff_factor = f64::NAN;
    assert!(retry.check().is_err());
}

#[test]
fn imported_jobs_are_kept_from_their_import_on() {
    let mut shard = Shard::new();
    shard.retention.failed = Some(Millis::new(1000));
    shard.import_one(retried("j", 1, 0)).unwrap();
    shard.pass(999);
    assert_eq!(shard.status(&job("t", "j")), Status::Failed);
    shard.pass(1);
    assert!(!shard.has_rows(&job("t", "j")));
}

fn all(jobs: Vec<Enqueue>) -> Command {
    Command::EnqueueAll(EnqueueAll { jobs })
}

#[test]
fn a_batch_is_taken_whole_in_its_order() {
    let mut shard = Shard::new();
    let jobs: Vec<Enqueue> = (0..5).map(|n| plain(&format!("j{n}"))).collect();
    let ids: Vec<_> = jobs.iter().map(|job| job.id.clone().unwrap()).collect();
    assert_eq!(shard.run(&all(jobs)), Reply::EnqueuedAll(ids));
    assert_eq!(common::ids(&shard.lease(9)), ["j0", "j1", "j2", "j3", "j4"]);
    assert_eq!(shard.run(&all(vec![])), Reply::EnqueuedAll(vec![]));
}

#[test]
fn a_batch_with_one_job_that_is_refused_takes_none_and_says_which() {
    let mut shard = Shard::new();
    shard.enqueue(plain("taken"));
    let rows = shard.rows.clone();
    let reply = shard.run(&all(vec![plain("a"), plain("taken"), plain("b")]));
    let refusal = Box::new(Refusal::JobExists(job("t", "taken").job));
    assert_eq!(
        reply,
        Reply::Refused(Refusal::InBatch { index: 1, refusal })
    );
    assert!(shard.rows == rows);
    let reply = shard.run(&all(vec![plain("a"), plain("b"), plain("a")]));
    let refusal = Box::new(Refusal::JobExists(job("t", "a").job));
    assert_eq!(
        reply,
        Reply::Refused(Refusal::InBatch { index: 2, refusal })
    );
    let Reply::Refused(refusal) = reply else {
        unreachable!()
    };
    assert_eq!(refusal.reason(), "JOB_EXISTS");
    assert!(refusal.to_string().starts_with("job 2 of the batch: "));
}

#[test]
fn jobs_of_a_batch_without_ids_get_ids_of_their_own() {
    let mut shard = Shard::new();
    let unnamed = || Enqueue {
        id: None,
        ..plain("x")
    };
    let Reply::EnqueuedAll(ids) = shard.run(&all((0..1000).map(|_| unnamed()).collect())) else {
        panic!("all are taken");
    };
    let once: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(once.len(), 1000);
}

#[test]
fn a_batch_repeated_with_its_request_ids_gives_the_same_jobs() {
    let mut shard = Shard::new();
    let named = |n| Enqueue {
        id: None,
        request: request(n),
        ..plain("x")
    };
    let batch = all((0..3).map(named).collect());
    assert!(batch.is_repeatable());
    let first = shard.run(&batch);
    let rows = shard.rows.clone();
    assert_eq!(shard.run(&batch), first);
    assert!(shard.rows == rows);
    let twice = all(vec![named(7), named(7)]);
    let Reply::EnqueuedAll(ids) = shard.run(&twice) else {
        panic!("the same call within one batch is the same job");
    };
    assert_eq!(ids[0], ids[1]);
    assert!(!all(vec![named(1), plain("y")]).is_repeatable());
}

#[test]
fn a_batch_is_bounded_and_of_one_tenant() {
    let of = |count| EnqueueAll {
        jobs: vec![plain("j"); count],
    };
    assert!(of(ATOMIC_JOBS_MAX).check().is_ok());
    assert!(of(ATOMIC_JOBS_MAX + 1).check().is_err());
    let two = EnqueueAll {
        jobs: vec![plain("a"), common::of_tenant("u", "b")],
    };
    assert!(two.check().is_err());
}

#[test]
fn a_batch_and_an_import_respect_the_bound_on_queues() {
    let mut shard = Shard::new();
    shard.is_checked = false;
    for number in 0..QUEUES_MAX {
        shard.enqueue(Enqueue {
            queue: common::queue(&format!("g{number}"), 1),
            ..plain(&format!("j{number}"))
        });
    }
    let tenant = common::tenant("t");
    let refusal = Refusal::TooManyQueues { tenant };
    let one_more = Reply::Refused(Refusal::InBatch {
        index: 0,
        refusal: Box::new(refusal.clone()),
    });
    assert_eq!(shard.run(&all(vec![plain("x")])), one_more);
    assert_eq!(shard.import_one(imported("x", vec![])), Err(refusal));
}

#[test]
fn more_history_begins_the_rows_of_crashes_and_losses_anew() {
    let mut shard = Shard::new();
    let key = shard.enqueue(common::retrying("j", 3));
    let task = shard.lease_one();
    shard.heartbeat(&task.id);
    shard.pass(10_000);
    shard.pass(1000);
    shard.lease_one();
    shard.pass(10_000);
    let state = shard.state(&key);
    assert_eq!((state.crashes, state.losses), (1, 1));
    let crashed = shard.view(&key).attempts.remove(0).attempt;
    let crashed = ImportAttempt {
        started_at: crashed.started_at,
        finished_at: crashed.end.unwrap().at,
        how: ImportEnding::Failed {
            code: "WORKER_CRASHED".to_owned(),
            data: Bytes::new(),
        },
    };
    let again = imported("j", vec![crashed, attempted(9, failed_import())]);
    assert_eq!(shard.import_one(again), Ok(Status::Scheduled));
    let state = shard.state(&key);
    assert_eq!((state.crashes, state.losses), (0, 0));
}

#[test]
fn retries_of_a_job_that_was_restarted_are_counted_from_its_latest_run_on() {
    let mut shard = Shard::new();
    let key = job("t", "j");
    assert_eq!(shard.import_one(retried("j", 4, 3)), Ok(Status::Failed));
    assert_eq!(shard.restart(&key), Reply::Restarted);
    assert_eq!(shard.import_one(retried("j", 5, 3)), Ok(Status::Scheduled));
    assert_eq!(shard.state(&key).retries_used, 1);
    assert_eq!(shard.lease_one().relative_attempt, 2);
}

#[test]
fn an_imported_job_with_large_data_goes_with_everything() {
    let mut shard = Shard::new();
    let key = job("t", "j");
    let large = Bytes::from(vec![1; 5000]);
    let broken = || ImportEnding::Failed {
        code: "E".to_owned(),
        data: large.clone(),
    };
    let mut given = retried("j", 0, 3);
    given.payload = large.clone();
    given.attempts = vec![attempted(1, broken()), attempted(2, broken())];
    assert_eq!(shard.import_one(given), Ok(Status::Scheduled));
    assert_eq!(shard.image().payloads.len(), 3);
    assert_eq!(shard.delete(&key), Reply::Deleted);
    assert!(shard.rows.map.is_empty(), "{:?}", shard.rows.map.keys());
}

#[test]
fn attempts_that_are_not_kept_any_more_are_not_compared() {
    let mut shard = Shard::new();
    let key = job("t", "j");
    shard.import_one(retried("j", 3, 9)).unwrap();
    shard.damage(&Attempts::key(&AttemptKey::of(&key, 1)));
    assert!(matches!(shard.run(&common::get(&key)), Reply::Refused(_)));
    assert_eq!(shard.restart(&key), Reply::Restarted);
    assert_eq!(numbers(&mut shard, &key), [2, 3]);
    let mut given = retried("j", 4, 9);
    given.attempts[0].finished_at = Timestamp::from_millis(1);
    assert_eq!(shard.import_one(given), Ok(Status::Scheduled));
    assert_eq!(numbers(&mut shard, &key), [2, 3, 4]);
}

#[test]
fn a_success_that_was_set_aside_and_given_back_is_compared_by_what_it_reported() {
    let mut shard = Shard::new();
    let key = job("t", "j");
    let given = |data: &'static [u8]| {
        let data = Bytes::from_static(data);
        let done = ImportEnding::Succeeded { data };
        imported("j", vec![attempted(1, failed_import()), attempted(2, done)])
    };
    assert_eq!(shard.import_one(given(b"done")), Ok(Status::Succeeded));
    shard.damage(&Attempts::key(&AttemptKey::of(&key, 1)));
    assert!(matches!(shard.run(&common::get(&key)), Reply::Refused(_)));
    assert_eq!(shard.restart(&key), Reply::Restarted);
    let not = |fault| Err(Refusal::NotImportable(key.clone(), fault));
    assert_eq!(
        shard.import_one(given(b"done")),
        not(ImportFault::NothingNew)
    );
    assert_eq!(shard.import_one(given(b"other")), not(ImportFault::Differs));
}
