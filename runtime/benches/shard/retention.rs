//! Many jobs through one shard that keeps each for two seconds: what is left of them afterwards.
//!
//! A hundred thousand jobs that stay are the baseline. Jobs then come, end and go; when the last
//! has gone, files and memory are compared with the baseline, at once and after the shard was
//! compacted and had a rest for garbage collection.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use silo_core::types::tenant::Tenant;
use silo_core::types::time::Millis;
use silo_runtime::executor::shard::Shard;
use silo_runtime::storage::slatedb_overrides::SlateDbOverrides;
use tokio::time::sleep;

use crate::{Options, TENANTS, enqueue_kept, lease, report};

/// Jobs that stay, for ever.
const STAYING: u64 = 100_000;
/// Jobs that come and go before the baseline is taken, so that caches are as full as they get.
const WARM_UP: u64 = 500_000;
/// How long a job is kept that goes.
const KEPT: Millis = Millis::from_secs(2);
/// Jobs that wait to be worked on: producers pause beyond that.
const BACKLOG_MAX: u64 = 20_000;
const WORKERS: usize = 8;
/// The whole run is cut off after so long.
const RUN_MAX: Duration = Duration::from_secs(5400);

/// Garbage is collected after a minute rather than after ten: this much work makes 25 MB of it a
/// second.
pub(crate) fn slatedb() -> SlateDbOverrides {
    let soon = serde_json::json!({ "interval": "30s", "min_age": "60s" });
    let kinds = ["wal", "compacted", "manifest", "compactions"];
    let options = kinds.map(|kind| (format!("{kind}_options"), soon.clone()));
    let options = serde_json::Map::from_iter(options);
    SlateDbOverrides(serde_json::Map::from_iter([(
        "garbage_collector_options".to_owned(),
        options.into(),
    )]))
}

pub(crate) async fn run(options: &Options, shard: &Arc<Shard>, folder: &Path) {
    let jobs = options.jobs.unwrap_or(10_000_000);
    let began = Instant::now();
    churn(options, shard, STAYING, None, began).await;
    churn(options, shard, WARM_UP, Some(KEPT), began).await;
    gone(shard, began).await;
    sample("baseline, before rest", shard, folder, began).await;
    let baseline = rested(options, shard, folder, began).await;

    let mut left = jobs;
    while left > 0 && began.elapsed() < RUN_MAX {
        let some = left.min(500_000);
        churn(options, shard, some, Some(KEPT), began).await;
        left -= some;
        sample(&format!("{} jobs", jobs - left), shard, folder, began).await;
    }
    gone(shard, began).await;
    sample("all gone", shard, folder, began).await;
    let last = rested(options, shard, folder, began).await;
    let ratio = |after: u64, before: u64| after as f64 / before as f64;
    println!(
        "after {jobs} jobs: tables {:.2}, log {:.2}, metadata {:.2}, memory {:.2} of the baseline",
        ratio(last.tables, baseline.tables),
        ratio(last.log, baseline.log),
        ratio(last.metadata, baseline.metadata),
        ratio(last.memory, baseline.memory),
    );
}

