//! ImportJobs: results in order, every error of a single job, and the one that refuses the call.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects)]

use silo_runtime::proto::{
    AttemptStatus, ConcurrencyLimit, EnqueueRequest, GetJobRequest, GetNodeInfoRequest,
    GubernatorRateLimit, ImportAttempt, ImportJobRequest, ImportJobResult, ImportJobsRequest,
    JobStatus, Limit, RetryPolicy, limit,
};
use silo_tests::messages::{
    GROUP, PAYLOAD, bytes, cancel, data, delete, enqueue, failure, get, import, lease, lease_one,
    reason_id, refused, report, success,
};
use silo_tests::server::{Client, Server, Setup, Trouble};
use tonic::{Code, Status};

const RUNNING: (Code, &str, &str) = (
    Code::FailedPrecondition,
    "JOB_RUNNING",
    "job is running: cancel it, or wait until it has ended",
);

fn attempt(status: AttemptStatus, n: i64) -> ImportAttempt {
    let failed = status == AttemptStatus::Failed;
    ImportAttempt {
        status: status.into(),
        started_at_ms: n * 1000,
        finished_at_ms: n * 1000 + 500,
        result: (status == AttemptStatus::Succeeded).then(|| data(PAYLOAD)),
        error_code: failed.then(|| format!("E{n}")),
        error_data: failed.then(|| data(PAYLOAD)),
    }
}

/// A history of failures, and then this.
fn history(failures: i64, last: Option<AttemptStatus>) -> Vec<ImportAttempt> {
    let failures = (1..=failures).map(|n| attempt(AttemptStatus::Failed, n));
    let mut all: Vec<_> = failures.collect();
    let next = i64::try_from(all.len()).expect("few") + 1;
    all.extend(last.map(|status| attempt(status, next)));
    all
}

fn with(id: &str, attempts: Vec<ImportAttempt>) -> ImportJobRequest {
    ImportJobRequest {
        attempts,
        ..import(id)
    }
}

fn retries(retry_count: u32) -> Option<RetryPolicy> {
    Some(RetryPolicy {
        retry_count,
        ..RetryPolicy::default()
    })
}

async fn call(c: &mut Client, jobs: Vec<ImportJobRequest>) -> Result<Vec<ImportJobResult>, Status> {
    let answer = c.import_jobs(ImportJobsRequest { jobs }).await?;
    Ok(answer.into_inner().results)
}

/// What the results say, in order: a status, or an error.
fn told(results: &[ImportJobResult]) -> Vec<(&str, Result<JobStatus, &str>)> {
    let told = |result: &ImportJobResult| match result.success {
        true => {
            assert_eq!(result.error, None);
            Ok(result.status())
        }
        false => Err(()),
    };
    let told = results.iter().map(|result| {
        let outcome = told(result).map_err(|()| result.error.as_deref().unwrap_or("none"));
        (result.id.as_str(), outcome)
    });
    told.collect()
}

async fn one(c: &mut Client, job: ImportJobRequest) -> Result<Result<JobStatus, String>, Trouble> {
    let results = call(c, vec![job]).await?;
    let outcome = told(&results).pop().ok_or("a result")?.1;
    Ok(outcome.map_err(str::to_owned))
}

