//! The life of a job over a real socket: each way it can go, as a client and a worker see it.

#![cfg(test)]

use silo_runtime::proto::get_job_result_response::Result as End;
use silo_runtime::proto::report_outcome_request::Outcome;
use silo_runtime::proto::{
    AttemptStatus, Cancelled, EnqueueRequest, Failure, Jitter, JobStatus, Release, RetryPolicy,
    Task,
};
use silo_tests::messages::{
    GROUP, NIL, PAYLOAD, bytes, cancel, data, enqueue, get, heartbeat, lease, lease_one, report,
    result,
};
use silo_tests::server::{Client, Server, Setup, Trouble};

fn failure(code: &str) -> Outcome {
    Outcome::Failure(Failure {
        code: code.to_owned(),
        data: Some(data(PAYLOAD)),
        ..Failure::default()
    })
}

fn retries(retry_count: u32) -> Option<RetryPolicy> {
    Some(RetryPolicy {
        retry_count,
        ..RetryPolicy::default()
    })
}

async fn take_one(client: &mut Client) -> Result<Task, Trouble> {
    let mut tasks = client.lease_tasks(lease(10)).await?.into_inner().tasks;
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    Ok(tasks.remove(0))
}

#[silo::test]
async fn a_job_succeeds() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    let job = EnqueueRequest {
        priority: 7,
        metadata: [("k".to_owned(), "v".to_owned())].into(),
        ..enqueue("job")
    };
    assert_eq!(client.enqueue(job).await?.into_inner().id, "job");

    let waiting = client.get_job(get("job")).await?.into_inner();
    assert_eq!(waiting.status(), JobStatus::Scheduled);
    assert_eq!(waiting.priority, 7);
    assert_eq!(waiting.task_group, GROUP);
    assert_eq!(waiting.metadata["k"], "v");
    assert_eq!(bytes(waiting.payload.as_ref()), PAYLOAD);
    assert!(waiting.enqueue_time_ms > 0);
    assert!(waiting.next_attempt_starts_after_ms.is_some());
    assert!(waiting.attempts.is_empty());

    let task = take_one(&mut client).await?;
    assert_eq!((task.job_id.as_str(), task.attempt_number), ("job", 1));
    assert_eq!(task.relative_attempt_number, 1);
    assert!(task.is_last_attempt);
    assert_eq!(task.tenant_id, None);
    assert_eq!(task.shard, server.shard_ids()[0]);
    assert_eq!(task.lease_ms, 10_000);
    assert_eq!((task.priority, task.task_group.as_str()), (7, GROUP));
    assert_eq!(task.metadata["k"], "v");
    assert_eq!(bytes(task.payload.as_ref()), PAYLOAD);

    let running = client.get_job(get("job")).await?.into_inner();
    assert_eq!(running.status(), JobStatus::Running);
    assert_eq!(running.next_attempt_starts_after_ms, None);
    assert_eq!(running.attempts.len(), 1);
    assert_eq!(running.attempts[0].status(), AttemptStatus::Running);
    assert_eq!(running.attempts[0].task_id, task.id);
    assert_eq!(running.attempts[0].finished_at_ms, None);

    let beat = client.heartbeat(heartbeat(&task)).await?.into_inner();
    assert!(!beat.cancelled && beat.cancelled_at_ms.is_none());

    let success = report(&task, Outcome::Success(data(b"\xa2ok")));
    client.report_outcome(success.clone()).await?;
    client.report_outcome(success).await?;
    let done = client.get_job(get("job")).await?.into_inner();
    assert_eq!(done.status(), JobStatus::Succeeded);
    assert_eq!(bytes(done.result.as_ref()), b"\xa2ok");
    assert_eq!(done.attempts[0].status(), AttemptStatus::Succeeded);
    assert_eq!(bytes(done.attempts[0].result.as_ref()), b"\xa2ok");
    let without = silo_runtime::proto::GetJobRequest {
        include_attempts: false,
        ..get("job")
    };
    assert!(
        client
            .get_job(without)
            .await?
            .into_inner()
            .attempts
            .is_empty()
    );

    let end = client.get_job_result(result("job")).await?.into_inner();
    assert_eq!(end.status(), JobStatus::Succeeded);
    assert!(end.finished_at_ms >= done.enqueue_time_ms);
    assert!(matches!(end.result, Some(End::SuccessData(d)) if bytes(Some(&d)) == b"\xa2ok"));
    server.stop().await
}

