//! Bounds on what calls take: sizes, and what may be in flight.

#![cfg(test)]

use std::time::Duration;

use prost::Message as _;
use silo_runtime::proto::report_outcome_request::Outcome;
use silo_runtime::proto::{
    EnqueueRequest, Failure, GetClusterInfoRequest, LeaseTasksRequest, RetryPolicy,
};
use silo_runtime::service::ServiceOptions;
use silo_tests::messages::{data, enqueue, get, lease, lease_one, reason, report};
use silo_tests::raw::{Connection, framed, header};
use silo_tests::server::{Client, Server, Setup, Trouble};
use tokio::time::timeout;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

const ENQUEUE: &str = "/silo.v1.Silo/Enqueue";
const GET: &str = "/silo.v1.Silo/GetJob";
const MIB: usize = 1 << 20;

/// The smallest bounds that fit into each other.
fn small() -> ServiceOptions {
    ServiceOptions {
        payload_bytes_max: MIB,
        message_bytes_max: 5 * MIB,
        request_bytes_in_flight_max: 5 * MIB,
        ..ServiceOptions::default()
    }
}

async fn start(service: ServiceOptions) -> Result<Server, Trouble> {
    Server::start(Setup {
        service,
        ..Setup::default()
    })
    .await
}

fn pushback(status: &Status) -> Option<&str> {
    status
        .metadata()
        .get("grpc-retry-pushback-ms")?
        .to_str()
        .ok()
}

#[silo::test]
async fn requests_have_a_size() -> Result<(), Trouble> {
    let server = start(small()).await?;
    let raw = Connection::open(server.address).await?;
    let mut call = raw.call(ENQUEUE, &[]).await?;
    call.send(header(u32::try_from(5 * MIB + 1)?), false)?;
    let status = call.answer().await?.status;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert_eq!(reason(&status), "REQUEST_TOO_LARGE");
    assert_eq!(pushback(&status), Some("-1"));
    // As large as a message may be, it is read, and judged by its content.
    let mut c = server.client().await?;
    let job = EnqueueRequest {
        payload: Some(data(&vec![1; 4 * MIB])),
        ..enqueue("job")
    };
    assert_eq!(
        c.enqueue(job).await.expect_err("large").code(),
        Code::InvalidArgument
    );
    server.stop().await
}

#[silo::test]
async fn answers_have_a_size() -> Result<(), Trouble> {
    let server = start(small()).await?;
    let mut c = server.client().await?;
    let retry_policy = Some(RetryPolicy {
        retry_count: 9,
        ..RetryPolicy::default()
    });
    c.enqueue(EnqueueRequest {
        retry_policy,
        ..enqueue("job")
    })
    .await?;
    for _ in 0..5 {
        let task = c
            .lease_task(lease_one("job"))
            .await?
            .into_inner()
            .task
            .expect("a task");
        let failure = Failure {
            data: Some(data(&vec![1; MIB])),
            ..Failure::default()
        };
        c.report_outcome(report(&task, Outcome::Failure(failure)))
            .await?;
    }
    let status = c.get_job(get("job")).await.expect_err("too large");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert_eq!(reason(&status), "ANSWER_TOO_LARGE");
    assert_eq!(pushback(&status), Some("-1"));
    let mut without = get("job");
    without.include_attempts = false;
    c.get_job(without).await?;
    server.stop().await
}

/// The refusal of a job, once one is refused.
async fn until_refused(client: &mut Client) -> Result<Status, Trouble> {
    let refused = async {
        loop {
            if let Err(status) = client.enqueue(enqueue("")).await {
                return status;
            }
        }
    };
    Ok(timeout(Duration::from_secs(30), refused).await?)
}

/// Returns once a job is taken.
async fn until_taken(client: &mut Client) -> Result<(), Trouble> {
    let taken = async { while client.enqueue(enqueue("")).await.is_err() {} };
    Ok(timeout(Duration::from_secs(30), taken).await?)
}

