//! What a shard does per second, in process, on one machine.
//!
//!     cargo bench -p silo-runtime --bench shard -- [enqueue|lifecycle|claim|expire|retention]
//!         [--store memory|fs|fsync] [--jobs N] [--callers N] [--rest SECONDS]
//!
//! Without arguments: everything but `retention` on every store. `claim` measures one lease of one
//! task behind so many jobs that were consumed before (`--jobs`, default 1,000,000). `expire`
//! measures what another tenant's enqueues take before and while so many leases (default 100,000)
//! end at once. Closed loops: a caller sends its next command when the last is answered, so
//! latencies here say how a busy shard feels, not how an overloaded one does.

#![allow(missing_docs, reason = "a program, not a library")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::arithmetic_side_effects
)]
#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
#![allow(clippy::cast_precision_loss, clippy::expect_used, clippy::panic)]

mod retention;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::Enqueue;
use silo_core::shard::commands::lease::{Grantee, Lease};
use silo_core::shard::commands::report::{Outcome, Report};
use silo_core::shard::reply::{Reply, Task};
use silo_core::table::tenant::Queue;
use silo_core::types::name::{Priority, TaskGroup, WorkerId};
use silo_core::types::retention::Retention;
use silo_core::types::tenant::Tenant;
use silo_core::types::time::Millis;
use silo_core::types::weight::Weights;
use silo_runtime::clock::SlewedClock;
use silo_runtime::executor::limits::StageLimits;
use silo_runtime::executor::shard::{Shard, ShardContext, ShardState};
use silo_runtime::executor::waiters::Waiters;
use silo_runtime::metrics::Metrics;
use silo_runtime::storage::backend::Storage;
use silo_runtime::storage::catalog::ShardCatalog;
use silo_runtime::storage::clock::SystemWallClock;
use silo_runtime::storage::config::{BackendConfig, StorageConfig};
use silo_runtime::storage::slatedb_overrides::SlateDbOverrides;
use tikv_jemallocator::Jemalloc;

/// As the `silo` binary has it.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// A run is cut off after so long.
const RUN_MAX: Duration = Duration::from_secs(120);
/// Workers beside the producers, each with up to 32 tasks.
const LIFECYCLE_WORKERS: usize = 8;
/// Long enough to take all leases of `expire` before the first one ends.
const LEASE: Millis = Millis::from_secs(30);
const TENANTS: u64 = 16;
const PAYLOAD_BYTES: usize = 256;

fn main() {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    println!(
        "{:<10} {:<7} {:>9} {:>9} {:>9} {:>8} {:>8} {:>8}",
        "what", "store", "jobs", "seconds", "jobs/s", "p50 ms", "p99 ms", "cpu µs"
    );
    for store in options.stores() {
        for what in options.whats() {
            runtime.block_on(run(&options, what, store));
        }
    }
}

async fn run(options: &Options, what: &str, store: &str) {
    let folder = tempfile::tempdir().unwrap();
    let slatedb = match what {
        "retention" => retention::slatedb(),
        _ => SlateDbOverrides::default(),
    };
    let storage = storage(store, folder.path(), slatedb).await;
    let shard = start(&storage).await;
    match what {
        "expire" => return expire(options, store, &storage, shard).await,
        "enqueue" => enqueue(options, store, &shard).await,
        "lifecycle" => lifecycle(options, store, &shard).await,
        "claim" => claim(options, store, &shard).await,
        "retention" => retention::run(options, &shard, folder.path()).await,
        other => panic!("there is no benchmark {other}"),
    }
    shard.close().await;
}

async fn enqueue(options: &Options, store: &str, shard: &Arc<Shard>) {
    let jobs = options.jobs.unwrap_or(200_000);
    let meter = Meter::start();
    let next = Arc::new(AtomicU64::new(0));
    let latencies = callers(options.callers, |_| {
        let (shard, next) = (Arc::clone(shard), Arc::clone(&next));
        async move {
            let mut latencies = Vec::new();
            while let Some(number) = take(&next, jobs, meter.began) {
                let began = Instant::now();
                shard.call(job(number)).await.unwrap();
                latencies.push(began.elapsed());
            }
            latencies
        }
    })
    .await;
    meter.report("enqueue", store, latencies);
}

