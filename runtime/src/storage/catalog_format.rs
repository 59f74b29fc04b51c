//! The shard catalog as JSON.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::storage::catalog::ShardEntry;
use crate::storage::error::StorageError;
use crate::storage::range::HashRange;

/// Raise it whenever an older program would misread what a newer one writes, and tell of it in
/// `docs/guides/formats.md`. The second told of the store of the logs.
const FORMAT_VERSION: u64 = 2;
const FORMAT: &str = "shard catalog format";

/// Read on its own before the rest: a newer format may look quite different.
#[derive(Deserialize)]
struct StoredVersion {
    format_version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredCatalog {
    format_version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log_store: Option<String>,
    shards: Vec<StoredShard>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredShard {
    shard_id: String,
    range_start: String,
    range_end: String,
    path: String,
    created_at_ms: i64,
}

pub(crate) fn encode(
    shards: &[ShardEntry],
    log_store: Option<Uuid>,
) -> Result<Vec<u8>, StorageError> {
    let shards = shards
        .iter()
        .map(|shard| StoredShard {
            shard_id: shard.shard_id.to_string(),
            range_start: shard.range.start_string(),
            range_end: shard.range.end_string(),
            path: shard.path.clone(),
            created_at_ms: shard.created_at_ms,
        })
        .collect();
    let catalog = StoredCatalog {
        format_version: FORMAT_VERSION,
        log_store: log_store.map(|id| id.to_string()),
        shards,
    };
    serde_json::to_vec_pretty(&catalog).map_err(unreadable)
}

/// The shards, and the id of the store of their logs.
type Decoded = (Vec<ShardEntry>, Option<Uuid>);

pub(crate) fn decode(json: &[u8]) -> Result<Decoded, StorageError> {
    let found = serde_json::from_slice::<StoredVersion>(json)
        .map_err(unreadable)?
        .format_version;
    if found > FORMAT_VERSION {
        return Err(StorageError::NewerFormat {
            what: "the shard catalog",
            found,
            supported: FORMAT_VERSION,
        });
    }
    let catalog: StoredCatalog = serde_json::from_slice(json).map_err(unreadable)?;
    let shards = catalog
        .shards
        .into_iter()
        .map(decode_shard)
        .collect::<Result<Vec<_>, _>>()?;
    // A gap would lose tenants and an overlap would give them two homes.
    if !HashRange::is_partition(shards.iter().map(|shard| &shard.range)) {
        return Err(unreadable("the ranges do not cover the hash space exactly"));
    }
    let log_store = catalog.log_store.as_deref().map(Uuid::parse_str);
    Ok((shards, log_store.transpose().map_err(unreadable)?))
}

fn decode_shard(stored: StoredShard) -> Result<ShardEntry, StorageError> {
    Ok(ShardEntry {
        shard_id: Uuid::parse_str(&stored.shard_id).map_err(unreadable)?,
        range: HashRange::parse(&stored.range_start, &stored.range_end).map_err(unreadable)?,
        path: stored.path,
        created_at_ms: stored.created_at_ms,
    })
}

fn unreadable(reason: impl ToString) -> StorageError {
    StorageError::invalid(FORMAT, reason.to_string())
}
