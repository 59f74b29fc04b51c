//! Opening a database on a clock that it accepts.

use std::sync::Arc;

use slatedb::admin::Admin;
use slatedb::{Db, ErrorKind, VersionedManifest, WalReader};

use crate::storage::backend::Storage;
use crate::storage::clock::{ShardClock, WallClock};
use crate::storage::error::StorageError;
use crate::storage::marks::{Mark, has_mark};
use crate::storage::ownership::Ownership;
use crate::storage::settings::FirstByte;

pub(crate) struct Opened {
    pub(crate) db: Db,
    pub(crate) clock: Arc<ShardClock>,
}

pub(crate) async fn open_database(
    storage: &Storage,
    path: &str,
    wall: Arc<dyn WallClock>,
    ownership: &mut Ownership,
) -> Result<Opened, StorageError> {
    let clock = Arc::new(ShardClock::new(wall));
    // Before opening, since replay already writes files; and again afterwards, since only then is
    // the former owner fenced and can add nothing.
    let found = raise_to_stored(&storage.admin(path), &clock).await?;
    let is_gone = has_mark(storage, Mark::Deleted, path).await?
        || found.is_none() && has_mark(storage, Mark::Created, path).await?;
    if is_gone {
        return Err(StorageError::invalid(
            OPEN,
            format!("the data at {path} has been deleted: restore it, or delete everything"),
        ));
    }
    let db = match build(
        storage,
        path,
        &clock,
        ownership.begin(OPEN, found)?,
        ownership,
    )
    .await
    {
        // Two processes that create the same database at once: the loser finds it existing now.
        Err(error) if found.is_none() && error.kind() == ErrorKind::Data => {
            let found = raise_to_stored(&storage.admin(path), &clock).await?;
            build(
                storage,
                path,
                &clock,
                ownership.begin(OPEN, found)?,
                ownership,
            )
            .await
        }
        built => built,
    }
    .map_err(|error| match StorageError::from_slatedb(OPEN, &error) {
        // Ours or not: the next try reads who has claimed the shard last.
        StorageError::Fenced { .. } if ownership.has_claimed() => {
            StorageError::unavailable(OPEN, "the claim was made and then found wanting")
        }
        cause @ (StorageError::Fenced { .. }
        | StorageError::Closed { .. }
        | StorageError::Unavailable { .. }
        | StorageError::Invalid { .. }
        | StorageError::NewerFormat { .. }) => cause,
    })?;
    // Ours, and not merely the newest: a manifest with a later epoch is never adopted.
    ownership.opened(db.manifest().writer_epoch());
    match raise_after(storage, path, &db, &clock).await {
        Ok(()) => Ok(Opened { db, clock }),
        Err(cause) => {
            // Its background tasks stop only then.
            if let Err(error) = db.close().await {
                tracing::warn!(path, %error, "a shard that did not open did not close cleanly");
            }
            Err(cause)
        }
    }
}

/// Raises the clock to what the former owner stored until it was fenced.
async fn raise_after(
    storage: &Storage,
    path: &str,
    db: &Db,
    clock: &ShardClock,
) -> Result<(), StorageError> {
    // The log first: what leaves it for the tables in between is then found there.
    raise_to_log(storage, path, db, clock).await?;
    raise_to_stored(&storage.admin(path), clock).await?;
    Ok(())
}

const OPEN: &str = "open shard";

async fn build(
    storage: &Storage,
    path: &str,
    clock: &Arc<ShardClock>,
    expected_epoch: u64,
    ownership: &Ownership,
) -> Result<Db, slatedb::Error> {
    let (cache, cache_scope) = storage.cache(path);
    let system_clock: Arc<ShardClock> = Arc::clone(clock);
    let builder = Db::builder(path.to_owned(), ownership.witness(storage.object_store()));
    let builder = match storage.log_store() {
        Some(log_store) => builder.with_wal_object_store(Arc::clone(log_store)),
        None => builder,
    };
    let builder = match storage.recorder() {
        Some(recorder) => builder.with_metrics_recorder(recorder),
        None => builder,
    };
    builder
        // The check and the claim are one conditional put.
        .with_expected_epoch(expected_epoch)
        .with_settings(storage.settings())
        .with_segment_extractor(Arc::new(FirstByte))
        .with_db_cache(cache, cache_scope)
        .with_system_clock(system_clock)
        .build()
        .await
}

/// Raises the clock to the times stored in the manifest and in the list of compactions. Returns
/// the writer epoch, if there is a database at all.
async fn raise_to_stored(admin: &Admin, clock: &ShardClock) -> Result<Option<u64>, StorageError> {
    let manifest = admin.read_manifest(None).await;
    let manifest = manifest.map_err(|error| StorageError::from_slatedb(OPEN, &error))?;
    let Some(manifest) = manifest else {
        return Ok(None);
    };
    clock.raise_to(latest_in_manifest(&manifest));
    let compactions = admin.read_compactions(None).await;
    let compactions = compactions.map_err(|error| StorageError::from_slatedb(OPEN, &error))?;
    for compaction in compactions.iter().flat_map(|all| all.recent_compactions()) {
        clock.raise_to(millis(compaction.id().timestamp_ms()));
    }
    Ok(Some(manifest.writer_epoch()))
}

/// The newest of the clock at the last row written to a file and the times at which files were
/// made.
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
    let store = storage.log_store().unwrap_or(storage.object_store());
    let log = WalReader::new(path.to_owned(), Arc::clone(store));
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
