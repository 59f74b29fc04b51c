//! Opening a database on a clock that it accepts.

use std::sync::Arc;

use slatedb::admin::Admin;
use slatedb::{Db, ErrorKind, VersionedManifest, WalReader};

use crate::storage::backend::Storage;
use crate::storage::clock::{ShardClock, WallClock};
use crate::storage::error::StorageError;
use crate::storage::settings::FirstByte;

pub(crate) struct Opened {
    pub(crate) db: Db,
    pub(crate) clock: Arc<ShardClock>,
}

pub(crate) async fn open_database(
    storage: &Storage,
    path: &str,
    wall: Arc<dyn WallClock>,
) -> Result<Opened, StorageError> {
    let clock = Arc::new(ShardClock::new(wall));
    // Before opening, since replay already writes files; and again afterwards, since only then is
    // the former owner fenced and can add nothing.
    let existed = raise_to_stored(&storage.admin(path), &clock).await?;
    let db = match build(storage, path, &clock).await {
        // Two processes that create the same database at once: the loser finds it existing now.
        Err(error) if !existed && error.kind() == ErrorKind::Data => {
            build(storage, path, &clock).await
        }
        built => built,
    }
    .map_err(|error| StorageError::from_slatedb(OPEN, &error))?;
    // The log first: what leaves it for the tables in between is then found there.
    raise_to_log(storage, path, &db, &clock).await?;
    raise_to_stored(&storage.admin(path), &clock).await?;
    Ok(Opened { db, clock })
}

const OPEN: &str = "open shard";

async fn build(
    storage: &Storage,
    path: &str,
    clock: &Arc<ShardClock>,
) -> Result<Db, slatedb::Error> {
    let (cache, cache_scope) = storage.cache(path);
    let system_clock: Arc<ShardClock> = Arc::clone(clock);
    Db::builder(path.to_owned(), Arc::clone(storage.object_store()))
        .with_settings(storage.settings())
        .with_segment_extractor(Arc::new(FirstByte))
        .with_db_cache(cache, cache_scope)
        .with_system_clock(system_clock)
        .build()
        .await
}

/// Raises the clock to the times stored in the manifest and in the list of compactions. Returns
/// whether there is a database at all.
async fn raise_to_stored(admin: &Admin, clock: &ShardClock) -> Result<bool, StorageError> {
    let manifest = admin.read_manifest(None).await;
    let manifest = manifest.map_err(|error| StorageError::from_slatedb(OPEN, &error))?;
    let Some(manifest) = manifest else {
        return Ok(false);
    };
    clock.raise_to(latest_in_manifest(&manifest));
    let compactions = admin.read_compactions(None).await;
    let compactions = compactions.map_err(|error| StorageError::from_slatedb(OPEN, &error))?;
    for compaction in compactions.iter().flat_map(|all| all.recent_compactions()) {
        clock.raise_to(millis(compaction.id().timestamp_ms()));
    }
    Ok(true)
}

/// The newest of the clock at the last row written to a file and the times at which files were made.
fn latest_in_manifest(manifest: &VersionedManifest) -> i64 {
    manifest
        .all_sst_views()
        .map(|view| millis(view.sst.id.value().timestamp_ms()))
        .chain(compacted_away(manifest))
        .fold(manifest.last_l0_clock_tick(), i64::max)
}

/// L0 files that compaction has consumed still count: new ones must not be older.
fn compacted_away(manifest: &VersionedManifest) -> impl Iterator<Item = i64> {
    manifest
        .segments()
        .iter()
        .filter_map(|segment| segment.last_compacted_l0_sst_id())
        .map(|id| millis(id.timestamp_ms()))
}

/// Raises the clock to the last row in the write-ahead log: rows carry the clock they were written
/// by, and the manifest knows only those that have left the log.
///
/// The clock of one writer never runs backwards, so its last object is enough; what follows it are
/// the empty objects by which owners fence each other.
async fn raise_to_log(
    storage: &Storage,
    path: &str,
    db: &Db,
    clock: &ShardClock,
) -> Result<(), StorageError> {
    let replayed_after = db.manifest().replay_after_wal_id();
    let log = WalReader::new(path.to_owned(), Arc::clone(storage.object_store()));
    let objects = log.list(replayed_after..).await;
    let objects = objects.map_err(|error| StorageError::from_slatedb(OPEN, &error))?;
    for object in objects.iter().rev() {
        let mut latest = None;
        let rows = object.iterator().await;
        let mut rows = rows.map_err(|error| StorageError::from_slatedb(OPEN, &error))?;
        while let Some(row) = rows
            .next()
            .await
            .map_err(|error| StorageError::from_slatedb(OPEN, &error))?
        {
            latest = latest.max(row.create_ts);
        }
        if let Some(latest) = latest {
            clock.raise_to(latest);
            return Ok(());
        }
    }
    Ok(())
}

fn millis(timestamp_ms: u64) -> i64 {
    i64::try_from(timestamp_ms).unwrap_or(i64::MAX)
}
