//! Rows of a shard that a release wrote which knew format 1 alone: its jobs live on.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use bytes::Bytes;
use common::{Shard, lease_job, retrying};
use silo_core::shard::commands::report::Outcome;
use silo_core::shard::reply::Reply;
use silo_core::shard::soft::Soft;
use silo_core::table::Table;
use silo_core::table::job::JobKey;
use silo_core::table::state::{Position, StateRow, States, Status};
use silo_core::table::tenant::Tenants;
use silo_core::types::task::TaskId;
use silo_core::types::time::Millis;

fn large_failure() -> Outcome {
    Outcome::Failure {
        code: "E".to_owned(),
        data: Bytes::from(vec![1; 5000]),
        retryable: true,
        retry_after: Some(Millis::ZERO),
    }
}

/// A state row as format 1 wrote it. Jobs of that time were not removed at a time.
fn as_format_1(state: &StateRow) -> Bytes {
    let mut bytes = vec![1];
    borsh::to_writer(&mut bytes, &state.position).unwrap();
    if let Position::Ended { expires, .. } = &state.position {
        assert_eq!(*expires, None);
        bytes.pop();
    }
    let counts = (state.attempts_ended, state.attempts_before);
    let rest = (&state.queue, state.changed_at, counts);
    borsh::to_writer(&mut bytes, &rest).unwrap();
    let rest = (state.retries_used, state.retry_delay, state.crashes);
    borsh::to_writer(&mut bytes, &rest).unwrap();
    let rest = (state.losses, state.cancel_asked_at, &state.last);
    borsh::to_writer(&mut bytes, &rest).unwrap();
    borsh::to_writer(&mut bytes, &state.returned).unwrap();
    bytes.into()
}

/// A shard as a release wrote it that knew format 1 alone, with a job in every position: its task,
/// if it runs.
fn of_format_1() -> (Shard, Vec<(JobKey, Option<TaskId>)>) {
    let mut shard = Shard::new();
    let mut jobs = Vec::new();
    for id in ["due", "ready", "leased", "failed", "cancelled", "succeeded"] {
        let mut asked = retrying(id, 2);
        asked.payload = Bytes::from(vec![3; 5000]);
        let key = shard.enqueue(asked);
        let mut task = None;
        for outcome in [Some(large_failure()), Some(large_failure()), None] {
            let Reply::Leased(tasks) = shard.run(&lease_job(&key)) else {
                panic!("leased");
            };
            task = Some(tasks[0].id.clone());
            if let Some(outcome) = outcome {
                shard.report(&tasks[0].id, outcome);
            }
        }
        let last = match id {
            "due" => Some(Outcome::Snooze {
                delay: Millis::new(5000),
            }),
            "leased" => None,
            "ready" | "cancelled" => Some(Outcome::Release),
            "failed" => Some(large_failure()),
            _ => Some(common::success()),
        };
        if let Some(last) = last {
            shard.report(&task.take().unwrap(), last);
        }
        if id == "cancelled" {
            shard.cancel(&key);
        }
        jobs.push((key, task));
    }
    let image = shard.image();
    for (key, state) in &image.states {
        let row = as_format_1(state);
        assert_eq!(States::read_row(&row).unwrap().status(), state.status());
        shard.rows.map.insert(States::key(key), row);
    }
    for (tenant, row) in &image.tenants {
        let mut bytes = vec![1];
        borsh::to_writer(
            &mut bytes,
            &(row.next_seq, row.tallies, &row.ready, row.due),
        )
        .unwrap();
        shard.rows.map.insert(Tenants::key(tenant), bytes.into());
    }
    shard.soft = Soft::lost();
    shard.settle();
    (shard, jobs)
}

#[test]
fn jobs_of_an_earlier_release_live_on_and_go_with_everything() {
    let (mut shard, jobs) = of_format_1();
    shard.retention = common::kept("x", 1000).retention;
    for (key, task) in &jobs {
        if let Some(task) = task {
            assert_eq!(shard.report(task, large_failure()), Reply::Reported);
        }
        match shard.status(key) {
            Status::Scheduled => assert_eq!(shard.cancel(key), Reply::Cancelled),
            Status::Failed | Status::Cancelled => {
                assert_eq!(shard.restart(key), Reply::Restarted);
                let task = match shard.run(&lease_job(key)) {
                    Reply::Leased(mut tasks) => tasks.remove(0).id,
                    other => panic!("{other:?}"),
                };
                assert_eq!(shard.report(&task, common::success()), Reply::Reported);
            }
            Status::Succeeded => assert_eq!(shard.delete(key), Reply::Deleted),
            other => panic!("{other:?}"),
        }
    }
    shard.pass(1000);
    assert!(shard.rows.map.is_empty(), "{:?}", shard.rows.map.keys());
}

#[test]
fn jobs_of_an_earlier_release_are_deleted_as_they_are() {
    let (mut shard, jobs) = of_format_1();
    for (key, task) in &jobs {
        if let Some(task) = task {
            assert_eq!(shard.report(task, Outcome::Release), Reply::Reported);
        }
        assert_eq!(shard.delete(key), Reply::Deleted);
    }
    assert!(shard.rows.map.is_empty(), "{:?}", shard.rows.map.keys());
}