#[silo::test]
async fn a_job_comes_in_as_its_history_left_it() -> Result<(), Trouble> {
    use AttemptStatus::{Cancelled, Failed, Succeeded};
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    let retried = ImportJobRequest {
        retry_policy: retries(3),
        ..with("retried", history(2, None))
    };
    let spent = ImportJobRequest {
        retry_policy: retries(1),
        ..with("spent", history(2, None))
    };
    let jobs = vec![
        with("new", Vec::new()),
        with("succeeded", history(1, Some(Succeeded))),
        with("cancelled", history(1, Some(Cancelled))),
        with("failed", history(0, Some(Failed))),
        retried,
        spent,
    ];
    let results = call(c, jobs).await?;
    assert_eq!(
        told(&results),
        [
            ("new", Ok(JobStatus::Scheduled)),
            ("succeeded", Ok(JobStatus::Succeeded)),
            ("cancelled", Ok(JobStatus::Cancelled)),
            ("failed", Ok(JobStatus::Failed)),
            ("retried", Ok(JobStatus::Scheduled)),
            ("spent", Ok(JobStatus::Failed)),
        ]
    );
    for result in &results {
        let job = c.get_job(get(&result.id)).await?.into_inner();
        assert_eq!(job.status(), result.status(), "{}", result.id);
        assert_eq!(job.task_group, GROUP);
        assert_eq!(bytes(job.payload.as_ref()), PAYLOAD);
    }
    let job = c.get_job(get("succeeded")).await?.into_inner();
    assert_eq!(bytes(job.result.as_ref()), PAYLOAD);
    let first = &job.attempts[0];
    assert_eq!(first.error_code.as_deref(), Some("E1"));
    assert_eq!(
        (first.started_at_ms, first.finished_at_ms),
        (1000, Some(1500))
    );
    assert_eq!(job.attempts[1].status(), Succeeded);
    let job = c.get_job(get("retried")).await?.into_inner();
    assert_eq!(job.retries_used, 2);

    let mut tasks = c.lease_tasks(lease(10)).await?.into_inner().tasks;
    tasks.sort_by(|a, b| a.job_id.cmp(&b.job_id));
    let numbers = tasks.iter().map(|task| {
        let is_last = task.is_last_attempt;
        (task.job_id.as_str(), task.attempt_number, is_last)
    });
    assert_eq!(
        numbers.collect::<Vec<_>>(),
        [("new", 1, true), ("retried", 3, false)]
    );
    // Nothing to do is done.
    assert_eq!(call(c, Vec::new()).await?, []);
    server.stop().await
}

#[silo::test]
async fn times_and_order_are_taken_over() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    let old = ImportJobRequest {
        enqueue_time_ms: 1234,
        start_at_ms: i64::MAX,
        priority: 99,
        metadata: [("k".to_owned(), "v".to_owned())].into(),
        ..import("old")
    };
    let now = ImportJobRequest {
        enqueue_time_ms: -1,
        start_at_ms: i64::MIN,
        ..import("now")
    };
    call(c, vec![old, now]).await?;
    let job = c.get_job(get("old")).await?.into_inner();
    assert_eq!((job.enqueue_time_ms, job.priority), (1234, 99));
    assert_eq!(job.next_attempt_starts_after_ms, Some(i64::MAX));
    assert_eq!(job.metadata["k"], "v");
    let job = c.get_job(get("now")).await?.into_inner();
    assert!(job.enqueue_time_ms > 1_600_000_000_000, "{job:?}");
    let tasks = c.lease_tasks(lease(10)).await?.into_inner().tasks;
    assert_eq!(tasks.len(), 1);
    assert_eq!(tasks[0].job_id, "now");
    server.stop().await
}

