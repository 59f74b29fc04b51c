//! What a node tells about itself. Without coordination it is the whole cluster.

use std::sync::Arc;

use futures::future::join_all;
use silo_core::table::state::Status;

use crate::executor::shard::Shard;
use crate::node::Node;
use crate::proto::{
    ClusterMember, GetClusterInfoResponse, GetNodeInfoResponse, OwnedShardInfo, ShardOwner,
};
use crate::service::denial::Denial;

/// Which node serves which range of tenants.
///
/// # Errors
/// [`Denial::NoShards`] while the shards are being replaced: a client that heard of none would give
/// its calls up.
pub fn cluster_info(node: &Node) -> Result<GetClusterInfoResponse, Denial> {
    let shards = node.shards();
    if shards.is_empty() {
        return Err(Denial::NoShards);
    }
    let options = node.options();
    Ok(GetClusterInfoResponse {
        num_shards: u32::try_from(shards.len()).unwrap_or(u32::MAX),
        shard_owners: shards.iter().map(|shard| owner(node, shard)).collect(),
        this_node_id: options.node_id.clone(),
        this_grpc_addr: options.advertised_addr.clone(),
        members: vec![ClusterMember {
            node_id: options.node_id.clone(),
            grpc_addr: options.advertised_addr.clone(),
            placement_rings: Vec::new(),
        }],
    })
}

/// What this node serves.
///
/// # Errors
/// [`Denial::NoShards`] while the shards are being replaced.
pub async fn node_info(node: &Node) -> Result<GetNodeInfoResponse, Denial> {
    let shards = node.shards();
    if shards.is_empty() {
        return Err(Denial::NoShards);
    }
    Ok(GetNodeInfoResponse {
        node_id: node.options().node_id.clone(),
        owned_shards: join_all(shards.iter().map(owned)).await,
        placement_rings: Vec::new(),
    })
}

/// This node, also while the shard is being opened.
fn owner(node: &Node, shard: &Arc<Shard>) -> ShardOwner {
    let entry = shard.entry();
    ShardOwner {
        shard_id: entry.shard_id.to_string(),
        grpc_addr: node.options().advertised_addr.clone(),
        node_id: node.options().node_id.clone(),
        range_start: entry.range.start_string(),
        range_end: entry.range.end_string(),
        placement_ring: None,
    }
}

/// What a shard says of itself; one that is being opened says nothing of its jobs.
async fn owned(shard: &Arc<Shard>) -> OwnedShardInfo {
    let entry = shard.entry();
    let totals = shard.totals().await.unwrap_or_default();
    let ended = [Status::Succeeded, Status::Failed, Status::Cancelled];
    let completed = ended.into_iter().map(|status| totals.of(status));
    let completed = completed.fold(0, u64::saturating_add);
    OwnedShardInfo {
        shard_id: entry.shard_id.to_string(),
        total_jobs: i64::try_from(totals.total()).unwrap_or(i64::MAX),
        completed_jobs: i64::try_from(completed).unwrap_or(i64::MAX),
        cleanup_status: String::new(),
        created_at_ms: entry.created_at_ms,
        cleanup_completed_at_ms: 0,
    }
}
