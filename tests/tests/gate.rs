//! What every call passes: health, reflection, token, deadlines, sizes, what may be in flight.

#![cfg(test)]

use std::time::Duration;

use futures::StreamExt as _;
use h2::Ping;
use prost::Message as _;
use silo_runtime::proto::report_outcome_request::Outcome;
use silo_runtime::proto::{
    EnqueueRequest, Failure, GetClusterInfoRequest, LeaseTasksRequest, ResetShardsRequest,
    RetryPolicy,
};
use silo_runtime::service::ServiceOptions;
use silo_tests::messages::{data, enqueue, get, lease, lease_one, reason, report};
use silo_tests::raw::{Connection, framed, header};
use silo_tests::server::{Client, Server, Setup, Trouble};
use tokio::time::timeout;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::{v1, v1alpha};

const ENQUEUE: &str = "/silo.v1.Silo/Enqueue";
const LEASE: &str = "/silo.v1.Silo/LeaseTasks";
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
async fn health_follows_the_shards_and_the_shutdown() -> Result<(), Trouble> {
    let put_delay = Duration::from_millis(300);
    let server = Server::begin(Setup {
        put_delay,
        ..Setup::default()
    })
    .await?;
    let mut health = HealthClient::new(server.channel().await?);
    let mut watches = Vec::new();
    for service in ["", "silo.v1.Silo"] {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let now = health.check(request.clone()).await?.into_inner();
        assert_eq!(
            now.status(),
            ServingStatus::NotServing,
            "{service:?} before the shards open"
        );
        watches.push(health.watch(request).await?.into_inner());
    }
    for watch in &mut watches {
        assert_eq!(
            watch.message().await?.expect("a status").status(),
            ServingStatus::NotServing
        );
        assert_eq!(
            watch.message().await?.expect("a status").status(),
            ServingStatus::Serving
        );
    }
    server.node.opened().await?;
    server.shutdown.cancel();
    for watch in &mut watches {
        assert_eq!(
            watch.message().await?.expect("a status").status(),
            ServingStatus::NotServing
        );
        let end = watch.message().await.expect_err("the server goes");
        assert_eq!(end.code(), Code::Unavailable);
    }
    server.stop().await
}

/// What the health service says next of the server as a whole.
async fn next(watch: &mut tonic::Streaming<HealthCheckResponse>) -> Result<String, Trouble> {
    let said = timeout(Duration::from_secs(30), watch.message()).await??;
    let status = said.ok_or("the health service has ended")?.status();
    Ok(status.as_str_name().to_owned())
}

#[silo::test]
async fn health_follows_shards_that_are_replaced() -> Result<(), Trouble> {
    let server = Server::start(Setup {
        shards: 2,
        dev_mode: true,
        ..Setup::default()
    })
    .await?;
    let mut health = HealthClient::new(server.channel().await?);
    let watch = health.watch(HealthCheckRequest::default()).await?;
    let mut watch = watch.into_inner();
    while next(&mut watch).await? != "SERVING" {}
    // Slow enough for the health service to see it.
    server.set_put_delay(Duration::from_millis(100));
    let mut c = server.client().await?;
    c.reset_shards(ResetShardsRequest {}).await?;
    server.set_put_delay(Duration::ZERO);
    assert_eq!(next(&mut watch).await?, "NOT_SERVING");
    assert_eq!(next(&mut watch).await?, "SERVING");
    // One of two is enough not to serve.
    server.node.shards()[1].close().await;
    assert_eq!(next(&mut watch).await?, "NOT_SERVING");
    // And the next reset brings it back.
    c.reset_shards(ResetShardsRequest {}).await?;
    assert_eq!(next(&mut watch).await?, "SERVING");
    server.stop().await
}

#[silo::test]
async fn reflection_tells_the_contract() -> Result<(), Trouble> {
    let server = start(ServiceOptions::default()).await?;
    let mut client =
        v1::server_reflection_client::ServerReflectionClient::new(server.channel().await?);
    let ask = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
    };
    let answers = client
        .server_reflection_info(futures::stream::iter([ask]))
        .await?;
    let answer = answers.into_inner().next().await.expect("an answer")?;
    let names = format!("{answer:?}");
    for name in [
        "silo.v1.Silo",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
    ] {
        assert!(names.contains(&format!("{name:?}")), "{name} in {names}");
    }

    let channel = server.channel().await?;
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let ask = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(
                "silo.v1.Silo".to_owned(),
            ),
        ),
    };
    let answers = client
        .server_reflection_info(futures::stream::iter([ask]))
        .await?;
    let answer = answers.into_inner().next().await.expect("an answer")?;
    assert!(
        format!("{answer:?}").contains("FileDescriptorResponse"),
        "{answer:?}"
    );
    server.stop().await
}

