//! DeleteJob, RestartJob, ExpediteJob and snoozing: what is accepted, and every refusal.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects)]

use std::time::Duration;

use silo_runtime::proto::report_outcome_request::Outcome;
use silo_runtime::proto::{
    AttemptStatus, Cancelled, DeleteJobRequest, EnqueueRequest, ExpediteJobRequest, JobStatus,
    RestartJobRequest, RetryPolicy, Snooze, Task,
};
use silo_tests::messages::{
    cancel, delete, enqueue, expedite, failure, get, lease, lease_one, refused, report, restart,
    success,
};
use silo_tests::server::{Client, Server, Setup, Trouble};
use tokio::time::timeout;
use tonic::Code;

const PATIENCE: Duration = Duration::from_secs(20);
const UNKNOWN: (Code, &str, &str) = (Code::NotFound, "JOB_NOT_FOUND", "job not found");
const RUNNING: (Code, &str, &str) = (
    Code::FailedPrecondition,
    "JOB_RUNNING",
    "job is running: cancel it, or wait until it has ended",
);
const TENANCY_OFF: (Code, &str, &str) = (
    Code::FailedPrecondition,
    "TENANCY_OFF",
    "a tenant was given, but tenancy is off on this server: leave the tenant away",
);
const NO_SHARD: (Code, &str, &str) = (
    Code::InvalidArgument,
    "INVALID_FIELD",
    "shard is shard-1, but must be empty or a UUID",
);
const NO_ID: (Code, &str, &str) = (
    Code::InvalidArgument,
    "INVALID_FIELD",
    "id is 0 bytes long, but must be 1 to 256 bytes",
);

async fn take(c: &mut Client, id: &str) -> Result<Task, Trouble> {
    let task = c.lease_task(lease_one(id)).await?.into_inner().task;
    Ok(task.ok_or("no task")?)
}

/// Enqueues a job and ends it so.
async fn ended(c: &mut Client, id: &str, outcome: Outcome) -> Result<(), Trouble> {
    c.enqueue(enqueue(id)).await?;
    let task = take(c, id).await?;
    c.report_outcome(report(&task, outcome)).await?;
    Ok(())
}

/// Jobs named after where they stand. The running one is named "running".
async fn one_of_each(c: &mut Client) -> Result<(), Trouble> {
    c.enqueue(enqueue("ready")).await?;
    c.enqueue(later("later")).await?;
    ended(c, "succeeded", success()).await?;
    ended(c, "failed", failure("E")).await?;
    ended(c, "stopped", Outcome::Cancelled(Cancelled {})).await?;
    c.enqueue(enqueue("cancelled")).await?;
    c.cancel_job(cancel("cancelled")).await?;
    c.enqueue(enqueue("running")).await?;
    take(c, "running").await?;
    Ok(())
}

fn later(id: &str) -> EnqueueRequest {
    EnqueueRequest {
        start_at_ms: i64::MAX,
        ..enqueue(id)
    }
}

#[silo::test]
async fn what_does_not_run_is_deleted() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    one_of_each(c).await?;
    for id in [
        "ready",
        "later",
        "succeeded",
        "failed",
        "stopped",
        "cancelled",
    ] {
        c.delete_job(delete(id)).await?;
        refused(c.get_job(get(id)).await, UNKNOWN)?;
        // Sent again, as after a lost answer.
        c.delete_job(delete(id)).await?;
    }
    c.delete_job(delete("never was")).await?;
    refused(c.delete_job(delete("running")).await, RUNNING)?;
    // Asked to stop, it runs all the same.
    c.cancel_job(cancel("running")).await?;
    refused(c.delete_job(delete("running")).await, RUNNING)?;
    assert_eq!(c.lease_tasks(lease(10)).await?.into_inner().tasks, []);
    let node = c.get_node_info(silo_runtime::proto::GetNodeInfoRequest {});
    assert_eq!(node.await?.into_inner().owned_shards[0].total_jobs, 1);
    // The id is free, and what it was is not seen again.
    c.enqueue(enqueue("succeeded")).await?;
    let job = c.get_job(get("succeeded")).await?.into_inner();
    assert_eq!(
        (job.status(), job.attempts.len()),
        (JobStatus::Scheduled, 0)
    );
    server.stop().await
}

