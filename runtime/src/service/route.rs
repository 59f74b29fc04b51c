//! Which shard a call is for.

use std::sync::Arc;

use silo_core::types::Invalid;
use silo_core::types::tenant::Tenant;
use uuid::Uuid;

use crate::executor::shard::Shard;
use crate::node::Node;
use crate::service::denial::Denial;

/// The shard that a call names; none: the server is to find it.
///
/// # Errors
/// [`Denial::Invalid`] when it is not a UUID.
pub fn named(shard: &str) -> Result<Option<Uuid>, Denial> {
    if shard.is_empty() {
        return Ok(None);
    }
    match Uuid::parse_str(shard) {
        Ok(id) => Ok(Some(id)),
        Err(_) => Err(Invalid::new("shard", shard.escape_debug(), "empty or a UUID").into()),
    }
}

/// The shard of a call about a tenant.
///
/// # Errors
/// [`Denial`] when this node does not serve it, or it does not hold the tenant.
pub fn of_tenant(node: &Node, shard: &str, tenant: &Tenant) -> Result<Arc<Shard>, Denial> {
    let Some(id) = named(shard)? else {
        return node.shard_of(tenant).ok_or(Denial::NoShards);
    };
    let shard = by_id(node, id)?;
    if shard.entry().range.contains(tenant.hash()) {
        Ok(shard)
    } else {
        let tenant = tenant.clone();
        Err(Denial::TenantOutsideShard { tenant, shard: id })
    }
}

/// The shard with this id.
///
/// # Errors
/// [`Denial`] when this node does not serve it.
pub fn by_id(node: &Node, id: Uuid) -> Result<Arc<Shard>, Denial> {
    if let Some(shard) = node.shard(id) {
        return Ok(shard);
    }
    // While all shards are replaced nobody can say whether this one will be there.
    if node.shards().is_empty() {
        Err(Denial::NoShards)
    } else {
        Err(Denial::ShardElsewhere(id))
    }
}
