//! What operators and init systems do to a server: two of them on one folder, SIGTERM, a restart.

#![cfg(test)]

mod process;

use process::{Site, free_addr};
use silo_runtime::client::enqueue::Enqueue;
use silo_runtime::proto::JobStatus;

#[silo::test(flavor = "multi_thread")]
async fn a_second_process_fences_the_first_which_stops_and_says_so() {
    let site = Site::new();
    let first = site.start();
    let client = first.client().await;
    let id = client.enqueue(Enqueue::new("work", "")).await.unwrap();

    let second = site.start_at(free_addr());
    let (status, said) = first.ended().await;
    assert_eq!(status.code(), Some(3), "{said}");
    assert!(said.contains("another process"), "{said}");

    let job = second.client().await.job(&id, false).await.unwrap();
    assert_eq!(job.status(), JobStatus::Scheduled);
}

#[silo::test(flavor = "multi_thread")]
async fn sigterm_drains_and_a_restart_finds_the_same_shards_and_every_job() {
    let site = Site::new();
    let server = site.start();
    let client = server.client().await;
    let shards = client.cluster_info().await.unwrap().shard_owners;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(client.enqueue(Enqueue::new("work", "")).await.unwrap());
    }

    server.terminate();
    let (status, said) = server.ended().await;
    assert!(status.success(), "{said}");
    assert!(said.contains("stopped"), "{said}");

    let client = site.start_and_connect().await;
    assert_eq!(client.1.cluster_info().await.unwrap().shard_owners, shards);
    for id in ids {
        assert_eq!(
            client.1.job(&id, false).await.unwrap().status(),
            JobStatus::Scheduled
        );
    }
}

impl Site {
    async fn start_and_connect(&self) -> (process::Server, silo_runtime::client::Client) {
        let server = self.start();
        let client = server.client().await;
        (server, client)
    }
}