/// Producers enqueue; workers lease 32 at a time and report each; ends when every job has ended.
async fn lifecycle(options: &Options, store: &str, shard: &Arc<Shard>) {
    let jobs = options.jobs.unwrap_or(100_000);
    let meter = Meter::start();
    let next = Arc::new(AtomicU64::new(0));
    let ended = Arc::new(AtomicU64::new(0));
    let producers = options.callers;
    let latencies = callers(producers + LIFECYCLE_WORKERS, |caller| {
        let (shard, next, ended) = (Arc::clone(shard), Arc::clone(&next), Arc::clone(&ended));
        async move {
            let mut latencies = Vec::new();
            if caller < producers {
                while let Some(number) = take(&next, jobs, meter.began) {
                    let began = Instant::now();
                    shard.call(job(number)).await.unwrap();
                    latencies.push(began.elapsed());
                }
            } else {
                while ended.load(Ordering::Relaxed) < jobs && meter.began.elapsed() < RUN_MAX {
                    let tasks = lease(&shard, 32).await;
                    if tasks.is_empty() {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    let reports = tasks.into_iter().map(|task| report(&shard, task));
                    let count = futures::future::join_all(reports).await.len() as u64;
                    ended.fetch_add(count, Ordering::Relaxed);
                }
            }
            latencies
        }
    })
    .await;
    assert_eq!(ended.load(Ordering::Relaxed), jobs, "every job ends");
    meter.report("lifecycle", store, latencies);
}

/// One task at a time, behind a queue from which a million jobs were taken before.
async fn claim(options: &Options, store: &str, shard: &Arc<Shard>) {
    let consumed = options.jobs.unwrap_or(1_000_000);
    let samples = 1_000;
    let next = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    callers(options.callers, |_| {
        let (shard, next) = (Arc::clone(shard), Arc::clone(&next));
        async move {
            while let Some(number) = take(&next, consumed + samples, began) {
                shard.call(single_tenant_job(number)).await.unwrap();
            }
            Vec::new()
        }
    })
    .await;
    let left = Arc::new(AtomicU64::new(consumed));
    callers(options.callers, |_| {
        let (shard, left) = (Arc::clone(shard), Arc::clone(&left));
        async move {
            while let Ok(before) = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                (left > 0).then(|| left.saturating_sub(100))
            }) {
                let tasks = lease(&shard, before.min(100) as u32).await;
                futures::future::join_all(tasks.into_iter().map(|task| report(&shard, task))).await;
            }
            Vec::new()
        }
    })
    .await;
    shard.flush_tables().await.unwrap();
    let meter = Meter::start();
    let mut latencies = Vec::new();
    for _ in 0..samples {
        let began = Instant::now();
        let tasks = lease(shard, 1).await;
        latencies.push(began.elapsed());
        assert_eq!(tasks.len(), 1, "a job is left");
    }
    meter.report("claim", store, latencies);
}

/// All of a tenant's leases end in the same moment; another tenant goes on as before.
async fn expire(options: &Options, store: &str, storage: &Storage, shard: Arc<Shard>) {
    let leases = options.jobs.unwrap_or(100_000);
    let next = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    callers(options.callers, |_| {
        let (shard, next) = (Arc::clone(&shard), Arc::clone(&next));
        async move {
            while let Some(number) = take(&next, leases, began) {
                shard.call(single_tenant_job(number)).await.unwrap();
            }
            Vec::new()
        }
    })
    .await;
    let mut leased = 0;
    while leased < leases {
        leased += lease(&shard, 1000).await.len() as u64;
    }
    // Each lease lasts its time anew from the opening.
    shard.close().await;
    let shard = start(storage).await;
    let running = async || shard.totals().await.unwrap().running;
    while running().await < leases {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    let other = || enqueue_for(Tenant::parse("another").unwrap());
    let calm = Meter::start();
    let mut latencies = Vec::new();
    while running().await == leases && calm.began.elapsed() < RUN_MAX {
        let began = Instant::now();
        shard.call(other()).await.unwrap();
        latencies.push(began.elapsed());
    }
    calm.report("calm", store, latencies);
    let expiring = Meter::start();
    let mut latencies = Vec::new();
    while running().await > 0 && expiring.began.elapsed() < RUN_MAX {
        let began = Instant::now();
        shard.call(other()).await.unwrap();
        latencies.push(began.elapsed());
    }
    expiring.report("expiring", store, latencies);
    shard.close().await;
}

async fn lease(shard: &Shard, tasks_max: u32) -> Vec<Task> {
    let grantee = Grantee {
        worker: WorkerId::parse("bench").unwrap(),
        lease: None,
        lease_default: LEASE,
    };
    let group = TaskGroup::parse("bench").unwrap();
    let lease = Lease {
        group,
        grantee,
        tasks_max,
        bytes_max: 64 << 20,
        weights: Weights::default(),
    };
    let Reply::Leased(tasks) = shard.call(Command::Lease(lease)).await.unwrap() else {
        panic!("not a lease");
    };
    tasks
}

async fn report(shard: &Shard, task: Task) {
    let data = Bytes::from_static(&[0xc0]);
    let report = Report {
        task: task.id,
        outcome: Outcome::Success { data },
    };
    let reply = shard.call(Command::Report(report)).await.unwrap();
    assert_eq!(reply, Reply::Reported);
}

fn job(number: u64) -> Command {
    enqueue_for(Tenant::parse(&format!("tenant-{}", number % TENANTS)).unwrap())
}

fn single_tenant_job(_: u64) -> Command {
    enqueue_for(Tenant::single())
}

fn enqueue_for(tenant: Tenant) -> Command {
    enqueue_kept(tenant, None)
}

/// A job that is removed so long after its success.
fn enqueue_kept(tenant: Tenant, kept: Option<Millis>) -> Command {
    Command::Enqueue(Box::new(Enqueue {
        retention: Retention {
            succeeded: kept,
            ..Retention::FOREVER
        },
        tenant,
        id: None,
        request: None,
        queue: Queue {
            group: TaskGroup::parse("bench").unwrap(),
            priority: Priority::default(),
        },
        start_at: None,
        retry: None,
        max_crashes: 5,
        limits: Vec::new(),
        lease: None,
        metadata: BTreeMap::new(),
        payload: Bytes::from(vec![0xc0; PAYLOAD_BYTES]),
    }))
}

async fn storage(store: &str, folder: &std::path::Path, slatedb: SlateDbOverrides) -> Storage {
    let backend = match store {
        "memory" => BackendConfig::Memory,
        _ => BackendConfig::Fs {
            path: folder.to_owned(),
            fsync: store == "fsync",
        },
    };
    let config = StorageConfig {
        slatedb,
        ..StorageConfig::new(backend)
    };
    Storage::open(&config).await.unwrap()
}

async fn start(storage: &Storage) -> Arc<Shard> {
    let catalog = ShardCatalog::open(storage, NonZeroU32::MIN, 0)
        .await
        .unwrap();
    let metrics = Metrics::default();
    let context = ShardContext {
        // As the `silo` binary counts.
        storage: storage.clone().counted(&metrics),
        clock: Arc::new(SlewedClock::new(SystemWallClock::default())),
        wall: Arc::new(SystemWallClock::default()),
        limits: StageLimits::default(),
        waiters: Waiters::default(),
        metrics,
    };
    let shard = Arc::new(Shard::start(catalog.shards()[0].clone(), context));
    shard
        .state()
        .wait_for(|state| *state == ShardState::Open)
        .await
        .unwrap();
    shard
}

fn take(next: &AtomicU64, end: u64, began: Instant) -> Option<u64> {
    let number = next.fetch_add(1, Ordering::Relaxed);
    (number < end && began.elapsed() < RUN_MAX).then_some(number)
}

async fn callers<F, Fut>(count: usize, make: F) -> Vec<Duration>
where
    F: Fn(usize) -> Fut,
    Fut: Future<Output = Vec<Duration>> + Send + 'static,
{
    let tasks: Vec<_> = (0..count)
        .map(|caller| tokio::spawn(make(caller)))
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.unwrap());
    }
    latencies
}

