//! A node whose storage fails while it is reset or closed.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects)]

mod common;

use std::num::NonZeroU32;
use std::sync::Arc;

use silo_core::types::time::Millis;
use silo_core::types::weight::Weights;
use silo_runtime::node::{Node, NodeError, NodeOptions};
use silo_runtime::storage::backend::Storage;
use silo_runtime::storage::catalog::{ShardCatalog, ShardEntry};
use silo_runtime::storage::config::BackendConfig;
use silo_test_faults::fault::{Fault, Requests};

use crate::common::disk::{
    FAILS, LOSES_ANSWER, catalog_puts, context, faulty, faulty_with, impatient, log_puts, memory,
    within,
};
use crate::common::say;

const SHARDS: NonZeroU32 = NonZeroU32::new(2).unwrap();

async fn start(storage: &Storage) -> Arc<Node> {
    let options = NodeOptions {
        node_id: "node-1".to_owned(),
        advertised_addr: "localhost:1".to_owned(),
        tenancy: false,
        shards: SHARDS,
        lease_default: Millis::new(10_000),
        weights: Weights::default(),
        dev_mode: true,
    };
    let node = Node::start(options, context(storage)).await.unwrap();
    within(node.opened()).await.unwrap();
    Arc::new(node)
}

fn entries(node: &Node) -> Vec<ShardEntry> {
    let shards = node.shards();
    shards.iter().map(|shard| shard.entry().clone()).collect()
}

/// What a restart would find.
async fn stored(storage: &Storage) -> Vec<ShardEntry> {
    let catalog = ShardCatalog::open(storage, SHARDS, 1).await.unwrap();
    catalog.shards().to_vec()
}

async fn enqueue(node: &Node, id: &str) -> bool {
    let key = say::job("t", id);
    let shard = node.shard_of(&key.tenant).unwrap();
    within(shard.call(say::enqueue(say::plain(&key))))
        .await
        .is_ok()
}

#[silo::test]
async fn a_node_without_storage_closes_during_a_reset() {
    let (store, storage) = faulty(&memory().await, true);
    let node = start(&storage).await;
    let before = entries(&node);
    let _outage = store.inject(FAILS, log_puts());
    let resetting = Arc::clone(&node);
    let resetting = tokio::spawn(async move { resetting.reset().await });
    // New shards in the catalog, that cannot be opened.
    within(async {
        while entries(&node).is_empty() || entries(&node) == before {
            tokio::task::yield_now().await;
        }
    })
    .await;
    within(node.close()).await;
    let reset = within(resetting).await.unwrap();
    assert_eq!(reset, Err(NodeError::Closing));
    assert_eq!(within(node.reset()).await, Err(NodeError::Closing));
}

#[silo::test]
async fn a_reset_whose_answer_was_lost_goes_on_with_the_new_shards() {
    let inner = memory().await;
    let (store, storage) = faulty(&inner, true);
    let node = start(&storage).await;
    let before = entries(&node);
    let lost = store.inject(LOSES_ANSWER, catalog_puts().times(1));
    assert_eq!(within(node.reset()).await, Ok(2));
    assert_eq!(lost.hits(), 1);
    assert_ne!(entries(&node), before);
    assert_eq!(entries(&node), stored(&inner).await);
    assert!(enqueue(&node, "one").await);
    within(node.close()).await;
}

#[silo::test]
async fn a_reset_that_failed_goes_on_with_the_old_shards() {
    let inner = memory().await;
    let (store, storage) = faulty(&inner, true);
    let node = start(&storage).await;
    let before = entries(&node);
    let failure = store.inject(FAILS, catalog_puts().times(1));
    let failed = within(node.reset()).await;
    assert!(matches!(failed, Err(NodeError::Catalog(_))), "{failed:?}");
    assert_eq!(failure.hits(), 1);
    assert_eq!(entries(&node), before);
    assert_eq!(stored(&inner).await, before);
    within(node.opened()).await.unwrap();
    assert!(enqueue(&node, "one").await);
    within(node.close()).await;
}

#[silo::test]
async fn a_node_whose_storage_never_answers_closes_all_the_same() {
    let inner = memory().await;
    let node = start(&inner).await;
    assert!(enqueue(&node, "one").await);
    node.close().await;

    let mut config = impatient(BackendConfig::Memory);
    config.time_limits.read_ms = 3_600_000;
    config.time_limits.write_ms = 300;
    config.time_limits.flush_ms = 300;
    config.time_limits.close_ms = 300;
    let (store, storage) = faulty_with(&inner, true, &config);
    let node = start(&storage).await;
    let _outage = store.inject(Fault::Hangs, Requests::all());
    let key = say::job("t", "one");
    let shard = node.shard_of(&key.tenant).unwrap();
    let reading = tokio::spawn(async move { shard.call(say::get(&key, false)).await });
    tokio::task::yield_now().await;
    within(node.close()).await;
    reading.abort();
}
