//! Bounds on what a request may say: what is just within is taken, what is just beyond is refused
//! with the field, the value and the bound.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects)]

use silo_runtime::proto::report_outcome_request::Outcome;
use silo_runtime::proto::{
    AttemptStatus, EnqueueRequest, Failure, HeartbeatRequest, ImportAttempt, ImportJobRequest,
    ImportJobsRequest, Jitter, LeaseTaskRequest, LeaseTasksRequest, ReportOutcomeRequest,
    RetryPolicy,
};
use silo_runtime::service::ServiceOptions;
use silo_tests::messages::{
    cancel, data, delete, enqueue, expedite, get, heartbeat, import, lease, lease_one, reason,
    report, restart, result,
};
use silo_tests::server::{Client, Server, Setup, Trouble};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

fn refused(got: Result<(), Status>, field: &str, text: &str) {
    let status = got.expect_err(text);
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert_eq!(status.message(), text);
    assert_eq!(reason(&status), "INVALID_FIELD");
    let details = status.get_details_bad_request().expect("details");
    assert_eq!(details.field_violations[0].field, field);
}

async fn try_enqueue(client: &mut Client, request: EnqueueRequest) -> Result<(), Status> {
    client.enqueue(request).await.map(|_| ())
}

/// The first is taken, the second refused.
async fn edge(
    client: &mut Client,
    within: EnqueueRequest,
    beyond: EnqueueRequest,
    field: &str,
    text: &str,
) {
    if let Err(status) = try_enqueue(client, within).await {
        panic!("{field}: {status}");
    }
    refused(try_enqueue(client, beyond).await, field, text);
}

#[silo::test]
async fn of_names_and_numbers() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    let e = || enqueue("");
    edge(
        c,
        EnqueueRequest {
            priority: 99,
            ..e()
        },
        EnqueueRequest {
            priority: 100,
            ..e()
        },
        "priority",
        "priority is 100, but must be 0 to 99",
    )
    .await;
    let group = |chars| EnqueueRequest {
        task_group: "ü".repeat(chars),
        ..e()
    };
    edge(
        c,
        group(64),
        group(65),
        "task_group",
        "task_group is 65 characters long, but must be 1 to 64 characters",
    )
    .await;
    let text = "task_group is 0 characters long, but must be 1 to 64 characters";
    refused(try_enqueue(c, group(0)).await, "task_group", text);
    edge(
        c,
        enqueue(&"i".repeat(256)),
        enqueue(&"i".repeat(257)),
        "id",
        "id is 257 bytes long, but must be 1 to 256 bytes",
    )
    .await;
    let text = r"id is a\nb, but must be free of control characters";
    refused(try_enqueue(c, enqueue("a\nb")).await, "id", text);
    let request_id = |bytes| EnqueueRequest {
        request_id: vec![1; bytes].into(),
        ..e()
    };
    edge(
        c,
        request_id(16),
        request_id(15),
        "request_id",
        "request_id is 15 bytes long, but must be absent or 16 bytes",
    )
    .await;
    let crashes = |n| EnqueueRequest {
        max_crashes: Some(n),
        ..e()
    };
    edge(
        c,
        crashes(1000),
        crashes(1001),
        "max_crashes",
        "max_crashes is 1001, but must be at most 1000",
    )
    .await;
    let lease_ms = |ms| EnqueueRequest {
        lease_ms: Some(ms),
        ..e()
    };
    let text = "lease_ms is 99, but must be 100 ms to 86400000 ms";
    edge(c, lease_ms(100), lease_ms(99), "lease_ms", text).await;
    let text = "lease_ms is 86400001, but must be 100 ms to 86400000 ms";
    edge(
        c,
        lease_ms(86_400_000),
        lease_ms(86_400_001),
        "lease_ms",
        text,
    )
    .await;
    let shard = server.shard_ids().remove(0);
    edge(
        c,
        EnqueueRequest { shard, ..e() },
        EnqueueRequest {
            shard: "shard-1".to_owned(),
            ..e()
        },
        "shard",
        "shard is shard-1, but must be empty or a UUID",
    )
    .await;
    server.stop().await
}