#[silo::test]
async fn each_bad_job_is_told_and_the_others_come_in() -> Result<(), Trouble> {
    use AttemptStatus::{Cancelled, Running, Succeeded};
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    let wants = |limit| ImportJobRequest {
        limits: vec![Limit { limit: Some(limit) }],
        ..import("bad")
    };
    let concurrency = limit::Limit::Concurrency(ConcurrencyLimit {
        key: String::new(),
        max_concurrency: 1,
    });
    let rate = limit::Limit::RateLimit(GubernatorRateLimit::default());
    let broken = |change: fn(&mut ImportJobRequest)| {
        let mut job = import("bad");
        change(&mut job);
        job
    };
    let late_failure = |status| vec![attempt(status, 1), attempt(AttemptStatus::Failed, 2)];
    let order = "attempts is an attempt that did not fail, before another, but must be failures \
                 but the last";
    let cases = [
        (import(""), "id is 0 bytes long, but must be 1 to 256 bytes"),
        (
            broken(|job| job.id = "i".repeat(257)),
            "id is 257 bytes long, but must be 1 to 256 bytes",
        ),
        (
            broken(|job| job.priority = 100),
            "priority is 100, but must be 0 to 99",
        ),
        (
            broken(|job| job.task_group = String::new()),
            "task_group is 0 characters long, but must be 1 to 64 characters",
        ),
        (
            broken(|job| job.tenant = Some("t".to_owned())),
            "a tenant was given, but tenancy is off on this server: leave the tenant away",
        ),
        (
            broken(|job| job.shard = "shard-1".to_owned()),
            "shard is shard-1, but must be empty or a UUID",
        ),
        (
            broken(|job| job.metadata = [("k".repeat(64), String::new())].into()),
            "metadata key is 64 characters long, but must be shorter than 64 characters",
        ),
        (
            broken(|job| job.retry_policy = retries(10_001)),
            "retry_policy.retry_count is 10001, but must be at most 10000",
        ),
        (
            with("bad", history(0, Some(Running))),
            "attempts.status is running, but must be succeeded, failed or cancelled",
        ),
        (
            broken(|job| {
                job.attempts = vec![ImportAttempt {
                    status: 4,
                    ..ImportAttempt::default()
                }];
            }),
            "attempts.status is 4, but must be succeeded, failed or cancelled",
        ),
        (with("bad", late_failure(Succeeded)), order),
        (with("bad", late_failure(Cancelled)), order),
        (
            broken(|job| {
                let mut failed = attempt(AttemptStatus::Failed, 1);
                failed.error_code = Some("c".repeat(1025));
                job.attempts = vec![failed];
            }),
            "attempts.error_code is 1025 bytes long, but must be at most 1024 bytes",
        ),
        (
            with("bad", history(1001, None)),
            "attempts is 1001 attempts, but must be at most 1000 attempts",
        ),
        (
            wants(concurrency),
            "limits.key is 0 bytes long, but must be 1 to 256 bytes",
        ),
        (
            wants(rate),
            "Limit.rate_limit is not implemented by this server yet",
        ),
    ];
    let mut jobs = Vec::new();
    for (number, (bad, _)) in cases.iter().enumerate() {
        jobs.push(bad.clone());
        jobs.push(import(&format!("good-{number}")));
    }
    let results = call(c, jobs).await?;
    assert_eq!(results.len(), 2 * cases.len());
    for ((pair, (bad, text)), number) in results.chunks(2).zip(&cases).zip(0..) {
        let good = format!("good-{number}");
        let want = [
            (bad.id.as_str(), Err(*text)),
            (good.as_str(), Ok(JobStatus::Scheduled)),
        ];
        assert_eq!(told(pair), want);
        c.get_job(get(&good)).await?;
    }
    let want = (Code::NotFound, "JOB_NOT_FOUND", "job not found");
    refused(c.get_job(get("bad")).await, want)?;
    // The longest history there may be.
    let long = ImportJobRequest {
        retry_policy: retries(10_000),
        ..with("long", history(1000, None))
    };
    assert_eq!(one(c, long).await?, Ok(JobStatus::Scheduled));
    server.stop().await
}