#[silo::test]
async fn a_token_is_asked_for() -> Result<(), Trouble> {
    let token = Some("open sesame".to_owned());
    let server = start(ServiceOptions {
        token,
        ..ServiceOptions::default()
    })
    .await?;
    let mut c = server.client().await?;
    let shown = |token: Option<&'static str>| {
        let mut request = Request::new(GetClusterInfoRequest {});
        if let Some(token) = token {
            let value = MetadataValue::from_static(token);
            request.metadata_mut().insert("authorization", value);
        }
        request
    };
    let wrong = [
        None,
        Some("open sesame"),
        Some("Bearer"),
        Some("Bearer "),
        Some("Bearer open"),
        Some("Bearer open sesamf"),
        Some("Bearer open sesame "),
        Some("Basic open sesame"),
    ];
    for token in wrong {
        let status = c
            .get_cluster_info(shown(token))
            .await
            .expect_err("a wrong token");
        assert_eq!(status.code(), Code::Unauthenticated, "{token:?}");
        assert_eq!(reason(&status), "TOKEN_INVALID");
    }
    for token in ["Bearer open sesame", "bearer open sesame"] {
        c.get_cluster_info(shown(Some(token))).await?;
    }
    // Health is for everybody, reflection is not.
    let mut health = HealthClient::new(server.channel().await?);
    health.check(HealthCheckRequest::default()).await?;
    let mut reflection =
        v1::server_reflection_client::ServerReflectionClient::new(server.channel().await?);
    let asked = reflection
        .server_reflection_info(futures::stream::empty())
        .await;
    assert_eq!(asked.expect_err("no token").code(), Code::Unauthenticated);
    server.stop().await
}

#[silo::test]
async fn a_callers_deadline_is_kept_and_the_command_goes_on() -> Result<(), Trouble> {
    let server = start(ServiceOptions::default()).await?;
    server.set_put_delay(Duration::from_secs(1));
    let raw = Connection::open(server.address).await?;
    let mut call = raw.call(ENQUEUE, &[("grpc-timeout", "500m")]).await?;
    call.send(framed(&enqueue("job").encode_to_vec()), true)?;
    let status = call.answer().await?.status;
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert_eq!(reason(&status), "DEADLINE_EXCEEDED");
    server.set_put_delay(Duration::ZERO);
    server.client().await?.get_job(get("job")).await?;
    server.stop().await
}

#[silo::test]
async fn deadlines_that_tonic_would_see_at_the_same_time_are_ours() -> Result<(), Trouble> {
    let server = start(ServiceOptions::default()).await?;
    let raw = Connection::open(server.address).await?;
    for timeout in ["0n", "1n", "1u", "1m", "2m", "3m"] {
        let call = raw.call(ENQUEUE, &[("grpc-timeout", timeout)]).await?;
        let status = call.answer().await?.status;
        assert_eq!(
            status.code(),
            Code::DeadlineExceeded,
            "{timeout}: {status:?}"
        );
    }
    server.stop().await
}

#[silo::test]
async fn the_server_has_a_deadline_of_its_own() -> Result<(), Trouble> {
    let call_deadline_max = Duration::from_millis(20);
    let server = start(ServiceOptions {
        call_deadline_max,
        ..ServiceOptions::default()
    })
    .await?;
    let raw = Connection::open(server.address).await?;
    // The request never comes to an end, and the caller would wait for an hour.
    let call = raw.call(ENQUEUE, &[("grpc-timeout", "1H")]).await?;
    assert_eq!(call.answer().await?.status.code(), Code::DeadlineExceeded);
    server.stop().await
}

#[silo::test]
async fn tasks_whose_caller_gave_up_come_back() -> Result<(), Trouble> {
    let lease_ms = 3_600_000;
    let server = Server::start(Setup {
        lease_ms,
        ..Setup::default()
    })
    .await?;
    let mut c = server.client().await?;
    c.enqueue(enqueue("job")).await?;
    server.set_put_delay(Duration::from_secs(1));
    let raw = Connection::open(server.address).await?;
    let mut call = raw.call(LEASE, &[("grpc-timeout", "500m")]).await?;
    call.send(framed(&lease(1).encode_to_vec()), true)?;
    assert_eq!(call.answer().await?.status.code(), Code::DeadlineExceeded);
    server.set_put_delay(Duration::ZERO);
    let again = async {
        loop {
            let tasks = c.lease_tasks(lease(1)).await?.into_inner().tasks;
            if let Some(task) = tasks.into_iter().next() {
                return Ok::<_, Trouble>(task);
            }
        }
    };
    let task = timeout(Duration::from_secs(30), again).await??;
    assert_eq!(task.attempt_number, 1);
    server.stop().await
}

#[silo::test]
async fn tasks_that_nobody_took_come_back() -> Result<(), Trouble> {
    let lease_ms = 3_600_000;
    let server = Server::start(Setup {
        lease_ms,
        ..Setup::default()
    })
    .await?;
    let mut c = server.client().await?;
    c.enqueue(enqueue("job")).await?;
    // Not a byte of the answer can be sent: it is ready, and stays where it is.
    let raw = Connection::open_with_window(server.address, 0).await?;
    let mut call = raw.call(LEASE, &[]).await?;
    call.send(framed(&lease(1).encode_to_vec()), true)?;
    call.leave_when_answered().await?;
    let again = async {
        loop {
            let tasks = c.lease_tasks(lease(1)).await?.into_inner().tasks;
            if let Some(task) = tasks.into_iter().next() {
                return Ok::<_, Trouble>(task);
            }
        }
    };
    let task = timeout(Duration::from_secs(30), again).await??;
    assert_eq!(task.attempt_number, 1);
    server.stop().await
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
async fn a_request_is_no_larger_than_one_payload_needs() -> Result<(), Trouble> {
    let server = start(ServiceOptions {
        message_bytes_max: 9 * MIB,
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
async fn a_connection_has_so_many_streams_and_answers_pings() -> Result<(), Trouble> {
    let server = start(ServiceOptions {
        streams_max: 3,
        ..ServiceOptions::default()
    })
    .await?;
    let mut raw = Connection::open(server.address).await?;
    raw.ping.ping(Ping::opaque()).await?;
    assert_eq!(raw.streams_max(), 3);
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