#[silo::test]
async fn of_retry_policies() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    let policy = |change: fn(&mut RetryPolicy)| {
        let mut policy = RetryPolicy::default();
        change(&mut policy);
        EnqueueRequest {
            retry_policy: Some(policy),
            ..enqueue("")
        }
    };
    let cases = [
        (
            policy(|p| p.initial_interval_ms = 0),
            policy(|p| p.initial_interval_ms = -1),
            "retry_policy.initial_interval_ms",
            "retry_policy.initial_interval_ms is -1, but must be at least 0",
        ),
        (
            policy(|p| p.max_interval_ms = i64::MAX),
            policy(|p| p.max_interval_ms = i64::MIN),
            "retry_policy.max_interval_ms",
            "retry_policy.max_interval_ms is -9223372036854775808, but must be at least 0",
        ),
        (
            policy(|p| p.backoff_factor = 0.0),
            policy(|p| p.backoff_factor = -0.5),
            "retry_policy.backoff_factor",
            "retry_policy.backoff_factor is -0.5, but must be finite and at least 0",
        ),
        (
            policy(|p| p.backoff_factor = f64::MAX),
            policy(|p| p.backoff_factor = f64::NAN),
            "retry_policy.backoff_factor",
            "retry_policy.backoff_factor is NaN, but must be finite and at least 0",
        ),
        (
            policy(|p| p.retry_count = 10_000),
            policy(|p| p.retry_count = 10_001),
            "retry_policy.retry_count",
            "retry_policy.retry_count is 10001, but must be at most 10000",
        ),
        (
            policy(|p| p.set_jitter(Jitter::Decorrelated)),
            policy(|p| p.jitter = 5),
            "retry_policy.jitter",
            "retry_policy.jitter is 5, but must be a known jitter",
        ),
    ];
    for (within, beyond, field, text) in cases {
        edge(c, within, beyond, field, text).await;
    }
    server.stop().await
}

#[silo::test]
async fn of_metadata_and_payloads() -> Result<(), Trouble> {
    let service = ServiceOptions {
        payload_bytes_max: 1000,
        ..ServiceOptions::default()
    };
    let server = Server::start(Setup {
        service,
        ..Setup::default()
    })
    .await?;
    let c = &mut server.client().await?;
    let pairs = |count: usize| EnqueueRequest {
        metadata: (0..count).map(|n| (n.to_string(), String::new())).collect(),
        ..enqueue("")
    };
    let text = "metadata is 17 pairs, but must be at most 16 pairs";
    edge(c, pairs(16), pairs(17), "metadata", text).await;
    let pair = |key: usize, value: usize| EnqueueRequest {
        metadata: [("ü".repeat(key), "v".repeat(value))].into(),
        ..enqueue("")
    };
    let text = "metadata key is 64 characters long, but must be shorter than 64 characters";
    edge(c, pair(63, 65_534), pair(64, 1), "metadata key", text).await;
    let text = "metadata value is 65535 bytes long at key ü, but must be shorter than 65535 bytes";
    refused(
        try_enqueue(c, pair(1, 65_535)).await,
        "metadata value",
        text,
    );
    let payload = |bytes| EnqueueRequest {
        payload: Some(data(&vec![1; bytes])),
        ..enqueue("")
    };
    let text = "payload is 1001 bytes long, but must be at most 1000 bytes";
    edge(c, payload(1000), payload(1001), "payload", text).await;

    c.enqueue(enqueue("job")).await?;
    let task = c
        .lease_task(lease_one("job"))
        .await?
        .into_inner()
        .task
        .expect("a task");
    let success = |bytes| report(&task, Outcome::Success(data(&vec![1; bytes])));
    let text = "success is 1001 bytes long, but must be at most 1000 bytes";
    refused(
        c.report_outcome(success(1001)).await.map(|_| ()),
        "success",
        text,
    );
    let failure = |failure| report(&task, Outcome::Failure(failure));
    let large = Failure {
        data: Some(data(&[1; 1001])),
        ..Failure::default()
    };
    let text = "failure.data is 1001 bytes long, but must be at most 1000 bytes";
    refused(
        c.report_outcome(failure(large)).await.map(|_| ()),
        "failure.data",
        text,
    );
    c.report_outcome(success(1000)).await?;
    c.enqueue(enqueue("fails")).await?;
    let task = c.lease_task(lease_one("fails")).await?.into_inner().task;
    let largest = Outcome::Failure(Failure {
        data: Some(data(&[1; 1000])),
        ..Failure::default()
    });
    c.report_outcome(report(&task.expect("a task"), largest))
        .await?;
    server.stop().await
}