#[derive(Clone, Copy)]
struct Meter {
    began: Instant,
    cpu: Duration,
}

impl Meter {
    fn start() -> Self {
        Self {
            began: Instant::now(),
            cpu: cpu_time(),
        }
    }

    fn report(&self, what: &str, store: &str, mut latencies: Vec<Duration>) {
        let seconds = self.began.elapsed().as_secs_f64();
        let cpu = cpu_time() - self.cpu;
        latencies.sort();
        let count = latencies.len();
        let at = |part: f64| {
            let index = ((count as f64 * part) as usize).min(count.saturating_sub(1));
            latencies
                .get(index)
                .map_or(0.0, |latency| latency.as_secs_f64() * 1000.0)
        };
        println!(
            "{what:<10} {store:<7} {count:>9} {seconds:>9.2} {:>9.0} {:>8.3} {:>8.3} {:>8.1}",
            count as f64 / seconds,
            at(0.5),
            at(0.99),
            cpu.as_secs_f64() * 1e6 / count as f64,
        );
    }
}

/// CPU time of this process so far, user and system.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    let fields: Vec<u64> = after_name
        .split(' ')
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    // Fields 14 and 15 of proc(5), in hundredths of a second.
    let ticks = fields.get(11).unwrap_or(&0) + fields.get(12).unwrap_or(&0);
    Duration::from_millis(ticks * 10)
}

struct Options {
    what: Option<String>,
    store: Option<String>,
    jobs: Option<u64>,
    callers: usize,
    rest: Duration,
}

impl Options {
    fn parse() -> Self {
        let mut options = Self {
            what: None,
            store: None,
            jobs: None,
            callers: 256,
            rest: Duration::from_secs(240),
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                // What cargo adds.
                "--bench" => {}
                "--store" => options.store = words.next(),
                "--jobs" => options.jobs = words.next().and_then(|word| word.parse().ok()),
                "--rest" => {
                    let seconds = words.next().and_then(|word| word.parse().ok());
                    options.rest = seconds.map_or(options.rest, Duration::from_secs);
                }
                "--callers" => {
                    options.callers = words
                        .next()
                        .and_then(|word| word.parse().ok())
                        .unwrap_or(256);
                }
                _ => options.what = Some(word),
            }
        }
        options
    }

    fn stores(&self) -> Vec<&str> {
        self.store
            .as_deref()
            .map_or(vec!["memory", "fs", "fsync"], |store| vec![store])
    }

    fn whats(&self) -> Vec<&str> {
        self.what
            .as_deref()
            .map_or(vec!["enqueue", "lifecycle", "claim", "expire"], |what| {
                vec![what]
            })
    }
}
