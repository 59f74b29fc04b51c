//! What an operator may ask of an open shard's files: how many there are, and to merge them now.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use slatedb::VersionedManifest;
use slatedb::compactor::{Compaction, CompactionSpec, CompactionStatus, SourceId};
use slatedb::manifest::Segment;

use crate::storage::clock::ShardClock;
use crate::storage::error::{StorageError, within};
use crate::storage::shard::ShardStore;

/// The files of a shard, over all its tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorageInfo {
    /// Files written from memory and not yet merged.
    pub l0_files: u64,
    /// Their estimated size in bytes.
    pub l0_bytes: u64,
    /// What was merged, newest first within each table.
    pub sorted_runs: Vec<SortedRunInfo>,
}

/// One sorted run: files that were written by one compaction, with no key in two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortedRunInfo {
    /// Unique within the shard; used again when the run is merged with newer ones.
    pub id: u32,
    /// Its files.
    pub files: u64,
    /// Their estimated size in bytes.
    pub bytes: u64,
}

impl StorageInfo {
    /// The estimated size of all sorted runs in bytes.
    #[must_use]
    pub fn sorted_run_bytes(&self) -> u64 {
        let sizes = self.sorted_runs.iter().map(|run| run.bytes);
        sizes.fold(0, u64::saturating_add)
    }
}

/// What became of a request to compact a shard, by tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactionReport {
    /// Tables whose files are now being merged into one run.
    pub started: usize,
    /// Tables that are left alone because some of their files are being merged already.
    pub busy: usize,
    /// Tables with nothing to merge.
    pub compact: usize,
}

impl fmt::Display for CompactionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            started,
            busy,
            compact,
        } = self;
        write!(
            f,
            "compaction started for {started} tables; {busy} were being compacted already, \
             {compact} had nothing to compact"
        )
    }
}

impl ShardStore {
    /// Counts the shard's files as the newest manifest has them: one list request and one or two
    /// reads. What is only in the write-ahead log or in memory is not in it.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]; [`StorageError::Invalid`] if the shard's data is gone.
    pub async fn storage_info(&self) -> Result<StorageInfo, StorageError> {
        let manifest = self.newest_manifest(INFO).await?;
        let mut info = StorageInfo::default();
        for segment in manifest.segments() {
            for file in segment.l0() {
                info.l0_files = info.l0_files.saturating_add(1);
                info.l0_bytes = info.l0_bytes.saturating_add(file.estimate_size());
            }
            info.sorted_runs
                .extend(segment.compacted().iter().map(|run| SortedRunInfo {
                    id: run.id,
                    files: u64::try_from(run.sst_views().len()).unwrap_or(u64::MAX),
                    bytes: run.estimate_size(),
                }));
        }
        Ok(info)
    }

    /// Has everything that the shard has in files merged into one sorted run per table, by the
    /// compactor of this process, which begins within the configured poll interval. Returns at
    /// once; watch [`Self::compactions_active`]. Use [`Self::flush_tables`] before, for what is in
    /// memory. Costs two to four requests, and four for each table with work.
    ///
    /// A compaction that SlateDB begins at the same moment on the same files makes one of the two
    /// fail without harm: ask again.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]; some of the compactions may have been started then.
    pub async fn compact(&self) -> Result<CompactionReport, StorageError> {
        let manifest = self.newest_manifest(COMPACT).await?;
        let active = self.active_compactions().await?;
        let plan = Plan::new(&manifest, &active);
        let clock: Arc<ShardClock> = Arc::clone(self.clock());
        // Compactions are stamped as well, and their stamps raise the clock at the next opening.
        let admin = self.storage().admin_with_clock(self.path(), clock);
        for spec in plan.specs {
            within(self.storage().time_limits().request(), COMPACT, async {
                let submitted = admin.submit_compaction(spec).await;
                submitted.map_err(|error| StorageError::from_slatedb(COMPACT, &error))
            })
            .await?;
        }
        Ok(plan.report)
    }

    /// How many compactions of this shard wait or run, whoever started them.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`].
    pub async fn compactions_active(&self) -> Result<usize, StorageError> {
        Ok(self.active_compactions().await?.len())
    }

    async fn newest_manifest(
        &self,
        operation: &'static str,
    ) -> Result<VersionedManifest, StorageError> {
        let admin = self.storage().admin(self.path());
        let manifest = within(self.storage().time_limits().request(), operation, async {
            let manifest = admin.read_manifest(None).await;
            manifest.map_err(|error| StorageError::from_slatedb(operation, &error))
        })
        .await?;
        manifest.ok_or_else(|| StorageError::invalid(operation, "the shard's data is gone"))
    }

    async fn active_compactions(&self) -> Result<Vec<Compaction>, StorageError> {
        let admin = self.storage().admin(self.path());
        let compactions = within(self.storage().time_limits().request(), COMPACT, async {
            let compactions = admin.read_compactions(None).await;
            compactions.map_err(|error| StorageError::from_slatedb(COMPACT, &error))
        })
        .await?;
        let compactions = compactions.iter().flat_map(|all| all.recent_compactions());
        Ok(compactions
            .filter(|compaction| is_active(compaction))
            .cloned()
            .collect())
    }
}

const INFO: &str = "look at the shard's files";
const COMPACT: &str = "compact shard";

fn is_active(compaction: &Compaction) -> bool {
    match compaction.status() {
        CompactionStatus::Submitted
        | CompactionStatus::Scheduled
        | CompactionStatus::Running
        | CompactionStatus::Compacted => true,
        CompactionStatus::Completed | CompactionStatus::Failed => false,
    }
}

/// Which tables to compact, and how.
struct Plan {
    specs: Vec<CompactionSpec>,
    report: CompactionReport,
}

impl Plan {
    fn new(manifest: &VersionedManifest, active: &[Compaction]) -> Self {
        let busy: BTreeSet<&Bytes> = active.iter().map(|c| c.spec().segment()).collect();
        let stored = manifest.segments().iter().flat_map(|segment| {
            let runs = segment.compacted().iter();
            runs.map(|run| run.id)
        });
        let reserved = active.iter().filter_map(|c| c.spec().destination());
        // Ids of runs are unique over all tables.
        let mut fresh = stored
            .chain(reserved)
            .max()
            .map_or(0, |id| id.saturating_add(1));
        let mut plan = Self {
            specs: Vec::new(),
            report: CompactionReport::default(),
        };
        for segment in manifest.segments() {
            let sources = sources(segment);
            if busy.contains(segment.prefix()) {
                plan.report.busy = plan.report.busy.saturating_add(1);
            } else if segment.l0().is_empty() && sources.len() <= 1 {
                plan.report.compact = plan.report.compact.saturating_add(1);
            } else {
                let oldest = segment.compacted().iter().map(|run| run.id).min();
                let destination = oldest.unwrap_or_else(|| {
                    let id = fresh;
                    fresh = fresh.saturating_add(1);
                    id
                });
                let prefix = segment.prefix().clone();
                let spec = CompactionSpec::for_segment(prefix, sources, destination);
                plan.specs.push(spec);
                plan.report.started = plan.report.started.saturating_add(1);
            }
        }
        plan
    }
}

/// All files of a table, from the newest to the oldest, as SlateDB insists.
fn sources(segment: &Segment) -> Vec<SourceId> {
    let unmerged = segment.l0().iter().map(|file| SourceId::SstView(file.id));
    let runs = segment.compacted().iter();
    unmerged
        .chain(runs.map(|run| SourceId::SortedRun(run.id)))
        .collect()
}