#[silo::test]
async fn a_failing_job_is_retried_and_then_fails() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    let job = EnqueueRequest {
        retry_policy: retries(1),
        ..enqueue("job")
    };
    client.enqueue(job).await?;

    let first = take_one(&mut client).await?;
    assert!(!first.is_last_attempt);
    client.report_outcome(report(&first, failure("E1"))).await?;
    let again = client.get_job(get("job")).await?.into_inner();
    assert_eq!(
        (again.status(), again.retries_used),
        (JobStatus::Scheduled, 1)
    );

    let second = take_one(&mut client).await?;
    assert_eq!((second.attempt_number, second.is_last_attempt), (2, true));
    client
        .report_outcome(report(&second, failure("E2")))
        .await?;
    let failed = client.get_job(get("job")).await?.into_inner();
    assert_eq!(failed.status(), JobStatus::Failed);
    assert_eq!(failed.result, None);
    let codes: Vec<_> = failed
        .attempts
        .iter()
        .map(|a| a.error_code.as_deref())
        .collect();
    assert_eq!(codes, [Some("E1"), Some("E2")]);
    assert_eq!(bytes(failed.attempts[0].error_data.as_ref()), PAYLOAD);

    let end = client.get_job_result(result("job")).await?.into_inner();
    let Some(End::Failure(end)) = end.result else {
        panic!("{end:?}")
    };
    assert_eq!(end.error_code, "E2");
    assert_eq!(bytes(end.error_data.as_ref()), PAYLOAD);
    server.stop().await
}

#[silo::test]
async fn a_failure_that_is_not_retryable_is_final() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    let job = EnqueueRequest {
        retry_policy: retries(9),
        ..enqueue("job")
    };
    client.enqueue(job).await?;
    let task = take_one(&mut client).await?;
    let failure = Failure {
        code: "E".to_owned(),
        not_retryable: true,
        ..Failure::default()
    };
    client
        .report_outcome(report(&task, Outcome::Failure(failure)))
        .await?;
    let end = client.get_job_result(result("job")).await?.into_inner();
    let Some(End::Failure(end)) = end.result else {
        panic!("{end:?}")
    };
    assert_eq!(bytes(end.error_data.as_ref()), NIL);
    server.stop().await
}

#[silo::test]
async fn a_failure_says_when_to_come_back() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    let job = EnqueueRequest {
        retry_policy: retries(9),
        ..enqueue("job")
    };
    client.enqueue(job).await?;
    let task = take_one(&mut client).await?;
    let hour = 3_600_000;
    let failure = Failure {
        retry_after_ms: Some(hour),
        ..Failure::default()
    };
    client
        .report_outcome(report(&task, Outcome::Failure(failure)))
        .await?;
    let job = client.get_job(get("job")).await?.into_inner();
    let next = job.next_attempt_starts_after_ms.expect("scheduled");
    assert_eq!(next.checked_sub(job.status_changed_at_ms), Some(hour));
    server.stop().await
}

#[silo::test]
async fn a_waiting_job_is_cancelled_at_once() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    client.enqueue(enqueue("job")).await?;
    client.cancel_job(cancel("job")).await?;
    let job = client.get_job(get("job")).await?.into_inner();
    assert_eq!(job.status(), JobStatus::Cancelled);
    assert_eq!(job.end_code.as_deref(), Some("CANCELLED"));
    assert!(
        client
            .lease_tasks(lease(1))
            .await?
            .into_inner()
            .tasks
            .is_empty()
    );
    let end = client.get_job_result(result("job")).await?.into_inner();
    let finished_at_ms = end.finished_at_ms;
    let Some(End::Cancelled(end)) = end.result else {
        panic!("{end:?}")
    };
    assert_eq!(end.cancelled_at_ms, finished_at_ms);
    server.stop().await
}

#[silo::test]
async fn a_running_job_is_told_to_stop() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    client.enqueue(enqueue("job")).await?;
    let task = take_one(&mut client).await?;
    client.cancel_job(cancel("job")).await?;
    for _ in 0..2 {
        let beat = client.heartbeat(heartbeat(&task)).await?.into_inner();
        assert!(beat.cancelled && beat.cancelled_at_ms.is_some());
    }
    client
        .report_outcome(report(&task, Outcome::Cancelled(Cancelled {})))
        .await?;
    let job = client.get_job(get("job")).await?.into_inner();
    assert_eq!(job.status(), JobStatus::Cancelled);
    assert_eq!(job.attempts[0].status(), AttemptStatus::Cancelled);
    server.stop().await
}

