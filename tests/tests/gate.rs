//! What every call passes: health, reflection, token, deadlines.

#![cfg(test)]

use std::time::Duration;

use futures::StreamExt as _;
use h2::Ping;
use prost::Message as _;
use silo_runtime::proto::{GetClusterInfoRequest, ResetShardsRequest};
use silo_runtime::service::ServiceOptions;
use silo_tests::messages::{enqueue, get, lease, reason};
use silo_tests::raw::{Connection, framed};
use silo_tests::server::{Server, Setup, Trouble};
use tokio::time::timeout;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::{v1, v1alpha};

const ENQUEUE: &str = "/silo.v1.Silo/Enqueue";
const LEASE: &str = "/silo.v1.Silo/LeaseTasks";

async fn start(service: ServiceOptions) -> Result<Server, Trouble> {
    Server::start(Setup {
        service,
        ..Setup::default()
    })
    .await
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
