//! Shutting down: what is in flight ends well, or in time.

#![cfg(test)]

use std::time::Duration;

use prost::Message as _;
use silo_runtime::proto::EnqueueResponse;
use silo_runtime::service::ServiceOptions;
use silo_tests::messages::{enqueue, reason};
use silo_tests::raw::{Call, Connection, framed};
use silo_tests::server::{Server, Setup, Trouble};
use tokio::net::TcpStream;
use tonic::Code;

/// A call that has reached the server and whose request has not ended.
async fn half(raw: &mut Connection) -> Result<(Call, Vec<u8>), Trouble> {
    let mut call = raw.call("/silo.v1.Silo/Enqueue", &[]).await?;
    let mut first = framed(&enqueue("job").encode_to_vec());
    let rest = first.split_off(7);
    call.send(first, false)?;
    // Frames arrive in order: the answer to a ping says that the call has arrived.
    raw.ping.ping(h2::Ping::opaque()).await?;
    Ok((call, rest))
}

#[silo::test]
async fn a_call_in_flight_is_answered() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut raw = Connection::open(server.address).await?;
    let (mut call, rest) = half(&mut raw).await?;
    server.shutdown.cancel();
    // The listener goes first.
    while TcpStream::connect(server.address).await.is_ok() {}
    call.send(rest, true)?;
    let answer = call.answer().await?;
    assert_eq!(answer.status.code(), Code::Ok, "{:?}", answer.status);
    let message = answer.body.get(5..).expect("a message");
    assert_eq!(EnqueueResponse::decode(message)?.id, "job");
    server.stop().await
}

#[silo::test]
async fn a_call_that_does_not_end_is_cut_off() -> Result<(), Trouble> {
    let drain_timeout = Duration::from_millis(50);
    let service = ServiceOptions {
        drain_timeout,
        ..ServiceOptions::default()
    };
    let server = Server::start(Setup {
        service,
        ..Setup::default()
    })
    .await?;
    let mut raw = Connection::open(server.address).await?;
    let (call, _) = half(&mut raw).await?;
    let (stopped, answer) = tokio::join!(server.stop(), call.answer());
    stopped?;
    let status = answer?.status;
    assert_eq!(status.code(), Code::Aborted, "{status:?}");
    assert_eq!(reason(&status), "OUTCOME_UNKNOWN");
    Ok(())
}

#[silo::test]
async fn idle_connections_do_not_hold_it_up() -> Result<(), Trouble> {
    let drain_timeout = Duration::from_secs(3600);
    let service = ServiceOptions {
        drain_timeout,
        ..ServiceOptions::default()
    };
    let server = Server::start(Setup {
        service,
        ..Setup::default()
    })
    .await?;
    let mut client = server.client().await?;
    client.enqueue(enqueue("job")).await?;
    tokio::time::timeout(Duration::from_secs(30), server.stop()).await?
}