#[silo::test]
async fn a_released_task_goes_back_and_costs_nothing() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    client.enqueue(enqueue("job")).await?;
    let task = take_one(&mut client).await?;
    client
        .report_outcome(report(&task, Outcome::Release(Release {})))
        .await?;
    let again = take_one(&mut client).await?;
    assert_eq!(again.attempt_number, 1);
    assert_ne!(again.id, task.id);
    server.stop().await
}

#[silo::test]
async fn a_crash_ends_a_job_that_survives_none() -> Result<(), Trouble> {
    let server = Server::start(Setup {
        lease_ms: 100,
        ..Setup::default()
    })
    .await?;
    let mut client = server.client().await?;
    let job = EnqueueRequest {
        max_crashes: Some(0),
        ..enqueue("job")
    };
    client.enqueue(job).await?;
    let task = take_one(&mut client).await?;
    assert_eq!(task.lease_ms, 100);
    client.heartbeat(heartbeat(&task)).await?;
    let end = loop {
        match client.get_job_result(result("job")).await {
            Ok(end) => break end.into_inner(),
            // Not over yet: the lease has to expire.
            Err(status) => assert_eq!(status.code(), tonic::Code::FailedPrecondition),
        }
    };
    let Some(End::Failure(end)) = end.result else {
        panic!("{end:?}")
    };
    assert_eq!(end.error_code, "WORKER_CRASHED");
    assert_eq!(bytes(end.error_data.as_ref()), NIL);
    let job = client.get_job(get("job")).await?.into_inner();
    assert_eq!(job.attempts[0].status(), AttemptStatus::Failed);
    assert_eq!(
        job.attempts[0].error_code.as_deref(),
        Some("WORKER_CRASHED")
    );
    server.stop().await
}

#[silo::test]
async fn a_given_job_is_leased_past_its_time() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    let job = EnqueueRequest {
        start_at_ms: i64::MAX,
        ..enqueue("job")
    };
    client.enqueue(job).await?;
    assert!(
        client
            .lease_tasks(lease(1))
            .await?
            .into_inner()
            .tasks
            .is_empty()
    );
    let waiting = client.get_job(get("job")).await?.into_inner();
    assert_eq!(waiting.next_attempt_starts_after_ms, Some(i64::MAX));
    let task = client.lease_task(lease_one("job")).await?.into_inner().task;
    assert_eq!(task.expect("a task").job_id, "job");
    server.stop().await
}

#[silo::test]
async fn what_was_asked_for_is_shown() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    let policy = RetryPolicy {
        retry_count: 3,
        initial_interval_ms: 10,
        max_interval_ms: 1000,
        randomize_interval: true,
        backoff_factor: 1.5,
        jitter: Jitter::Unspecified.into(),
    };
    let job = EnqueueRequest {
        retry_policy: Some(policy),
        payload: None,
        ..enqueue("job")
    };
    client.enqueue(job).await?;
    let job = client.get_job(get("job")).await?.into_inner();
    assert_eq!(bytes(job.payload.as_ref()), NIL);
    let shown = job.retry_policy.expect("a policy");
    assert_eq!(
        shown,
        RetryPolicy {
            jitter: Jitter::Full.into(),
            ..policy
        }
    );
    server.stop().await
}

#[silo::test]
async fn the_same_request_makes_one_job() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    let request_id = vec![7; 16].into();
    let job = EnqueueRequest {
        request_id,
        ..enqueue("")
    };
    let first = client.enqueue(job.clone()).await?.into_inner().id;
    let second = client.enqueue(job.clone()).await?.into_inner().id;
    assert_eq!(first, second);
    let other = EnqueueRequest { priority: 1, ..job };
    let refused = client.enqueue(other).await.expect_err("another job");
    assert_eq!(refused.code(), tonic::Code::AlreadyExists);
    assert_eq!(
        client
            .lease_tasks(lease(10))
            .await?
            .into_inner()
            .tasks
            .len(),
        1
    );
    server.stop().await
}

#[silo::test]
async fn large_data_survives_the_way() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let job = EnqueueRequest {
        payload: Some(data(&large)),
        ..enqueue("job")
    };
    client.enqueue(job).await?;
    let task = take_one(&mut client).await?;
    assert_eq!(bytes(task.payload.as_ref()), large);
    client
        .report_outcome(report(&task, Outcome::Success(data(&large))))
        .await?;
    let job = client.get_job(get("job")).await?.into_inner();
    assert_eq!(bytes(job.payload.as_ref()), large);
    assert_eq!(bytes(job.result.as_ref()), large);
    server.stop().await
}