#[silo::test]
async fn bytes_in_flight_are_bounded() -> Result<(), Trouble> {
    let server = start(small()).await?;
    let mut c = server.client().await?;
    let raw = Connection::open(server.address).await?;
    let mut call = raw.call(ENQUEUE, &[]).await?;
    call.send(header(u32::try_from(5 * MIB)?), false)?;
    call.send(vec![0; 5 * MIB - 1], false)?;
    let status = until_refused(&mut c).await?;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert_eq!(reason(&status), "TOO_MANY_BYTES");
    assert_eq!(pushback(&status), Some("200"));
    // What asks for nothing needs no room.
    c.get_cluster_info(GetClusterInfoRequest {}).await?;
    drop(call);
    until_taken(&mut c).await?;
    server.stop().await
}

#[silo::test]
async fn what_is_announced_and_not_sent_costs_a_part() -> Result<(), Trouble> {
    let server = start(small()).await?;
    let mut c = server.client().await?;
    let raw = Connection::open(server.address).await?;
    let mut calls = Vec::new();
    for _ in 0..16 {
        let mut call = raw.call(ENQUEUE, &[]).await?;
        call.send(header(u32::try_from(5 * MIB)?), false)?;
        calls.push(call);
    }
    let status = until_refused(&mut c).await?;
    assert_eq!(reason(&status), "TOO_MANY_BYTES");
    // Fifteen are not enough to keep others out.
    calls.pop();
    until_taken(&mut c).await?;
    drop(calls);
    server.stop().await
}

#[silo::test]
async fn a_request_has_to_arrive_in_time() -> Result<(), Trouble> {
    let request_arrival_max = Duration::from_millis(300);
    let server = start(ServiceOptions {
        request_arrival_max,
        ..small()
    })
    .await?;
    let mut c = server.client().await?;
    let raw = Connection::open(server.address).await?;
    let mut call = raw.call(ENQUEUE, &[]).await?;
    call.send(header(u32::try_from(5 * MIB)?), false)?;
    call.send(vec![0; 5 * MIB - 1], false)?;
    let status = timeout(Duration::from_secs(30), call.answer())
        .await??
        .status;
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert_eq!(reason(&status), "REQUEST_TOO_SLOW");
    // Its room is free again.
    c.enqueue(enqueue("job")).await?;
    // Nor does a request without an end go on for ever.
    let mut call = raw.call(ENQUEUE, &[]).await?;
    call.send(framed(&enqueue("other").encode_to_vec()), false)?;
    let status = timeout(Duration::from_secs(30), call.answer())
        .await??
        .status;
    assert_eq!(reason(&status), "REQUEST_TOO_SLOW");
    server.stop().await
}

#[silo::test]
async fn a_request_is_no_larger_than_a_message_may_be() -> Result<(), Trouble> {
    let server = start(ServiceOptions {
        message_bytes_max: 5 * MIB,
        request_bytes_in_flight_max: 9 * MIB,
        ..small()
    })
    .await?;
    let raw = Connection::open(server.address).await?;
    let mut large = raw.call(ENQUEUE, &[]).await?;
    large.send(header(u32::try_from(5 * MIB + 1)?), false)?;
    let status = large.answer().await?.status;
    assert_eq!(reason(&status), "REQUEST_TOO_LARGE");
    // Nor may several messages be: none of them is asked for.
    let mut several = raw.call(ENQUEUE, &[]).await?;
    several.send(framed(&enqueue("job").encode_to_vec()), false)?;
    several.send(header(u32::try_from(5 * MIB)?), false)?;
    let status = several.answer().await?.status;
    assert_eq!(reason(&status), "REQUEST_TOO_LARGE");
    server.stop().await
}