#[silo::test]
async fn what_failed_or_was_cancelled_runs_again() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    one_of_each(c).await?;
    for (id, attempt) in [("failed", 2), ("stopped", 2), ("cancelled", 1)] {
        c.restart_job(restart(id)).await?;
        let job = c.get_job(get(id)).await?.into_inner();
        assert_eq!(job.status(), JobStatus::Scheduled, "{id}");
        let task = take(c, id).await?;
        let numbers = (task.attempt_number, task.relative_attempt_number);
        assert_eq!(numbers, (attempt, 1), "{id}");
        c.report_outcome(report(&task, success())).await?;
        let job = c.get_job(get(id)).await?.into_inner();
        assert_eq!(job.status(), JobStatus::Succeeded, "{id}");
        assert_eq!(job.attempts.len(), attempt as usize, "{id}");
    }
    refused(c.restart_job(restart("never was")).await, UNKNOWN)?;
    let not = |text| (Code::FailedPrecondition, "JOB_NOT_RESTARTABLE", text);
    for (id, text) in [
        ("ready", "job cannot be restarted: it is scheduled"),
        ("later", "job cannot be restarted: it is scheduled"),
        ("running", "job cannot be restarted: it is running"),
        ("succeeded", "job cannot be restarted: it is succeeded"),
        ("failed", "job cannot be restarted: it is succeeded"),
    ] {
        refused(c.restart_job(restart(id)).await, not(text))?;
    }
    server.stop().await
}

#[silo::test]
async fn a_restarted_job_has_its_retries_again() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    let policy = RetryPolicy {
        retry_count: 1,
        ..RetryPolicy::default()
    };
    let job = EnqueueRequest {
        retry_policy: Some(policy),
        ..enqueue("job")
    };
    c.enqueue(job).await?;
    let mut seen = Vec::new();
    for run in 0..2 {
        if run > 0 {
            c.restart_job(restart("job")).await?;
        }
        for _ in 0..2 {
            let task = take(c, "job").await?;
            seen.push((
                task.attempt_number,
                task.relative_attempt_number,
                task.is_last_attempt,
            ));
            c.report_outcome(report(&task, failure("E"))).await?;
        }
    }
    assert_eq!(
        seen,
        [(1, 1, false), (2, 2, true), (3, 1, false), (4, 2, true)]
    );
    let job = c.get_job(get("job")).await?.into_inner();
    assert_eq!((job.status(), job.retries_used), (JobStatus::Failed, 1));
    let failed = |a: &silo_runtime::proto::JobAttempt| a.status() == AttemptStatus::Failed;
    assert!(job.attempts.iter().all(failed));
    server.stop().await
}

#[silo::test]
async fn what_waits_for_its_time_is_expedited() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    one_of_each(c).await?;
    c.delete_job(delete("ready")).await?;
    // Its back-off is as long as there is.
    let policy = RetryPolicy {
        retry_count: 1,
        initial_interval_ms: i64::MAX,
        ..RetryPolicy::default()
    };
    let job = EnqueueRequest {
        retry_policy: Some(policy),
        ..enqueue("backs off")
    };
    c.enqueue(job).await?;
    let task = take(c, "backs off").await?;
    c.report_outcome(report(&task, failure("E"))).await?;
    assert_eq!(c.lease_tasks(lease(10)).await?.into_inner().tasks, []);
    for id in ["later", "backs off"] {
        c.expedite_job(expedite(id)).await?;
        let already = (
            Code::FailedPrecondition,
            "JOB_READY",
            "job cannot be expedited: it is ready already, and waits for a worker",
        );
        refused(c.expedite_job(expedite(id)).await, already)?;
        let tasks = c.lease_tasks(lease(10)).await?.into_inner().tasks;
        let ids: Vec<_> = tasks.iter().map(|task| task.job_id.as_str()).collect();
        assert_eq!(ids, [id]);
    }
    refused(c.expedite_job(expedite("never was")).await, UNKNOWN)?;
    let not = |text| (Code::FailedPrecondition, "JOB_NOT_EXPEDITABLE", text);
    for (id, text) in [
        ("running", "job cannot be expedited: it is running"),
        ("later", "job cannot be expedited: it is running"),
        ("succeeded", "job cannot be expedited: it is succeeded"),
        ("failed", "job cannot be expedited: it is failed"),
        ("cancelled", "job cannot be expedited: it is cancelled"),
    ] {
        refused(c.expedite_job(expedite(id)).await, not(text))?;
    }
    server.stop().await
}

