//! A shard on real storage: what was acknowledged stays, whatever happens to callers and storage.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::join_all;
use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::Enqueue;
use silo_core::shard::commands::report::Outcome;
use silo_core::shard::refusal::Refusal;
use silo_core::shard::reply::{Content, Reply, Task};
use silo_core::table::job::JobKey;
use silo_core::table::payload::{PAYLOAD_SLOT, PayloadKey};
use silo_core::table::state::Status;
use silo_core::types::time::Millis;
use silo_runtime::executor::limits::Dispatch;
use silo_runtime::executor::replies::Failure;
use silo_runtime::executor::shard::{Shard, ShardState};
use silo_runtime::storage::backend::Storage;
use silo_runtime::storage::clock::SystemWallClock;
use silo_runtime::storage::shard::ShardStore;
use silo_test_faults::fault::Requests;
use tempfile::tempdir;

use crate::common::disk::{
    FAILS, LOSES_ANSWER, context, entry, faulty, files, log_puts, memory, open, reaches, start,
    within,
};
use crate::common::say;

const HOUR: Millis = Millis::from_secs(3600);

async fn call(shard: &Shard, command: Command) -> Reply {
    within(shard.call(command)).await.unwrap()
}

async fn enqueue(shard: &Shard, enqueue: Enqueue) -> JobKey {
    let tenant = enqueue.tenant.clone();
    match call(shard, say::enqueue(enqueue)).await {
        Reply::Enqueued(job) => JobKey { tenant, job },
        other => panic!("{other:?}"),
    }
}

async fn lease(shard: &Shard, tasks_max: u32) -> Vec<Task> {
    match call(shard, say::lease("g", tasks_max)).await {
        Reply::Leased(tasks) => tasks,
        other => panic!("{other:?}"),
    }
}

