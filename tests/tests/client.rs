//! The Rust client's calls beyond the plain ones, and what a worker may say, against a server.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects)]

use std::time::Duration;

use silo_runtime::client::Client;
use silo_runtime::client::bulk;
use silo_runtime::client::enqueue::Enqueue;
use silo_runtime::client::error::Error;
use silo_runtime::client::import::Import;
use silo_runtime::client::options::ClientOptions;
use silo_runtime::client::task::{Outcome, Retry, TaskRef};
use silo_runtime::proto::{AttemptStatus, ImportAttempt, JobStatus, RetryPolicy};
use silo_runtime::worker::Worker;
use silo_runtime::worker::options::WorkerOptions;
use silo_tests::messages::{GROUP, PAYLOAD, WORKER, lease};
use silo_tests::server::{Server, Setup, Trouble};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Code;

const PATIENCE: Duration = Duration::from_secs(20);

async fn client(server: &Server) -> Result<Client, Error> {
    Client::connect(ClientOptions::new([server.address.to_string()])).await
}

fn job(id: &str) -> Enqueue {
    Enqueue {
        id: Some(id.to_owned()),
        ..Enqueue::new(GROUP, PAYLOAD)
    }
}

fn retried(id: &str, retry_count: u32, initial_interval_ms: i64) -> Enqueue {
    Enqueue {
        retry_policy: Some(RetryPolicy {
            retry_count,
            initial_interval_ms,
            ..RetryPolicy::default()
        }),
        ..job(id)
    }
}

async fn leased(client: &Client, count: u32) -> Result<Vec<TaskRef>, Error> {
    let mut tasks = client.lease_tasks(lease(count)).await?.response.tasks;
    tasks.sort_by(|a, b| a.job_id.cmp(&b.job_id));
    Ok(tasks.iter().map(TaskRef::from).collect())
}

async fn status(client: &Client, id: &str) -> Result<JobStatus, Error> {
    Ok(client.job(id, false).await?.status())
}

#[silo::test]
async fn jobs_are_enqueued_in_bulk() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let client = client(&server).await?;
    client.enqueue(job("here")).await?;
    let late = Enqueue {
        priority: 100,
        ..job("late")
    };
    let jobs = vec![job("a"), job("here"), late, job("b")];
    let told = client.enqueue_batch(jobs.clone()).await;
    assert!(
        matches!(
            told.as_slice(),
            [Ok(a), Err(Error::AlreadyExists(_)), Err(Error::Refused(refusal)), Ok(b)]
                if (a.as_str(), b.as_str()) == ("a", "b")
                    && refusal.code == Code::InvalidArgument
                    && refusal.reason.as_deref() == Some("INVALID_FIELD")
        ),
        "{told:?}"
    );
    let error = client
        .enqueue_all(jobs)
        .await
        .expect_err("late is too late");
    let refusal = error.refusal().ok_or("a refusal")?;
    assert_eq!(refusal.metadata["index"], "2");
    let ids = client.enqueue_all(vec![job("c"), job("d")]).await?;
    assert_eq!(ids, ["c", "d"]);
    // More than a call takes.
    let many = vec![Enqueue::new(GROUP, PAYLOAD); bulk::JOBS_MAX + 1];
    let told = client.enqueue_batch(many).await;
    assert_eq!(told.len(), bulk::JOBS_MAX + 1);
    assert!(told.iter().all(Result::is_ok));
    assert_eq!(client.enqueue_batch(Vec::new()).await.len(), 0);
    server.stop().await
}

#[silo::test]
async fn tasks_of_several_shards_are_kept_and_reported_in_bulk() -> Result<(), Trouble> {
    let server = Server::start(Setup {
        tenancy: true,
        shards: 4,
        lease_ms: 60_000,
        ..Setup::default()
    })
    .await?;
    let client = client(&server).await?;
    for tenant in 0..8 {
        let client = client.with_tenant(format!("tenant-{tenant}"));
        client.enqueue_all(vec![job("a"), job("b")]).await?;
    }
    let tasks = leased(&client, 100).await?;
    assert_eq!(tasks.len(), 16);
    let mut named = tasks.clone();
    let garbage = TaskRef {
        id: "no task id".into(),
        ..tasks[3].clone()
    };
    named.insert(7, garbage);
    let mut told = client.heartbeats(&named, WORKER).await;
    assert!(told.remove(7).is_err_and(|error| error.is_lease_lost()));
    assert!(told.iter().all(Result::is_ok));
    let told = client.heartbeats(&tasks[..1], "other").await;
    assert!(
        told.iter()
            .all(|it| it.as_ref().is_err_and(Error::is_lease_lost))
    );

    let named = named.into_iter().enumerate();
    let outcomes = named.map(|(number, task)| match number % 2 {
        0 => (task, Outcome::Success(PAYLOAD.into())),
        _ => (task, Outcome::failure("E", PAYLOAD)),
    });
    let outcomes: Vec<_> = outcomes.collect();
    for _ in 0..2 {
        let mut told = client.report_all(outcomes.clone()).await;
        assert!(told.remove(7).is_err_and(|error| error.is_lease_lost()));
        assert!(told.iter().all(Result::is_ok), "{told:?}");
    }
    for tenant in 0..8 {
        let client = client.with_tenant(format!("tenant-{tenant}"));
        for id in ["a", "b"] {
            let status = status(&client, id).await?;
            assert!(matches!(status, JobStatus::Succeeded | JobStatus::Failed));
        }
    }
    server.stop().await
}