/// Jobs are enqueued, leased and reported; returns when all have ended.
async fn churn(
    options: &Options,
    shard: &Arc<Shard>,
    jobs: u64,
    kept: Option<Millis>,
    began: Instant,
) {
    let next = Arc::new(AtomicU64::new(0));
    let ended = Arc::new(AtomicU64::new(0));
    let producers = (0..options.callers).map(|_| {
        let (shard, next, ended) = (Arc::clone(shard), Arc::clone(&next), Arc::clone(&ended));
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= jobs {
                    return;
                }
                while number - ended.load(Ordering::Relaxed).min(number) > BACKLOG_MAX {
                    sleep(Duration::from_millis(5)).await;
                }
                let tenant = Tenant::parse(&format!("tenant-{}", number % TENANTS)).unwrap();
                shard.call(enqueue_kept(tenant, kept)).await.unwrap();
            }
        })
    });
    let producers: Vec<_> = producers.collect();
    let workers = (0..WORKERS).map(|_| {
        let (shard, ended) = (Arc::clone(shard), Arc::clone(&ended));
        tokio::spawn(async move {
            while ended.load(Ordering::Relaxed) < jobs && began.elapsed() < RUN_MAX {
                let tasks = lease(&shard, 64).await;
                if tasks.is_empty() {
                    sleep(Duration::from_millis(1)).await;
                }
                let reports = tasks.into_iter().map(|task| report(&shard, task));
                let count = futures::future::join_all(reports).await.len() as u64;
                ended.fetch_add(count, Ordering::Relaxed);
            }
        })
    });
    let workers: Vec<_> = workers.collect();
    for task in producers.into_iter().chain(workers) {
        task.await.unwrap();
    }
    assert_eq!(
        ended.load(Ordering::Relaxed),
        jobs,
        "every job ends in time"
    );
}

/// Waits until only the jobs that stay are there.
async fn gone(shard: &Shard, began: Instant) {
    while shard.totals().await.unwrap().total() > STAYING {
        assert!(began.elapsed() < RUN_MAX, "every job goes in time");
        sleep(Duration::from_millis(100)).await;
    }
    let totals = shard.totals().await.unwrap();
    assert_eq!((totals.total(), totals.succeeded), (STAYING, STAYING));
}

/// What the shard takes after a rest.
async fn rested(options: &Options, shard: &Arc<Shard>, folder: &Path, began: Instant) -> Use {
    // As an operator may ask for it: what is left afterwards is what jobs take, and not how far
    // compaction has come.
    while began.elapsed() < RUN_MAX {
        let report = shard.compact().await.unwrap();
        println!("          {report}");
        if report.started == 0 && report.busy == 0 {
            break;
        }
        sleep(Duration::from_secs(5)).await;
    }
    // Files that were merged away since the last file was written from memory are kept until the
    // next one is: so one more job comes and goes.
    churn(options, shard, 1, Some(Millis::new(1)), began).await;
    gone(shard, began).await;
    shard.flush_tables().await.unwrap();
    let rest_began = Instant::now();
    while rest_began.elapsed() < options.rest {
        sleep(Duration::from_secs(60).min(options.rest)).await;
        sample("resting", shard, folder, began).await;
    }
    Use::now(folder)
}

/// What the shard takes, in bytes.
#[derive(Clone, Copy, Default)]
struct Use {
    tables: u64,
    log: u64,
    metadata: u64,
    memory: u64,
}

impl Use {
    fn now(folder: &Path) -> Self {
        let mut used = Self {
            memory: resident(),
            ..Self::default()
        };
        used.add(folder);
        used
    }

    fn add(&mut self, folder: &Path) {
        // A file may go while it is looked at.
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                self.add(&path);
                continue;
            }
            let bytes = entry.metadata().map_or(0, |file| file.len());
            let kind = match path.parent().and_then(|parent| parent.file_name()) {
                Some(name) if name == "compacted" => &mut self.tables,
                Some(name) if name == "wal" => &mut self.log,
                _ => &mut self.metadata,
            };
            *kind += bytes;
        }
    }
}

async fn sample(what: &str, shard: &Shard, folder: &Path, began: Instant) {
    let used = Use::now(folder);
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "{:>6.0} s  {what:<22} {:>9} jobs there  tables {:>8.1}  log {:>8.1}  metadata {:>7.1}  \
         memory {:>7.1} MiB",
        began.elapsed().as_secs_f64(),
        shard.totals().await.unwrap().total(),
        mib(used.tables),
        mib(used.log),
        mib(used.metadata),
        mib(used.memory),
    );
}

/// Resident memory of this process: the second field of statm in proc(5), in pages of 4 KiB.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.map_or(0, |pages: u64| pages * 4096)
}