/// Asks again until there is a task.
async fn next_task(shard: &Shard) -> Task {
    within(async {
        loop {
            if let Some(task) = lease(shard, 1).await.pop() {
                return task;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

async fn status(shard: &Shard, key: &JobKey) -> Status {
    match call(shard, Command::Result(key.clone())).await {
        Reply::Result(result) => result.state.status(),
        Reply::Refused(Refusal::NotTerminal(_, status)) => status,
        other => panic!("{other:?}"),
    }
}

fn held_for(key: &JobKey, lease: Millis) -> Enqueue {
    Enqueue {
        lease: Some(lease),
        ..say::plain(key)
    }
}

fn inline(content: &Content) -> &Bytes {
    match content {
        Content::Inline(bytes) => bytes,
        Content::Stored { .. } => panic!("{content:?} was not read"),
    }
}

async fn job_lives(storage: &Storage) {
    let key = say::job("t", "one");
    let large = Bytes::from(vec![7; 100_000]);
    let shard = open(storage).await;
    let mut first = held_for(&key, HOUR);
    first.payload = large.clone();
    enqueue(&shard, first.clone()).await;
    let task = next_task(&shard).await;
    assert_eq!(inline(&task.payload), &large);
    shard.close().await;
    assert_eq!(*shard.state().borrow(), ShardState::Closed);
    assert_eq!(shard.call(say::lease("g", 1)).await, Err(Failure::Closing));

    let shard = open(storage).await;
    assert_eq!(
        enqueue(&shard, first).await,
        key,
        "the same call makes no second job"
    );
    assert_eq!(status(&shard, &key).await, Status::Running);
    let beat = call(&shard, say::heartbeat(&task.id, "w")).await;
    assert_eq!(
        beat,
        Reply::Extended {
            cancel_asked_at: None,
            lease: task.lease,
        }
    );
    let done = Outcome::Success {
        data: large.clone(),
    };
    assert_eq!(
        call(&shard, say::report(&task.id, done.clone())).await,
        Reply::Reported
    );
    shard.flush_tables().await.unwrap();
    shard.close().await;

    let shard = open(storage).await;
    assert_eq!(
        call(&shard, say::report(&task.id, done)).await,
        Reply::Reported
    );
    let Reply::Result(result) = call(&shard, Command::Result(key.clone())).await else {
        panic!("a result");
    };
    assert_eq!(result.state.status(), Status::Succeeded);
    assert_eq!(inline(&result.data.unwrap()), &large);
    shard.close().await;
}

#[silo::test]
async fn a_job_outlives_its_shard_in_memory() {
    job_lives(&memory().await).await;
}

#[silo::test]
async fn a_job_outlives_its_shard_on_files() {
    let directory = tempdir().unwrap();
    job_lives(&files(&directory).await).await;
}

#[silo::test]
async fn tasks_of_a_caller_that_went_away_are_handed_back() {
    let shard = open(&memory().await).await;
    let key = enqueue(&shard, held_for(&say::job("t", "one"), HOUR)).await;
    let mut asked = Box::pin(shard.call(say::lease("g", 1)));
    assert!(asked.as_mut().now_or_never().is_none());
    drop(asked);
    // Asked after it, so decided after it.
    let task = next_task(&shard).await;
    assert_eq!(task.id.job, key.job);
    shard.close().await;
}

#[silo::test]
async fn a_job_whose_payload_is_gone_is_set_aside_and_its_queue_goes_on() {
    let storage = memory().await;
    let key = say::job("t", "one");
    let shard = open(&storage).await;
    let mut large = held_for(&key, HOUR);
    large.payload = Bytes::from(vec![7; 5_000]);
    enqueue(&shard, large).await;
    enqueue(&shard, held_for(&say::job("t", "two"), HOUR)).await;
    shard.close().await;

    put_payload(&storage, &key, None).await;
    let shard = open(&storage).await;
    let Reply::Leased(tasks) = call(&shard, say::lease_job(&key)).await else {
        panic!("a lease");
    };
    assert_eq!(tasks, Vec::new(), "nothing to work on goes out");
    let quarantined = Reply::Refused(Refusal::Quarantined(key.clone()));
    within(async {
        while call(&shard, say::get(&key, false)).await != quarantined {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(next_task(&shard).await.id.job, say::job("t", "two").job);
    shard.close().await;
}

/// Changes a row behind the shard's back.
async fn put_payload(storage: &Storage, key: &JobKey, payload: Option<Bytes>) {
    let clock = std::sync::Arc::new(SystemWallClock::default());
    let store = ShardStore::open(storage, &entry(storage).await, clock)
        .await
        .unwrap();
    let row = PayloadKey::key(key, PAYLOAD_SLOT);
    store.write(vec![(row, payload)]).await.unwrap();
    store.close().await.unwrap();
}

#[silo::test]
async fn a_lease_that_expires_runs_again() {
    let shard = open(&memory().await).await;
    enqueue(&shard, held_for(&say::job("t", "one"), Millis::new(100))).await;
    let first = next_task(&shard).await;
    let second = next_task(&shard).await;
    assert_eq!(first.id.job, second.id.job);
    assert_ne!(first.id.nonce, second.id.nonce);
    let late = call(&shard, say::report(&first.id, say::success(b"late"))).await;
    assert!(
        matches!(late, Reply::Refused(Refusal::LeaseNotFound { .. })),
        "{late:?}"
    );
    shard.close().await;
}

#[silo::test]
async fn a_second_opening_fences_the_first() {
    let storage = memory().await;
    let first = open(&storage).await;
    let key = enqueue(&first, say::plain(&say::job("t", "one"))).await;
    let second = open(&storage).await;
    reaches(&first, |state| matches!(state, ShardState::Fenced(_))).await;
    let told = within(first.call(say::get(&key, false))).await;
    assert_eq!(told, Err(Failure::Closing));
    assert_eq!(next_task(&second).await.id.job, key.job);
    second.close().await;
    first.close().await;
}

#[silo::test]
async fn while_storage_fails_callers_are_told_and_afterwards_the_shard_opens_by_itself() {
    let (store, storage) = faulty(&memory().await, true);
    let shard = open(&storage).await;
    let kept = enqueue(&shard, say::plain(&say::job("t", "kept"))).await;

    let outage = store.inject(FAILS, Requests::all());
    let mut once = say::plain(&say::job("t", "once"));
    once.request = None;
    let told = within(shard.call(say::enqueue(once.clone()))).await;
    assert_eq!(told, Err(Failure::OutcomeUnknown));
    // From now on callers are refused at once, or as soon as something has been tried.
    for _ in 0..20 {
        let asked = shard.call(say::get(&kept, false));
        let told = tokio::time::timeout(Duration::from_secs(5), asked).await;
        let refused = told.expect("nobody waits for storage").unwrap_err();
        assert!(
            matches!(refused, Failure::Unavailable | Failure::Opening),
            "{refused:?}"
        );
    }

    outage.end();
    reaches(&shard, |state| *state == ShardState::Open).await;
    assert_eq!(status(&shard, &kept).await, Status::Scheduled);
    let again = call(&shard, say::enqueue(once)).await;
    assert!(
        matches!(
            again,
            Reply::Enqueued(_) | Reply::Refused(Refusal::JobExists(_))
        ),
        "{again:?}"
    );
    shard.close().await;
}

#[silo::test]
async fn a_put_whose_answer_was_lost_loses_the_shard_to_nobody() {
    let directory = tempdir().unwrap();
    let (store, storage) = faulty(&files(&directory).await, false);
    let shard = open(&storage).await;
    let lost = store.inject(LOSES_ANSWER, log_puts().times(1));
    let key = say::job("t", "one");
    // It may take a second try: what matters is that there is one.
    within(async {
        while shard.call(say::enqueue(say::plain(&key))).await.is_err() {
            let state = shard.state().borrow().clone();
            assert!(
                !matches!(state, ShardState::Fenced(_)),
                "nobody else is there"
            );
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(lost.hits(), 1);
    assert_eq!(status(&shard, &key).await, Status::Scheduled);
    shard.close().await;
}

#[silo::test]
async fn a_shard_that_closes_while_storage_fails_stops() {
    let (store, storage) = faulty(&memory().await, true);
    let shard = open(&storage).await;
    enqueue(&shard, say::plain(&say::job("t", "one"))).await;
    let outage = store.inject(FAILS, Requests::all());
    let _ = within(shard.call(say::enqueue(say::plain(&say::job("t", "two"))))).await;
    within(shard.close()).await;
    assert_eq!(*shard.state().borrow(), ShardState::Closed);
    outage.end();
    let shard = start(&storage).await;
    reaches(&shard, |state| *state == ShardState::Open).await;
    assert_eq!(
        status(&shard, &say::job("t", "one")).await,
        Status::Scheduled
    );
    shard.close().await;
}

#[silo::test]
async fn a_thousand_jobs_of_several_tenants_end() {
    let shard = open(&memory().await).await;
    let keys: Vec<JobKey> = (0..1000)
        .map(|n| say::job(&format!("tenant-{}", n % 7), &format!("job-{n}")))
        .collect();
    join_all(keys.iter().map(|key| enqueue(&shard, say::plain(key)))).await;
    let mut ended = BTreeSet::new();
    within(async {
        while ended.len() < keys.len() {
            let tasks = lease(&shard, 97).await;
            let report = |task: &Task| call(&shard, say::report(&task.id, say::success(b"ok")));
            for reply in join_all(tasks.iter().map(report)).await {
                assert_eq!(reply, Reply::Reported);
            }
            for task in tasks {
                assert!(ended.insert((task.id.tenant, task.id.job)), "leased twice");
            }
        }
    })
    .await;
    for key in &keys {
        assert_eq!(status(&shard, key).await, Status::Succeeded);
    }
    shard.close().await;
}

#[silo::test]
async fn dispatch_before_durability_waits_for_payloads_that_storage_does_not_have_yet() {
    const JOBS: u32 = 40;
    let storage = memory().await;
    let mut context = context(&storage);
    context.limits.dispatch = Dispatch::Speculative;
    let shard = Shard::start(entry(&storage).await, context);
    reaches(&shard, |state| *state == ShardState::Open).await;
    let payload = Bytes::from(vec![7; 5_000]);
    let mut got = BTreeSet::new();
    for number in 0..JOBS {
        let mut large = held_for(&say::job("t", &format!("job-{number}")), HOUR);
        large.payload = payload.clone();
        // In one round with the enqueue: its payload is written while the lease is answered.
        let asked = futures::join!(
            call(&shard, say::enqueue(large)),
            call(&shard, say::lease("g", 1))
        );
        let Reply::Leased(tasks) = asked.1 else {
            panic!("a lease");
        };
        got.extend(tasks.into_iter().map(|task| {
            assert_eq!(inline(&task.payload), &payload);
            task.id.job
        }));
    }
    while got.len() < JOBS as usize {
        assert!(got.insert(next_task(&shard).await.id.job));
    }
    shard.close().await;
}

#[silo::test]
async fn what_is_asked_for_by_somebody_who_has_gone_is_not_done() {
    let shard = open(&memory().await).await;
    let mut asked = Box::pin(shard.call(say::enqueue(say::plain(&say::job("t", "gone")))));
    // It is with the shard, whose turn has not come: it runs on this thread.
    assert!(futures::poll!(&mut asked).is_pending());
    drop(asked);
    let key = enqueue(&shard, say::plain(&say::job("t", "here"))).await;
    assert!(matches!(
        call(&shard, say::get(&key, false)).await,
        Reply::Job(_)
    ));
    let gone = call(&shard, say::get(&say::job("t", "gone"), false)).await;
    assert!(matches!(gone, Reply::Refused(_)), "{gone:?}");
    shard.close().await;
}
