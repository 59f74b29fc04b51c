//! `ResetShards`: all jobs go, the shards stay and answer at once.

#![cfg(test)]

use silo_runtime::proto::{GetClusterInfoRequest, ResetShardsRequest};
use silo_tests::messages::{enqueue, get, lease, reason};
use silo_tests::raw::{Connection, framed};
use silo_tests::server::{Server, Setup, Trouble};
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
    let raw = Connection::open(server.address).await?;
    for _ in 0..5 {
        c.enqueue(enqueue("job")).await?;
        let mut call = raw.call("/silo.v1.Silo/ResetShards", &[]).await?;
        call.send(framed(&[]), true)?;
        // The reset has begun when the job cannot be seen any more.
        while c.get_job(get("job")).await.is_ok() {}
        drop(call);
        loop {
            // Meanwhile a call may be told to try again, and nothing else.
            match c.get_cluster_info(GetClusterInfoRequest {}).await {
                Ok(_)
                    if c.get_job(get("job"))
                        .await
                        .is_err_and(|s| s.code() == Code::NotFound) =>
                {
                    break;
                }
                Ok(_) => {}
                Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status:?}"),
            }
        }
    }
    server.stop().await
}