#[silo::test]
async fn answers_that_nobody_takes_are_bounded() -> Result<(), Trouble> {
    let server = start(ServiceOptions {
        answer_bytes_in_flight_max: 5 * MIB,
        ..small()
    })
    .await?;
    let mut c = server.client().await?;
    c.enqueue(EnqueueRequest {
        payload: Some(data(&vec![1; MIB - 200])),
        ..enqueue("large")
    })
    .await?;
    let raw = Connection::open_with_window(server.address, 0).await?;
    let ask = async || {
        let mut call = raw.call(GET, &[]).await?;
        call.send(framed(&get("large").encode_to_vec()), true)?;
        call.begun().await
    };
    let mut untaken = Vec::new();
    for _ in 0..5 {
        let answer = ask().await?;
        assert!(answer.refused.is_none(), "{answer:?}");
        untaken.push(answer);
    }
    let status = ask().await?.refused.expect("no room for a sixth");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert_eq!(reason(&status), "TOO_MANY_ANSWER_BYTES");
    assert_eq!(pushback(&status), Some("200"));
    // Nor is there room to begin a lease; what carries no data goes on.
    let status = c.lease_tasks(lease(1)).await.expect_err("no room");
    assert_eq!(reason(&status), "TOO_MANY_ANSWER_BYTES");
    assert_eq!(pushback(&status), Some("200"));
    c.enqueue(enqueue("small")).await?;
    // With room for a share but not for the task, the task is handed back, not lost.
    untaken.pop();
    c.enqueue(EnqueueRequest {
        payload: Some(data(&vec![1; MIB])),
        metadata: [("more".to_owned(), "m".repeat(10_000))].into(),
        task_group: "other".to_owned(),
        ..enqueue("larger")
    })
    .await?;
    let from_other = || LeaseTasksRequest {
        task_group: "other".to_owned(),
        ..lease(1)
    };
    // The answer that was left takes a moment to go.
    let room = async { while c.lease_tasks(lease(0)).await.is_err() {} };
    timeout(Duration::from_secs(30), room).await?;
    let answer = c.lease_tasks(from_other()).await.map(|_| ());
    let status = answer.expect_err("no room");
    assert_eq!(reason(&status), "TOO_MANY_ANSWER_BYTES");
    drop(untaken);
    let taken = async {
        loop {
            if let Ok(answer) = c.lease_tasks(from_other()).await
                && let Some(task) = answer.into_inner().tasks.into_iter().next()
            {
                return task;
            }
        }
    };
    let task = timeout(Duration::from_secs(30), taken).await?;
    assert_eq!(task.attempt_number, 1);
    server.stop().await
}

#[silo::test]
async fn calls_in_flight_are_bounded() -> Result<(), Trouble> {
    let service = ServiceOptions {
        requests_in_flight_max: 1,
        ..ServiceOptions::default()
    };
    let server = start(service).await?;
    let mut c = server.client().await?;
    let raw = Connection::open(server.address).await?;
    let call = raw.call(ENQUEUE, &[]).await?;
    let status = until_refused(&mut c).await?;
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(reason(&status), "TOO_MANY_CALLS");
    assert_eq!(pushback(&status), Some("200"));
    // Health is not counted.
    let mut health = HealthClient::new(server.channel().await?);
    health.check(HealthCheckRequest::default()).await?;
    drop(call);
    until_taken(&mut c).await?;
    server.stop().await
}

#[silo::test]
async fn options_that_contradict_themselves_are_refused() -> Result<(), Trouble> {
    small().check()?;
    let wrong = [
        ServiceOptions {
            payload_bytes_max: MIB + 1,
            ..small()
        },
        ServiceOptions {
            request_bytes_in_flight_max: 5 * MIB - 1,
            ..small()
        },
        ServiceOptions {
            answer_bytes_in_flight_max: 5 * MIB - 1,
            ..small()
        },
        ServiceOptions {
            streams_max: 0,
            ..small()
        },
        ServiceOptions {
            requests_in_flight_max: 0,
            ..small()
        },
        ServiceOptions {
            payload_bytes_max: 0,
            ..small()
        },
        ServiceOptions {
            token: Some(String::new()),
            ..small()
        },
    ];
    for options in wrong {
        assert!(options.check().is_err(), "{options:?}");
    }
    let secret = ServiceOptions {
        token: Some("sesame".to_owned()),
        ..small()
    };
    assert!(!format!("{secret:?}").contains("sesame"));
    Ok(())
}
