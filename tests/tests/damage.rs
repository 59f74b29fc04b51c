//! Rows that are damaged or gone, as clients see them: the job is set aside, and others go on.

#![cfg(test)]

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use silo_core::table::Table as _;
use silo_core::table::payload::{PAYLOAD_SLOT, PayloadKey};
use silo_core::table::state::States;
use silo_runtime::proto::report_outcome_request::Outcome;
use silo_runtime::proto::{EnqueueRequest, Release};
use silo_test_faults::fault::{Fault, Operation, Requests, Trouble as Kind};
use silo_tests::damaged::{key, put};
use silo_tests::messages::{
    NIL, bytes, cancel, data, enqueue, get, lease, lease_one, reason, report, result,
};
use silo_tests::server::{Client, Server, Setup, Trouble, impatient};
use tokio::time::timeout;
use tonic::{Code, Status};

const PATIENCE: Duration = Duration::from_secs(20);

/// Leases and ends everything, until these jobs have come.
async fn come(client: &mut Client, ids: &[&str]) -> Result<(), Trouble> {
    let mut missing: BTreeSet<&str> = ids.iter().copied().collect();
    let coming = async {
        while !missing.is_empty() {
            for task in client.lease_tasks(lease(10)).await?.into_inner().tasks {
                assert!(missing.remove(task.job_id.as_str()), "{}", task.job_id);
                let success = Outcome::Success(data(NIL));
                client.report_outcome(report(&task, success)).await?;
            }
        }
        Ok(())
    };
    timeout(PATIENCE, coming).await?
}

fn assert_quarantined(status: &Status) {
    assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
    assert_eq!(reason(status), "JOB_QUARANTINED");
}

#[silo::test]
async fn a_job_with_a_damaged_row_is_set_aside_and_the_others_go_on() -> Result<(), Trouble> {
    let setup = Setup::default();
    let server = Server::start(setup.clone()).await?;
    let mut client = server.client().await?;
    for id in ["a", "bad", "c"] {
        client.enqueue(enqueue(id)).await?;
    }
    server.stop().await?;
    let garbage = Bytes::from_static(b"\xff garbage");
    put(&setup, States::key(&key("bad")?), Some(garbage)).await?;

    let server = Server::start(setup).await?;
    let mut client = server.client().await?;
    come(&mut client, &["a", "c"]).await?;
    assert_quarantined(&client.get_job(get("bad")).await.expect_err("damaged"));
    assert_quarantined(
        &client
            .get_job_result(result("bad"))
            .await
            .expect_err("damaged"),
    );
    assert_quarantined(
        &client
            .lease_task(lease_one("bad"))
            .await
            .expect_err("damaged"),
    );
    assert_quarantined(&client.cancel_job(cancel("bad")).await.expect_err("damaged"));
    client.enqueue(enqueue("d")).await?;
    come(&mut client, &["d"]).await?;
    server.stop().await
}

fn large(id: &str) -> EnqueueRequest {
    EnqueueRequest {
        payload: Some(data(&[0xc0; 10_000])),
        ..enqueue(id)
    }
}

#[silo::test]
async fn a_job_whose_payload_is_gone_is_not_shown_and_not_leased() -> Result<(), Trouble> {
    let setup = Setup::default();
    let server = Server::start(setup.clone()).await?;
    let mut client = server.client().await?;
    for id in ["a", "bad", "c"] {
        client.enqueue(large(id)).await?;
    }
    server.stop().await?;
    put(&setup, PayloadKey::key(&key("bad")?, PAYLOAD_SLOT), None).await?;

    let server = Server::start(setup).await?;
    let mut client = server.client().await?;
    // Asking again would not help: it is not `UNAVAILABLE`.
    assert_quarantined(&client.get_job(get("bad")).await.expect_err("no payload"));
    come(&mut client, &["a", "c"]).await?;
    assert_quarantined(&client.get_job(get("bad")).await.expect_err("set aside"));
    assert_quarantined(
        &client
            .lease_task(lease_one("bad"))
            .await
            .expect_err("set aside"),
    );
    server.stop().await
}

#[silo::test]
async fn a_payload_that_cannot_be_read_for_now_is_asked_for_again() -> Result<(), Trouble> {
    let mut storage = impatient();
    // Nothing but the payload is read, and that again and again.
    storage.cache_bytes = 0;
    storage.shard.manifest_poll_ms = 3_600_000;
    storage.shard.compaction_poll_ms = 3_600_000;
    let setup = Setup {
        storage,
        ..Setup::default()
    };
    let server = Server::start(setup.clone()).await?;
    let mut client = server.client().await?;
    client.enqueue(large("job")).await?;
    server.stop().await?;
    // What was replayed from the log is in memory: once more, from files.
    Server::start(setup.clone()).await?.stop().await?;

    let server = Server::start(setup).await?;
    let mut client = server.client().await?;
    // Everything but the payload is in the shard's memory from here on.
    client.get_job(get("job")).await?;
    let task = client.lease_tasks(lease(1)).await?.into_inner().tasks.pop();
    let task = task.ok_or("a task")?;
    client
        .report_outcome(report(&task, Outcome::Release(Release {})))
        .await?;
    let files = Requests::of([Operation::Get]).within("/compacted/");
    let outage = server.faulty.inject(Fault::Fails(Kind::Throttled), files);
    let status = client.get_job(get("job")).await.expect_err("no payload");
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert_eq!(reason(&status), "STORAGE_UNREADABLE");
    assert_eq!(client.lease_tasks(lease(1)).await?.into_inner().tasks, []);
    assert!(outage.hits() > 0);
    outage.end();
    let job = client.get_job(get("job")).await?.into_inner();
    assert_eq!(bytes(job.payload.as_ref()).len(), 10_000);
    // It was handed back, which costs nothing.
    let again = async {
        loop {
            if let Some(task) = client.lease_tasks(lease(1)).await?.into_inner().tasks.pop() {
                return Ok::<_, Trouble>(task);
            }
        }
    };
    let again = timeout(PATIENCE, again).await??;
    assert_eq!((again.job_id.as_str(), again.attempt_number), ("job", 1));
    server.stop().await
}
