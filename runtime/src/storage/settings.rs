//! How SlateDB is set up for a shard.

use std::time::Duration;

use slatedb::config::{
    CompactionWorkerOptions, CompactorOptions, GarbageCollectorDirectoryOptions,
    GarbageCollectorOptions, GarbageCollectorScheduleOptions, Settings,
};
use slatedb::{PrefixExtractor, PrefixTarget};

use crate::storage::backend::StoreAbilities;
use crate::storage::config::{ShardLimits, TimeLimits};

/// How old versions of metadata must be before they are deleted from a store that cannot keep a
/// boundary file: longer than any process could plausibly sleep between two steps of one request.
pub(crate) const METADATA_AGE_MIN_WITHOUT_REPLACE: Duration = Duration::from_secs(6 * 3600);

/// The first byte of a key names its table, and each table is a segment: it has L0 files and sorted
/// runs of its own, so tables compact apart, and a shard can be divided by table and key range.
pub(crate) struct FirstByte;

impl PrefixExtractor for FirstByte {
    /// Stored with every database, which refuses to open under another name. Never change it.
    fn name(&self) -> &str {
        "silo-first-byte"
    }

    fn prefix_len(&self, target: &PrefixTarget) -> Option<usize> {
        let bytes = match target {
            PrefixTarget::Point(bytes) | PrefixTarget::Prefix(bytes) => bytes,
        };
        if bytes.is_empty() { None } else { Some(1) }
    }
}

/// Longer than any read may take.
const CHECKPOINT_LIFETIME: Duration = Duration::from_secs(120);

pub(crate) fn slatedb_settings(
    limits: &ShardLimits,
    time_limits: &TimeLimits,
    abilities: StoreAbilities,
) -> Settings {
    let defaults = Settings::default();
    Settings {
        // The executor says when to flush; a timer of SlateDB's own would freeze half-full WAL
        // objects in between.
        flush_interval: None,
        manifest_poll_interval: limits.manifest_poll(),
        manifest_update_timeout: time_limits.flush(),
        max_unflushed_bytes: limits.unflushed_bytes_max,
        l0_sst_size_bytes: limits.l0_bytes,
        // The smallest that SlateDB accepts: it bounds how many objects a reopening replays.
        max_wal_flushes_before_l0_flush: 4096,
        // Counted per segment, and one full segment holds up the flush of all. A merge of shards
        // starts with the files of all its sources, hence far more than the default of 8.
        l0_max_ssts: limits.l0_files_max,
        l0_max_ssts_per_key: limits.l0_files_max.div_ceil(4),
        compactor_options: Some(compactor(limits, time_limits)),
        garbage_collector_options: Some(garbage_collector(limits, abilities)),
        // Unbounded by default: a lost store would hang every call instead of failing it.
        object_store_max_retries: Some(limits.object_store_retries_max),
        ..defaults
    }
}

fn compactor(limits: &ShardLimits, time_limits: &TimeLimits) -> CompactorOptions {
    let worker = CompactionWorkerOptions {
        max_concurrent_compactions: limits.compactions_max,
        compactions_poll_interval: limits.compaction_poll(),
        max_sst_size: limits.compacted_file_bytes,
        // Many small compactions at once rather than a few large ones: memory per compaction is
        // about inputs × fetch tasks × bytes per fetch.
        max_fetch_tasks: 2,
        bytes_to_fetch: 512 << 10,
        max_subcompactions: 1,
        object_store_max_retries: Some(limits.object_store_retries_max),
        ..CompactionWorkerOptions::default()
    };
    CompactorOptions {
        poll_interval: limits.compaction_poll(),
        manifest_update_timeout: time_limits.flush(),
        max_concurrent_compactions: limits.compactions_max,
        // Each compaction keeps the files that it replaced for so long, for those who still read
        // them: our reads take seconds at most. A quarter of an hour, the default, is 10 GB of them
        // on a busy shard.
        checkpoint_lifetime: CHECKPOINT_LIFETIME,
        worker: Some(worker),
        object_store_max_retries: Some(limits.object_store_retries_max),
        ..CompactorOptions::default()
    }
}

fn garbage_collector(limits: &ShardLimits, abilities: StoreAbilities) -> GarbageCollectorOptions {
    let directory = GarbageCollectorDirectoryOptions {
        interval: Some(Duration::from_secs(600)),
        min_age: Duration::from_secs(600),
        dry_run: false,
    };
    // Metadata versions are created by conditional puts. Once a version has been deleted, only a
    // boundary file stops a process that was suspended meanwhile from creating it again and taking
    // itself for the owner. Stores that cannot keep a boundary file keep the versions longer.
    let metadata = GarbageCollectorDirectoryOptions {
        min_age: if abilities.conditional_replace {
            directory.min_age
        } else {
            METADATA_AGE_MIN_WITHOUT_REPLACE
        },
        ..directory
    };
    GarbageCollectorOptions {
        manifest_options: Some(metadata),
        compactions_options: Some(metadata),
        wal_options: Some(directory),
        compacted_options: Some(directory),
        // The empty objects that fence earlier writers are never deleted: a writer that was
        // suspended could otherwise still write behind the fence.
        wal_fence_options: None,
        detach_options: Some(GarbageCollectorScheduleOptions::default()),
        boundary_files_enabled: abilities.conditional_replace,
        object_store_max_retries: Some(limits.object_store_retries_max),
        ..GarbageCollectorOptions::default()
    }
}
