//! Limits over the wire: no more run at once than may, and nobody is forgotten.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects)]

use silo_runtime::proto::{EnqueueRequest, LeaseTasksRequest, Limit};
use silo_tests::limits::{done, ids, take, wants};
use silo_tests::messages::{enqueue, get, import, lease, lease_one, limits, reason_id, refused};
use silo_tests::server::{Server, Setup, Trouble};
use tonic::Code;

#[silo::test]
async fn no_more_run_at_once_than_a_limit_says_and_all_run() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    for id in ["1", "2", "3", "4", "5"] {
        wants(c, id, &[("k", 2)]).await?;
    }
    let mut tasks = take(c).await?;
    assert_eq!(ids(&tasks), ["1", "2"]);
    for next in ["3", "4", "5"] {
        assert!(take(c).await?.is_empty(), "two run");
        done(c, &tasks.remove(0)).await?;
        tasks.extend(take(c).await?);
        assert_eq!(tasks.len(), 2, "the slot is another's at once");
        assert_eq!(tasks[1].job_id, next);
    }
    for task in tasks {
        done(c, &task).await?;
    }
    assert!(take(c).await?.is_empty());
    server.stop().await
}

/// A worker that waits is told when a slot comes free.
#[silo::test]
async fn a_worker_that_waits_gets_the_job_whose_slot_comes_free() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    wants(c, "1", &[("k", 1)]).await?;
    wants(c, "2", &[("k", 1)]).await?;
    let first = take(c).await?;
    let waits = LeaseTasksRequest {
        wait_ms: 60_000,
        ..lease(1)
    };
    let waiting = {
        let mut c = server.client().await?;
        tokio::spawn(async move { c.lease_tasks(waits).await })
    };
    let mut waiters = server.node.waiters().waiting();
    waiters.wait_for(|waiting| *waiting == 1).await?;
    done(c, &first[0]).await?;
    let got = waiting.await??.into_inner().tasks;
    assert_eq!(ids(&got), ["2"]);
    server.stop().await
}

#[silo::test]
async fn a_lease_of_one_given_job_passes_no_limit_by() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    wants(c, "1", &[("k", 1)]).await?;
    wants(c, "2", &[("a", 1), ("k", 1)]).await?;
    let full = (
        Code::FailedPrecondition,
        "LIMIT_FULL",
        "job cannot be leased: its limit k has no slot for it",
    );
    let status = refused(c.lease_task(lease_one("2")).await, full)?;
    assert_eq!(reason_id(&status, "limit"), "k");
    c.lease_task(lease_one("1")).await?;
    server.stop().await
}

#[silo::test]
async fn limits_are_shown_as_they_were_given() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    let given = [("b", 3), ("a", 0), ("b", 2)];
    wants(c, "1", &given).await?;
    let mut imported = import("2");
    imported.limits = limits(&[("z", 1)]);
    let jobs = vec![imported];
    let import = silo_runtime::proto::ImportJobsRequest { jobs };
    assert!(c.import_jobs(import).await?.into_inner().results[0].success);
    let job = c.get_job(get("1")).await?.into_inner();
    assert_eq!(job.limits, limits(&given));
    let tasks = take(c).await?;
    assert_eq!(ids(&tasks), ["2"], "0 is none");
    assert_eq!(tasks[0].limits, limits(&[("z", 1)]));
    server.stop().await
}

#[silo::test]
async fn limits_out_of_bounds_are_refused() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    let keys: Vec<String> = (0..17).map(|number| number.to_string()).collect();
    let many: Vec<_> = keys.iter().map(|key| (key.as_str(), 1)).collect();
    let long = "k".repeat(257);
    for (given, text) in [
        (
            limits(&many),
            "limits is 17 limits, but must be at most 16 limits",
        ),
        (
            limits(&[("", 1)]),
            "limits.key is 0 bytes long, but must be 1 to 256 bytes",
        ),
        (
            limits(&[(&long, 1)]),
            "limits.key is 257 bytes long, but must be 1 to 256 bytes",
        ),
        (
            vec![Limit { limit: None }],
            "limits is a limit of no kind, but must be one of its kinds",
        ),
    ] {
        let job = EnqueueRequest {
            limits: given,
            ..enqueue("bad")
        };
        let want = (Code::InvalidArgument, "INVALID_FIELD", text);
        refused(c.enqueue(job).await, want)?;
    }
    wants(c, "good", &many[..16]).await?;
    assert_eq!(ids(&take(c).await?), ["good"]);
    server.stop().await
}
