//! Two servers on one bucket: the first one is held up in the middle, loses the bucket to the other
//! and goes on. Nothing that it says then is a confirmation, and nothing is done twice.

#![cfg(test)]

use std::time::Duration;

use silo_runtime::proto::JobStatus;
use silo_runtime::proto::report_outcome_request::Outcome;
use silo_runtime::storage::error::StorageError;
use silo_test_faults::fault::{Fault, Requests};
use silo_tests::messages::{NIL, data, enqueue, get, heartbeat, lease, reason, report};
use silo_tests::server::{Client, Server, Setup, Trouble, impatient};
use tokio::time::timeout;
use tonic::Code;

const PATIENCE: Duration = Duration::from_secs(20);

/// Servers made of clones of this share a bucket.
fn one_bucket() -> Setup {
    let mut storage = impatient();
    // They learn of their fate only by what they do themselves.
    storage.shard.manifest_poll_ms = 3_600_000;
    storage.shard.compaction_poll_ms = 3_600_000;
    // A write that is held up is not given up: it lands late.
    storage.time_limits.flush_ms = 60_000;
    Setup {
        storage,
        lease_ms: 600,
        ..Setup::default()
    }
}

async fn status(client: &mut Client, id: &str) -> Result<JobStatus, Trouble> {
    Ok(client.get_job(get(id)).await?.into_inner().status())
}

#[silo::test]
async fn a_server_that_slept_confirms_nothing_and_says_that_it_was_fenced() -> Result<(), Trouble> {
    let setup = one_bucket();
    let first = Server::start(setup.clone()).await?;
    let mut client = first.client().await?;
    client.enqueue(enqueue("kept")).await?;
    let answer = client.lease_tasks(lease(1)).await?.into_inner();
    let task = answer.tasks.first().ok_or("a task")?.clone();

    // From here on it sleeps, with an enqueue in the middle of being written.
    let asleep = first.faulty.inject(Fault::Waits, Requests::all());
    let mut caller = client.clone();
    let late = tokio::spawn(async move { caller.enqueue(enqueue("late")).await });
    asleep.struck(1).await;
    // Its last proof is good for a third of the lease, and another cannot be had.
    let unproven = async {
        loop {
            if let Err(status) = client.heartbeat(heartbeat(&task)).await {
                return status;
            }
        }
    };
    let unproven = timeout(PATIENCE, unproven).await?;
    assert_eq!(unproven.code(), Code::Unavailable, "{unproven:?}");
    assert_eq!(reason(&unproven), "OWNERSHIP_UNPROVEN");

    // The other one opens the bucket, gives the task to somebody else and sees it through.
    let second = Server::start(setup).await?;
    let mut other = second.client().await?;
    let taken = async {
        loop {
            let answer = other.lease_tasks(lease(1)).await?.into_inner();
            if let Some(task) = answer.tasks.into_iter().next() {
                return Ok::<_, Trouble>(task);
            }
        }
    };
    let again = timeout(PATIENCE, taken).await??;
    assert_eq!((&again.job_id, again.id == task.id), (&task.job_id, false));
    let success = Outcome::Success(data(NIL));
    other
        .report_outcome(report(&again, success.clone()))
        .await?;

    // The first one still has all this in memory, and says nothing of it.
    let (mut beats, mut reads) = (client.clone(), client.clone());
    let beat = heartbeat(&task);
    let beat = tokio::spawn(async move { beats.heartbeat(beat).await });
    let read = tokio::spawn(async move { reads.get_job(get("kept")).await });

    // It wakes: its write lands behind the fence and is not acknowledged.
    asleep.end();
    let late = timeout(PATIENCE, late).await??.expect_err("it is fenced");
    assert_eq!(late.code(), Code::Aborted, "{late:?}");
    assert_eq!(reason(&late), "OUTCOME_UNKNOWN");
    let beat = timeout(PATIENCE, beat).await??.expect_err("given away");
    let read = timeout(PATIENCE, read).await??.expect_err("old news");
    assert_eq!(
        (beat.code(), read.code()),
        (Code::Unavailable, Code::Unavailable)
    );
    let lost = timeout(PATIENCE, first.node.lost()).await?;
    assert!(matches!(lost.cause, StorageError::Fenced { .. }), "{lost}");
    assert!(lost.to_string().contains("another process"), "{lost}");
    for _ in 0..3 {
        let beat = client.heartbeat(heartbeat(&task)).await;
        assert_eq!(beat.expect_err("fenced").code(), Code::Unavailable);
        let outcome = client.report_outcome(report(&task, success.clone())).await;
        assert_eq!(outcome.expect_err("fenced").code(), Code::Unavailable);
    }

    // Nothing is doubled: one attempt ended, and the late job is not there.
    let job = other.get_job(get("kept")).await?.into_inner();
    let ended = job
        .attempts
        .iter()
        .filter(|attempt| attempt.finished_at_ms.is_some());
    assert_eq!((job.status(), ended.count()), (JobStatus::Succeeded, 1));
    let gone = other.get_job(get("late")).await.expect_err("never written");
    assert_eq!(gone.code(), Code::NotFound);
    other.enqueue(enqueue("late")).await?;
    assert_eq!(status(&mut other, "late").await?, JobStatus::Scheduled);
    first.stop().await?;
    second.stop().await
}

#[silo::test]
async fn a_shard_that_lost_its_bucket_while_storage_failed_does_not_take_it_back()
-> Result<(), Trouble> {
    let setup = one_bucket();
    let first = Server::start(setup.clone()).await?;
    let mut client = first.client().await?;
    client.enqueue(enqueue("kept")).await?;
    let broken = silo_test_faults::fault::Trouble::Generic;
    let outage = first.faulty.inject(Fault::Fails(broken), Requests::all());
    client
        .enqueue(enqueue("late"))
        .await
        .expect_err("no storage");
    let second = Server::start(setup).await?;
    outage.end();
    let lost = timeout(PATIENCE, first.node.lost()).await?;
    assert!(matches!(lost.cause, StorageError::Fenced { .. }), "{lost}");
    let mut other = second.client().await?;
    assert_eq!(status(&mut other, "kept").await?, JobStatus::Scheduled);
    other.enqueue(enqueue("late")).await?;
    first.stop().await?;
    second.stop().await
}
