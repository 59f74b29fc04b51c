//! Retention over the network: each outcome has its own, and what is over is gone altogether.

#![cfg(test)]

use std::time::Duration;

use silo_runtime::proto::report_outcome_request::Outcome;
use silo_runtime::proto::{
    EnqueueRequest, GetNodeInfoRequest, JobStatus, OwnedShardInfo, Retention,
};
use silo_tests::messages::{
    cancel, enqueue, failure, get, lease_one, refused, report, restart, result, success,
};
use silo_tests::server::{Client, Server, Setup, Trouble};
use tokio::time::timeout;
use tonic::Code;

const PATIENCE: Duration = Duration::from_secs(20);
const UNKNOWN: (Code, &str, &str) = (Code::NotFound, "JOB_NOT_FOUND", "job not found");
/// Longer than any test.
const LONG: i64 = 3_600_000;

fn kept(id: &str, retention: [Option<i64>; 3]) -> EnqueueRequest {
    let [succeeded_ms, failed_ms, cancelled_ms] = retention;
    EnqueueRequest {
        retention: Some(Retention {
            succeeded_ms,
            failed_ms,
            cancelled_ms,
        }),
        ..enqueue(id)
    }
}

async fn end(c: &mut Client, id: &str, outcome: Option<Outcome>) -> Result<(), Trouble> {
    let Some(outcome) = outcome else {
        c.cancel_job(cancel(id)).await?;
        return Ok(());
    };
    let task = c.lease_task(lease_one(id)).await?.into_inner().task;
    let task = task.ok_or("a task")?;
    c.report_outcome(report(&task, outcome)).await?;
    Ok(())
}

/// Waits until a job is gone. However it is asked for, it never was.
async fn gone(c: &mut Client, id: &str) -> Result<(), Trouble> {
    let going = async {
        while c.get_job(get(id)).await.is_ok() {}
        refused(c.get_job(get(id)).await, UNKNOWN)?;
        refused(c.get_job_result(result(id)).await, UNKNOWN)?;
        refused(c.restart_job(restart(id)).await, UNKNOWN)?;
        Ok::<_, Trouble>(())
    };
    timeout(PATIENCE, going).await?
}

/// Of the only shard: all jobs, and those that have ended.
async fn tallies(c: &mut Client) -> Result<(i64, i64), Trouble> {
    let info = c.get_node_info(GetNodeInfoRequest {}).await?.into_inner();
    let of = |shard: &OwnedShardInfo| (shard.total_jobs, shard.completed_jobs);
    Ok(of(info.owned_shards.first().ok_or("a shard")?))
}

#[silo::test]
async fn each_outcome_has_its_own() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    let ends = [
        ("succeeded", Some(success())),
        ("failed", Some(failure("E"))),
        ("cancelled", None),
    ];
    for (number, (name, outcome)) in ends.iter().enumerate() {
        let mut only = [None; 3];
        only[number] = Some(100);
        let mut others = [Some(0); 3];
        others[number] = Some(LONG);
        for (id, retention) in [("goes", only), ("stays", others)] {
            let id = format!("{name}-{id}");
            c.enqueue(kept(&id, retention)).await?;
            end(c, &id, outcome.clone()).await?;
        }
    }
    c.enqueue(enqueue("forever")).await?;
    end(c, "forever", Some(success())).await?;
    for (name, _) in &ends {
        gone(c, &format!("{name}-goes")).await?;
    }
    for (name, _) in &ends {
        c.get_job_result(result(&format!("{name}-stays"))).await?;
    }
    c.get_job_result(result("forever")).await?;
    assert_eq!(tallies(c).await?, (4, 4));
    // The id is free.
    c.enqueue(enqueue("failed-goes")).await?;
    assert_eq!(tallies(c).await?, (5, 4));
    server.stop().await
}

#[silo::test]
async fn many_go_and_the_tallies_stay_exact() -> Result<(), Trouble> {
    const JOBS: i64 = 500;
    let setup = Setup::default();
    let server = Server::start(setup.clone()).await?;
    let c = &mut server.client().await?;
    for number in 0..JOBS {
        let ms = if number % 2 == 0 { 200 } else { LONG };
        let id = format!("job-{number}");
        c.enqueue(kept(&id, [None, None, Some(ms)])).await?;
        c.cancel_job(cancel(&id)).await?;
    }
    gone(c, &format!("job-{}", JOBS - 2)).await?;
    let half = async {
        while tallies(c).await? != (JOBS / 2, JOBS / 2) {}
        Ok::<_, Trouble>(())
    };
    timeout(PATIENCE, half).await??;
    server.stop().await?;
    // What is gone does not come back with the shard.
    let server = Server::start(setup).await?;
    let c = &mut server.client().await?;
    assert_eq!(tallies(c).await?, (JOBS / 2, JOBS / 2));
    refused(c.get_job(get("job-0")).await, UNKNOWN)?;
    c.get_job(get("job-1")).await?;
    server.stop().await
}

#[silo::test]
async fn a_job_that_runs_again_is_kept() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    // Its time would be over while it runs.
    c.enqueue(kept("job", [Some(LONG), Some(700), None]))
        .await?;
    end(c, "job", Some(failure("E"))).await?;
    c.restart_job(restart("job")).await?;
    c.enqueue(kept("witness", [None, None, Some(700)])).await?;
    end(c, "witness", None).await?;
    gone(c, "witness").await?;
    let job = c.get_job(get("job")).await?.into_inner();
    assert_eq!(job.status(), JobStatus::Scheduled);
    end(c, "job", Some(success())).await?;
    assert_eq!(tallies(c).await?, (1, 1));
    server.stop().await
}

#[silo::test]
async fn a_negative_one_is_refused() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    let names = ["succeeded_ms", "failed_ms", "cancelled_ms"];
    for (number, name) in names.into_iter().enumerate() {
        let mut retention = [Some(0); 3];
        retention[number] = Some(-1);
        let text = format!("retention.{name} is -1, but must be at least 0");
        let want = (Code::InvalidArgument, "INVALID_FIELD", text.as_str());
        refused(c.enqueue(kept("job", retention)).await, want)?;
    }
    // As long as there is, and no time at all.
    c.enqueue(kept("long", [Some(i64::MAX); 3])).await?;
    end(c, "long", Some(success())).await?;
    c.enqueue(kept("job", [Some(0); 3])).await?;
    end(c, "job", Some(success())).await?;
    gone(c, "job").await?;
    c.get_job(get("long")).await?;
    assert_eq!(tallies(c).await?, (1, 1));
    server.stop().await
}