#[silo::test]
async fn of_imported_data() -> Result<(), Trouble> {
    let service = ServiceOptions {
        payload_bytes_max: 1000,
        ..ServiceOptions::default()
    };
    let server = Server::start(Setup {
        service,
        ..Setup::default()
    })
    .await?;
    let c = &mut server.client().await?;
    let large = |bytes: usize| Some(data(&vec![1; bytes]));
    let attempt = |status: AttemptStatus, bytes| ImportAttempt {
        status: status.into(),
        result: (status == AttemptStatus::Succeeded).then(|| large(bytes).expect("data")),
        error_data: (status == AttemptStatus::Failed).then(|| large(bytes).expect("data")),
        ..ImportAttempt::default()
    };
    for (bytes, is_within) in [(1000, true), (1001, false)] {
        let pairs = bytes - 984;
        let job = |field: &str| import(&format!("{field} {bytes}"));
        let jobs = vec![
            ImportJobRequest {
                payload: large(bytes),
                ..job("payload")
            },
            ImportJobRequest {
                attempts: vec![attempt(AttemptStatus::Succeeded, bytes)],
                ..job("attempts.result")
            },
            ImportJobRequest {
                attempts: vec![attempt(AttemptStatus::Failed, bytes)],
                ..job("attempts.error_data")
            },
            ImportJobRequest {
                metadata: (0..pairs).map(|n| (n.to_string(), String::new())).collect(),
                ..job("metadata")
            },
        ];
        let answer = c.import_jobs(ImportJobsRequest { jobs }).await?;
        for result in answer.into_inner().results {
            assert_eq!(result.success, is_within, "{result:?}");
            let (field, _) = result.id.split_once(' ').expect("a field");
            let text = match field {
                "metadata" => "metadata is 17 pairs, but must be at most 16 pairs".to_owned(),
                field => format!("{field} is 1001 bytes long, but must be at most 1000 bytes"),
            };
            assert_eq!(result.error, (!is_within).then_some(text));
        }
    }
    server.stop().await
}

#[silo::test]
async fn of_calls_about_a_job() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    let longest = "i".repeat(256);
    c.enqueue(enqueue(&longest)).await?;
    c.get_job(get(&longest)).await?;
    c.expedite_job(expedite(&longest)).await.expect_err("ready");
    c.cancel_job(cancel(&longest)).await?;
    c.get_job_result(result(&longest)).await?;
    c.restart_job(restart(&longest)).await?;
    c.lease_task(lease_one(&longest)).await?;
    c.delete_job(delete(&longest)).await.expect_err("running");
    for (id, text) in [
        ("", "id is 0 bytes long, but must be 1 to 256 bytes"),
        (
            &"i".repeat(257),
            "id is 257 bytes long, but must be 1 to 256 bytes",
        ),
        (
            "a\u{7f}b",
            r"id is a\u{7f}b, but must be free of control characters",
        ),
    ] {
        for got in [
            c.get_job(get(id)).await.map(|_| ()),
            c.get_job_result(result(id)).await.map(|_| ()),
            c.cancel_job(cancel(id)).await.map(|_| ()),
            c.delete_job(delete(id)).await.map(|_| ()),
            c.restart_job(restart(id)).await.map(|_| ()),
            c.expedite_job(expedite(id)).await.map(|_| ()),
            c.lease_task(lease_one(id)).await.map(|_| ()),
        ] {
            refused(got, "id", text);
        }
    }
    server.stop().await
}