#[silo::test]
async fn a_job_that_is_here_takes_in_only_what_is_new() -> Result<(), Trouble> {
    use AttemptStatus::{Cancelled, Succeeded};
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    let job = |attempts| ImportJobRequest {
        retry_policy: retries(5),
        ..with("job", attempts)
    };
    let differs = "job cannot be imported: the attempts given do not begin with the attempts that \
                   it has had here";
    let nothing = "job cannot be imported: it is here already, and no attempt given is new";
    let ended = "job cannot be imported: it has succeeded here";
    assert_eq!(
        one(c, job(history(1, None))).await?,
        Ok(JobStatus::Scheduled)
    );
    assert_eq!(
        one(c, job(history(1, None))).await?,
        Err(nothing.to_owned())
    );
    assert_eq!(one(c, job(Vec::new())).await?, Err(differs.to_owned()));
    let mut other = history(2, None);
    other[0].error_code = Some("other".to_owned());
    assert_eq!(one(c, job(other)).await?, Err(differs.to_owned()));
    assert_eq!(
        one(c, job(history(2, None))).await?,
        Ok(JobStatus::Scheduled)
    );
    assert_eq!(
        one(c, job(history(2, Some(Cancelled)))).await?,
        Ok(JobStatus::Cancelled)
    );
    // What was cancelled has ended: a history that goes on after it is none.
    let after = history(3, Some(Succeeded));
    assert_eq!(one(c, job(after)).await?, Err(differs.to_owned()));
    // One that was enqueued here and never ran.
    c.enqueue(EnqueueRequest {
        retry_policy: retries(5),
        ..enqueue("own")
    })
    .await?;
    let own = |attempts| ImportJobRequest {
        retry_policy: retries(5),
        ..with("own", attempts)
    };
    assert_eq!(one(c, own(Vec::new())).await?, Err(nothing.to_owned()));
    assert_eq!(
        one(c, own(history(1, Some(Succeeded)))).await?,
        Ok(JobStatus::Succeeded)
    );
    let again = own(history(1, Some(Succeeded)));
    assert_eq!(one(c, again).await?, Err(ended.to_owned()));
    let twice = vec![import("twice"), import("other"), import("twice")];
    let results = call(c, twice).await?;
    assert_eq!(
        told(&results),
        [
            ("twice", Ok(JobStatus::Scheduled)),
            ("other", Ok(JobStatus::Scheduled)),
            (
                "twice",
                Err("job cannot be imported: the call names it more than once")
            ),
        ]
    );
    server.stop().await
}

#[silo::test]
async fn attempts_are_bounded_over_all_jobs_of_a_call() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    let with_500 = |n: usize| {
        with(
            &format!("job-{n}"),
            history(499, Some(AttemptStatus::Failed)),
        )
    };
    let most: Vec<_> = (0..20).map(with_500).collect();
    let mut more = most.clone();
    more.push(with("more", history(0, Some(AttemptStatus::Failed))));
    let refused = call(c, more).await.expect_err("one attempt too many");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let text = "attempts of all jobs is 10001 long, but must be at most 10000 long";
    assert!(refused.message().contains(text), "{refused}");
    let results = call(c, most).await?;
    assert!(results.iter().all(|result| result.success), "{results:?}");
    server.stop().await
}

#[silo::test]
async fn what_ran_here_can_be_taken_out_and_in_again() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    c.enqueue(EnqueueRequest {
        retry_policy: retries(2),
        ..enqueue("job")
    })
    .await?;
    let task = c.lease_tasks(lease(1)).await?.into_inner().tasks.remove(0);
    c.report_outcome(report(&task, failure("E"))).await?;
    let shown = c.get_job(get("job")).await?.into_inner();
    let attempts = shown.attempts.into_iter().map(|shown| ImportAttempt {
        status: shown.status,
        started_at_ms: shown.started_at_ms,
        finished_at_ms: shown.finished_at_ms.unwrap_or_default(),
        result: shown.result,
        error_code: shown.error_code,
        error_data: shown.error_data,
    });
    let attempts: Vec<_> = attempts.collect();
    let mut longer = attempts.clone();
    longer.push(attempt(AttemptStatus::Succeeded, 2_000_000_000));
    assert_eq!(
        one(c, with("job", longer)).await?,
        Ok(JobStatus::Succeeded),
        "as it was shown"
    );
    c.delete_job(delete("job")).await?;
    let again = ImportJobRequest {
        retry_policy: retries(2),
        ..with("job", attempts)
    };
    assert_eq!(one(c, again).await?, Ok(JobStatus::Scheduled));
    server.stop().await
}

