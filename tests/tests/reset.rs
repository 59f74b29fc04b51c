//! `ResetShards`: all jobs go, the shards stay and answer at once.

#![cfg(test)]

use std::time::Duration;

use silo_runtime::proto::{GetClusterInfoRequest, ResetShardsRequest};
use silo_tests::messages::{enqueue, get, lease, reason};
use silo_tests::raw::{Connection, framed};
use silo_tests::server::{Server, Setup, Trouble};
use tokio::time::timeout;
use tonic::Code;

#[silo::test]
async fn is_for_development_only() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut c = server.client().await?;
    c.enqueue(enqueue("job")).await?;
    let status = c
        .reset_shards(ResetShardsRequest {})
        .await
        .expect_err("in production");
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(reason(&status), "NOT_IN_DEV_MODE");
    c.get_job(get("job")).await?;
    server.stop().await
}

#[silo::test]
async fn empties_the_shards_and_they_answer_at_once() -> Result<(), Trouble> {
    let server = Server::start(Setup {
        dev_mode: true,
        shards: 3,
        ..Setup::default()
    })
    .await?;
    let mut c = server.client().await?;
    let shards = server.shard_ids();
    for _ in 0..3 {
        c.enqueue(enqueue("job")).await?;
        let reset = c.reset_shards(ResetShardsRequest {}).await?.into_inner();
        assert_eq!(reset.shards_reset, 3);
        let status = c.get_job(get("job")).await.expect_err("gone");
        assert_eq!(status.code(), Code::NotFound, "{status:?}");
        assert!(c.lease_tasks(lease(1)).await?.into_inner().tasks.is_empty());
        assert_eq!(server.shard_ids(), shards);
    }
    server.stop().await
}

#[silo::test]
async fn ends_also_when_its_caller_goes_away() -> Result<(), Trouble> {
    let server = Server::start(Setup {
        dev_mode: true,
        ..Setup::default()
    })
    .await?;
    let mut c = server.client().await?;
    c.enqueue(enqueue("job")).await?;
    // Slow enough that the caller goes away in the middle.
    server.set_put_delay(Duration::from_millis(300));
    let raw = Connection::open(server.address).await?;
    let mut call = raw.call("/silo.v1.Silo/ResetShards", &[]).await?;
    call.send(framed(&[]), true)?;
    let in_the_middle = async {
        loop {
            // No shards are here now: a call is told to try again, and nothing else.
            if let Err(status) = c.get_cluster_info(GetClusterInfoRequest {}).await {
                return status.code();
            }
        }
    };
    let code = timeout(Duration::from_secs(30), in_the_middle).await?;
    assert_eq!(code, Code::Unavailable);
    drop(call);
    let gone = async {
        loop {
            match c.get_job(get("job")).await {
                Err(status) if status.code() == Code::NotFound => return,
                answer => assert_eq!(answer.expect_err("gone").code(), Code::Unavailable),
            }
        }
    };
    timeout(Duration::from_secs(30), gone).await?;
    server.stop().await
}