#[silo::test]
async fn of_what_workers_say() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    let worker = |bytes| LeaseTasksRequest {
        worker_id: "w".repeat(bytes),
        ..lease(1)
    };
    c.lease_tasks(worker(256)).await?;
    let text = |bytes| format!("worker_id is {bytes} bytes long, but must be 1 to 256 bytes");
    for bytes in [0, 257] {
        let got = c.lease_tasks(worker(bytes)).await.map(|_| ());
        refused(got, "worker_id", &text(bytes));
    }
    let ms = |ms| LeaseTasksRequest {
        lease_ms: Some(ms),
        ..lease(1)
    };
    c.lease_tasks(ms(100)).await?;
    c.lease_tasks(ms(86_400_000)).await?;
    for beyond in [99, 86_400_001] {
        let bound = format!("lease_ms is {beyond}, but must be 100 ms to 86400000 ms");
        let got = c.lease_tasks(ms(beyond)).await.map(|_| ());
        refused(got, "lease_ms", &bound);
    }
    let group = |chars| LeaseTasksRequest {
        task_group: "ü".repeat(chars),
        ..lease(1)
    };
    c.lease_tasks(group(64)).await?;
    for chars in [0, 65] {
        let bound =
            format!("task_group is {chars} characters long, but must be 1 to 64 characters");
        let got = c.lease_tasks(group(chars)).await.map(|_| ());
        refused(got, "task_group", &bound);
    }
    let nobody = LeaseTaskRequest {
        worker_id: String::new(),
        ..lease_one("job")
    };
    refused(
        c.lease_task(nobody).await.map(|_| ()),
        "worker_id",
        &text(0),
    );

    c.enqueue(enqueue("job")).await?;
    let task = c
        .lease_task(lease_one("job"))
        .await?
        .into_inner()
        .task
        .expect("a task");
    let nobody = HeartbeatRequest {
        worker_id: String::new(),
        ..heartbeat(&task)
    };
    refused(c.heartbeat(nobody).await.map(|_| ()), "worker_id", &text(0));
    let nothing = ReportOutcomeRequest {
        task_id: task.id.clone(),
        ..Default::default()
    };
    let bound = "outcome is absent, but must be one of success, failure, cancelled, snooze, \
                 release";
    refused(
        c.report_outcome(nothing).await.map(|_| ()),
        "outcome",
        bound,
    );
    let failure = |failure| report(&task, Outcome::Failure(failure));
    let long = Failure {
        code: "c".repeat(1025),
        ..Failure::default()
    };
    let bound = "failure.code is 1025 bytes long, but must be at most 1024 bytes";
    refused(
        c.report_outcome(failure(long)).await.map(|_| ()),
        "failure.code",
        bound,
    );
    let early = Failure {
        retry_after_ms: Some(-1),
        ..Failure::default()
    };
    let bound = "failure.retry_after_ms is -1, but must be at least 0";
    let got = c.report_outcome(failure(early)).await.map(|_| ());
    refused(got, "failure.retry_after_ms", bound);
    let both = Failure {
        retry_after_ms: Some(1),
        not_retryable: true,
        ..Failure::default()
    };
    let bound = "failure.retry_after_ms is 1, but must be absent when the failure is not_retryable";
    let got = c.report_outcome(failure(both)).await.map(|_| ());
    refused(got, "failure.retry_after_ms", bound);
    let longest = Failure {
        code: "c".repeat(1024),
        ..Failure::default()
    };
    c.report_outcome(failure(longest)).await?;
    server.stop().await
}

#[silo::test]
async fn a_start_in_the_past_is_now() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    for start_at_ms in [i64::MIN, -1, 0, 1] {
        let job = EnqueueRequest {
            start_at_ms,
            ..enqueue("")
        };
        let id = c.enqueue(job).await?.into_inner().id;
        let job = c.get_job(get(&id)).await?.into_inner();
        assert_eq!(
            job.next_attempt_starts_after_ms,
            Some(job.enqueue_time_ms),
            "{start_at_ms}"
        );
    }
    assert_eq!(c.lease_tasks(lease(9)).await?.into_inner().tasks.len(), 4);
    server.stop().await
}