#[silo::test]
async fn a_call_that_names_no_job_is_refused() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    let elsewhere = "00000000-0000-0000-0000-000000000000";
    let not_here = format!("shard not found: this node does not serve {elsewhere}");
    let not_here = (Code::NotFound, "SHARD_NOT_FOUND", not_here.as_str());
    let cases = [
        ("", "", Some("t"), TENANCY_OFF),
        ("", "", None, NO_ID),
        ("shard-1", "job", None, NO_SHARD),
        (elsewhere, "job", None, not_here),
    ];
    for (shard, id, tenant, want) in cases {
        let (shard, id) = (shard.to_owned(), id.to_owned());
        let tenant = tenant.map(str::to_owned);
        let request = DeleteJobRequest { shard, id, tenant };
        let DeleteJobRequest { shard, id, tenant } = request.clone();
        refused(c.delete_job(request).await, want)?;
        let request = RestartJobRequest { shard, id, tenant };
        let RestartJobRequest { shard, id, tenant } = request.clone();
        refused(c.restart_job(request).await, want)?;
        let request = ExpediteJobRequest { shard, id, tenant };
        refused(c.expedite_job(request).await, want)?;
    }
    server.stop().await
}

#[silo::test]
async fn another_tenants_job_is_not_there() -> Result<(), Trouble> {
    let server = Server::start(Setup {
        tenancy: true,
        ..Setup::default()
    })
    .await?;
    let c = &mut server.client().await?;
    let (a, b) = (Some("a".to_owned()), Some("b".to_owned()));
    c.enqueue(EnqueueRequest {
        tenant: a.clone(),
        ..later("job")
    })
    .await?;
    let theirs = DeleteJobRequest {
        tenant: b.clone(),
        ..delete("job")
    };
    c.delete_job(theirs).await?;
    let theirs = RestartJobRequest {
        tenant: b.clone(),
        ..restart("job")
    };
    refused(c.restart_job(theirs).await, UNKNOWN)?;
    let theirs = ExpediteJobRequest {
        tenant: b,
        ..expedite("job")
    };
    refused(c.expedite_job(theirs).await, UNKNOWN)?;
    let own = ExpediteJobRequest {
        tenant: a.clone(),
        ..expedite("job")
    };
    c.expedite_job(own).await?;
    c.delete_job(DeleteJobRequest {
        tenant: a,
        ..delete("job")
    })
    .await?;
    assert_eq!(c.lease_tasks(lease(1)).await?.into_inner().tasks, []);
    server.stop().await
}

#[silo::test]
async fn a_snoozed_job_comes_back_at_its_time_as_the_same_attempt() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    c.enqueue(enqueue("job")).await?;
    let task = take(c, "job").await?;
    let negative = report(&task, Outcome::Snooze(Snooze { delay_ms: -1 }));
    let text = "snooze.delay_ms is -1, but must be at least 0";
    let want = (Code::InvalidArgument, "INVALID_FIELD", text);
    refused(c.report_outcome(negative).await, want)?;

    let snooze = report(&task, Outcome::Snooze(Snooze { delay_ms: 500 }));
    c.report_outcome(snooze.clone()).await?;
    // The same again changes nothing; another outcome comes too late.
    c.report_outcome(snooze).await?;
    let want = (Code::NotFound, "LEASE_RELEASED", "lease not found");
    refused(c.report_outcome(report(&task, success())).await, want)?;
    let job = c.get_job(get("job")).await?.into_inner();
    assert_eq!((job.status(), job.retries_used), (JobStatus::Scheduled, 0));
    assert_eq!(job.attempts, []);
    let due = job.next_attempt_starts_after_ms.ok_or("a time")?;
    assert_eq!(due - job.status_changed_at_ms, 500);

    let again = async {
        loop {
            if let Some(task) = c.lease_tasks(lease(1)).await?.into_inner().tasks.pop() {
                return Ok::<_, Trouble>(task);
            }
        }
    };
    let again = timeout(PATIENCE, again).await??;
    assert_ne!(again.id, task.id);
    assert_eq!((again.job_id.as_str(), again.attempt_number), ("job", 1));
    assert!(again.is_last_attempt, "no retry policy");
    let job = c.get_job(get("job")).await?.into_inner();
    assert!(job.attempts[0].started_at_ms >= due, "{job:?} before {due}");
    // However long.
    let forever = Outcome::Snooze(Snooze { delay_ms: i64::MAX });
    c.report_outcome(report(&again, forever)).await?;
    let job = c.get_job(get("job")).await?.into_inner();
    assert_eq!(job.next_attempt_starts_after_ms, Some(i64::MAX));
    server.stop().await
}

#[silo::test]
async fn a_snooze_of_a_job_that_is_to_stop_ends_it() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    c.enqueue(enqueue("job")).await?;
    let task = take(c, "job").await?;
    c.cancel_job(cancel("job")).await?;
    let snooze = Outcome::Snooze(Snooze { delay_ms: 1 });
    c.report_outcome(report(&task, snooze)).await?;
    let job = c.get_job(get("job")).await?.into_inner();
    assert_eq!(job.status(), JobStatus::Cancelled);
    server.stop().await
}