#[silo::test]
async fn jobs_are_expedited_restarted_and_deleted() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let client = client(&server).await?;
    let later = Enqueue {
        start_at_ms: Some(i64::MAX),
        ..job("job")
    };
    client.enqueue(later).await?;
    assert_eq!(leased(&client, 1).await?, []);
    client.expedite("job").await?;
    let reason = |error: Error| error.refusal().and_then(|it| it.reason.clone());
    let error = client.expedite("job").await.expect_err("ready");
    assert_eq!(reason(error).as_deref(), Some("JOB_READY"));
    let error = client.restart("job").await.expect_err("scheduled");
    assert_eq!(reason(error).as_deref(), Some("JOB_NOT_RESTARTABLE"));
    client.cancel("job").await?;
    client.restart("job").await?;
    let task = leased(&client, 1).await?.remove(0);
    let error = client.delete("job").await.expect_err("running");
    assert_eq!(reason(error).as_deref(), Some("JOB_RUNNING"));
    client.report(&task, Outcome::failure("E", PAYLOAD)).await?;
    client.delete("job").await?;
    client.delete("job").await?;
    for error in [
        client.expedite("job").await.expect_err("gone"),
        client.restart("job").await.expect_err("gone"),
    ] {
        assert!(matches!(error, Error::NotFound(_)), "{error}");
    }
    server.stop().await
}

#[silo::test]
async fn jobs_are_imported() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let client = client(&server).await?;
    let attempts = vec![ImportAttempt {
        status: AttemptStatus::Cancelled.into(),
        started_at_ms: 1,
        finished_at_ms: 2,
        ..ImportAttempt::default()
    }];
    let jobs = vec![
        Import::new("new", GROUP, PAYLOAD),
        Import {
            attempts,
            enqueue_time_ms: Some(1),
            ..Import::new("old", GROUP, PAYLOAD)
        },
        Import::new("bad", "", PAYLOAD),
    ];
    let text = "task_group is 0 characters long, but must be 1 to 64 characters";
    assert_eq!(
        client.import(jobs.clone()).await?,
        [
            Ok(JobStatus::Scheduled),
            Ok(JobStatus::Cancelled),
            Err(text.to_owned())
        ]
    );
    assert_eq!(leased(&client, 10).await?.len(), 1);
    let error = client.import(jobs).await.expect_err("one runs");
    let refusal = error.refusal().ok_or("a refusal")?;
    assert_eq!(refusal.reason.as_deref(), Some("JOB_RUNNING"));
    server.stop().await
}

/// Runs one worker until these jobs have ended so.
async fn work(
    server: &Server,
    answer: impl Fn(u32) -> Outcome + Send + Sync + Clone + 'static,
    id: &str,
    until: impl Fn(JobStatus) -> bool,
) -> Result<(), Trouble> {
    let client = client(server).await?;
    let stop = CancellationToken::new();
    let worker = Worker::new(
        client.clone(),
        WorkerOptions::new(GROUP, WORKER),
        move |job| {
            let outcome = answer(job.task.attempt_number);
            async move { outcome }
        },
    );
    let work = worker.run(stop.clone());
    let watch = async {
        while !until(status(&client, id).await?) {}
        stop.cancel();
        Ok::<_, Error>(())
    };
    let (_, watched) = timeout(PATIENCE, async { tokio::join!(work, watch) }).await?;
    Ok(watched?)
}

#[silo::test]
async fn a_worker_says_what_follows_a_failure() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let client = client(&server).await?;
    let failure = |retry| Outcome::Failure {
        code: "E".to_owned(),
        data: PAYLOAD.into(),
        retry,
    };
    // Final, though the policy has retries left.
    client.enqueue(retried("final", 5, 0)).await?;
    let ended = |status| matches!(status, JobStatus::Failed | JobStatus::Succeeded);
    let never = failure(Retry::Never);
    work(&server, move |_| never.clone(), "final", ended).await?;
    let job = client.job("final", true).await?;
    assert_eq!((job.status(), job.attempts.len()), (JobStatus::Failed, 1));
    // At once, though the policy would wait for an hour.
    client.enqueue(retried("soon", 5, 3_600_000)).await?;
    let soon = failure(Retry::After(Duration::from_millis(50)));
    let answer = move |attempt| match attempt {
        1 => soon.clone(),
        _ => Outcome::Success(PAYLOAD.into()),
    };
    work(&server, answer, "soon", ended).await?;
    let job = client.job("soon", true).await?;
    assert_eq!(job.status(), JobStatus::Succeeded);
    let ended = job.attempts[0].finished_at_ms.ok_or("an end")?;
    assert!(job.attempts[1].started_at_ms >= ended + 50, "{job:?}");
    // As the policy says: none are left.
    client.enqueue(retried("policy", 2, 0)).await?;
    let plain = Outcome::failure("E", PAYLOAD);
    let failed = |status| status == JobStatus::Failed;
    work(&server, move |_| plain.clone(), "policy", failed).await?;
    let job = client.job("policy", true).await?;
    assert_eq!(job.attempts.len(), 3);
    server.stop().await
}

#[silo::test]
async fn a_worker_puts_a_job_off() -> Result<(), Trouble> {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    let server = Server::start(Setup::default()).await?;
    let client = client(&server).await?;
    client.enqueue(job("job")).await?;
    let runs = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&runs);
    let answer = move |attempt| {
        assert_eq!(attempt, 1, "the number is used again");
        match count.fetch_add(1, Ordering::Relaxed) {
            0..3 => Outcome::Snooze(Duration::from_millis(20)),
            _ => Outcome::Success(PAYLOAD.into()),
        }
    };
    let done = |status| status == JobStatus::Succeeded;
    work(&server, answer, "job", done).await?;
    assert_eq!(runs.load(Ordering::Relaxed), 4);
    let job = client.job("job", true).await?;
    assert_eq!((job.attempts.len(), job.retries_used), (1, 0));
    server.stop().await
}