#[silo::test]
async fn while_one_runs_nothing_is_imported() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    c.enqueue(enqueue("runs")).await?;
    let task = c.lease_task(lease_one("runs")).await?.into_inner().task;
    let jobs = vec![import("a"), import("runs"), import("b"), import("")];
    let status = refused(call(c, jobs.clone()).await, RUNNING)?;
    assert_eq!(reason_id(&status, "job_id"), "runs");
    // Also when it was asked to stop.
    c.cancel_job(cancel("runs")).await?;
    refused(call(c, jobs.clone()).await, RUNNING)?;
    let unknown = (Code::NotFound, "JOB_NOT_FOUND", "job not found");
    for id in ["a", "b"] {
        refused(c.get_job(get(id)).await, unknown)?;
    }
    let task = task.ok_or("a task")?;
    c.report_outcome(report(&task, success())).await?;
    let results = call(c, jobs).await?;
    let taken: Vec<_> = results.iter().map(|result| result.success).collect();
    assert_eq!(taken, [true, false, true, false]);
    server.stop().await
}

fn of(tenant: usize, id: &str) -> ImportJobRequest {
    ImportJobRequest {
        tenant: Some(format!("tenant-{tenant}")),
        ..import(id)
    }
}

#[silo::test]
async fn over_several_shards() -> Result<(), Trouble> {
    const TENANTS: usize = 16;
    let server = Server::start(Setup {
        tenancy: true,
        shards: 4,
        ..Setup::default()
    })
    .await?;
    let c = &mut server.client().await?;
    c.enqueue(EnqueueRequest {
        tenant: Some("tenant-7".to_owned()),
        ..enqueue("runs")
    })
    .await?;
    let task = c.lease_tasks(lease(1)).await?.into_inner().tasks.remove(0);
    let mut jobs: Vec<_> = (0..TENANTS).map(|tenant| of(tenant, "job")).collect();
    jobs.push(of(7, "runs"));
    let status = refused(call(c, jobs.clone()).await, RUNNING)?;
    assert_eq!(reason_id(&status, "job_id"), "runs");
    assert_eq!(total(c).await?, 1, "nothing was imported");
    c.report_outcome(report(&task, success())).await?;
    let missing = ImportJobRequest {
        tenant: None,
        ..import("nobody's")
    };
    jobs.insert(3, missing);
    let results = call(c, jobs).await?;
    assert_eq!(results.len(), TENANTS + 2);
    let mut told = told(&results);
    let tenant = "tenant is absent, but must be given: tenancy is on";
    assert_eq!(told.remove(3), ("nobody's", Err(tenant)));
    let last = "job cannot be imported: it has succeeded here";
    assert_eq!(told.pop(), Some(("runs", Err(last))));
    let ok = ("job", Ok(JobStatus::Scheduled));
    assert!(told.into_iter().all(|it| it == ok));
    for tenant in 0..TENANTS {
        let tenant = Some(format!("tenant-{tenant}"));
        c.get_job(GetJobRequest {
            tenant,
            ..get("job")
        })
        .await?;
    }
    let mut info = c.get_node_info(GetNodeInfoRequest {}).await?.into_inner();
    info.owned_shards.retain(|shard| shard.total_jobs > 0);
    assert!(info.owned_shards.len() > 1, "on several shards");
    server.stop().await
}

async fn total(c: &mut Client) -> Result<i64, Trouble> {
    let info = c.get_node_info(GetNodeInfoRequest {}).await?.into_inner();
    Ok(info.owned_shards.iter().map(|shard| shard.total_jobs).sum())
}

#[silo::test]
async fn at_most_a_thousand() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    let jobs = |count: usize| (0..count).map(|n| import(&format!("job-{n}")));
    let text = "jobs is 1001 long, but must be at most 1000 long";
    let want = (Code::InvalidArgument, "INVALID_FIELD", text);
    refused(call(c, jobs(1001).collect()).await, want)?;
    assert_eq!(total(c).await?, 0);
    let results = call(c, jobs(1000).collect()).await?;
    for (number, result) in results.iter().enumerate() {
        assert_eq!(
            (result.id.as_str(), result.success),
            (&*format!("job-{number}"), true)
        );
    }
    assert_eq!((results.len(), total(c).await?), (1000, 1000));
    server.stop().await
}
