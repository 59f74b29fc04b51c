//! The flags of `silo bench`. Those that several benchmarks have mean the same everywhere.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, Subcommand, ValueEnum, value_parser};

use crate::connect::Connect;

/// What to measure. Without a name: a standard set, in less than three minutes.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Bench {
    #[command(subcommand)]
    pub(crate) what: Option<What>,

    #[command(flatten)]
    pub(crate) place: PlaceArgs,

    #[command(flatten)]
    pub(crate) callers: CallerArgs,

    #[command(flatten)]
    pub(crate) payload: PayloadArgs,
}

/// One benchmark.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum What {
    /// How many jobs are taken in a second: callers that enqueue one call after the other (a closed
    /// loop).
    Enqueue(EnqueueArgs),
    /// How many jobs go through their whole life in a second: producers enqueue while workers lease
    /// and report. A job that is lost or runs twice fails the benchmark.
    Lifecycle(LifecycleArgs),
    /// How long a job takes when jobs come at a given rate: until it is acknowledged, leased, done.
    ///
    /// An open loop: jobs come by a schedule, whatever became of those before, and every latency
    /// counts from the time at which the job was scheduled. A server that stalls so shows in all
    /// jobs that were due meanwhile. A closed loop would wait with it and measure one slow call:
    /// coordinated omission.
    Latency(LatencyArgs),
    /// How long it takes to lease one task behind many that are queued, and many consumed ones.
    Claim(ClaimArgs),
    /// What limits cost: whole lives of jobs of which each wants three limits, of 100, 50 and 50
    /// slots, of 24 keys; or, with --waiters, how fast a line of jobs goes through one slot.
    Limits(LimitsArgs),
    /// What a tenant with a few jobs gets while a neighbour has a long backlog, beside what it gets
    /// alone. An open loop, as `latency`.
    Noisy(NoisyArgs),
    /// What a server costs that has nothing to do: CPU, memory and requests to its store.
    Idle(IdleArgs),
}

/// What is measured: a server of the benchmark's own, or one that runs.
#[derive(Clone, Debug, Args)]
#[command(
    mut_arg("server", |arg| arg
        .default_value(None::<&str>)
        .env("SILO_BENCH_SERVER")
        .help("Measure the server that runs there, as host:port. Its jobs stay, for a minute")),
    mut_arg("tenant", |arg| arg
        .env("SILO_BENCH_TENANT")
        .help("The only tenant, by name. Only where tenancy is on")),
)]
pub(crate) struct PlaceArgs {
    /// Where the server is that is measured.
    #[arg(
        long,
        value_enum,
        env = "SILO_BENCH_TARGET",
        default_value_t,
        conflicts_with = "server"
    )]
    pub(crate) target: Target,

    /// Where that server keeps its data.
    #[arg(
        long,
        value_enum,
        env = "SILO_BENCH_STORE",
        default_value_t,
        conflicts_with = "server"
    )]
    pub(crate) store: Store,

    /// Let the disk confirm every write to files: the default.
    #[arg(
        long,
        env = "SILO_BENCH_FSYNC",
        value_parser = BoolishValueParser::new(),
        overrides_with = "no_fsync",
        conflicts_with = "server"
    )]
    pub(crate) fsync: bool,

    /// Do not: a power cut could lose acknowledged jobs.
    #[arg(
        long,
        env = "SILO_BENCH_NO_FSYNC",
        value_parser = BoolishValueParser::new(),
        overrides_with = "fsync",
        conflicts_with = "server"
    )]
    pub(crate) no_fsync: bool,

    /// Make the temporary folder for its files in this one, to choose the disk.
    #[arg(
        long,
        value_name = "DIR",
        env = "SILO_BENCH_DATA",
        conflicts_with = "server"
    )]
    pub(crate) data: Option<PathBuf>,

    /// Shards of that server, at most 256.
    #[arg(long, value_name = "N", env = "SILO_BENCH_SHARDS", default_value_t = 8,
          value_parser = value_parser!(u32).range(1..=256), conflicts_with = "server")]
    pub(crate) shards: u32,

    /// Tenants whose jobs these are, at most 10000; 0: tenancy is off. Default: 16, 1 for `claim`,
    /// 0 with --server.
    #[arg(long, value_name = "N", env = "SILO_BENCH_TENANTS",
          value_parser = value_parser!(u32).range(0..=10_000), conflicts_with = "tenant")]
    pub(crate) tenants: Option<u32>,

    /// Connections to the server, at most 64.
    #[arg(long, value_name = "N", env = "SILO_BENCH_CONNECTIONS", default_value_t = 2,
          value_parser = value_parser!(u32).range(1..=64))]
    pub(crate) connections: u32,

    /// Where the server of --server serves its metrics, as http://host:port/metrics: what it costs
    /// is shown too.
    #[arg(
        long,
        value_name = "URL",
        env = "SILO_BENCH_METRICS",
        requires = "server"
    )]
    pub(crate) metrics: Option<String>,

    #[command(flatten)]
    pub(crate) connect: Connect,
}

/// Where the server is that is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// A process of its own, reached over gRPC on 127.0.0.1.
    #[default]
    OwnServer,
    /// In this process, and called without gRPC.
    InProcess,
}

/// Where the server keeps its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Store {
    /// Files in a temporary folder.
    #[default]
    Fs,
    /// Memory of the server.
    Memory,
}

/// What jobs look like, and who calls.
#[derive(Clone, Debug, Args)]
pub(crate) struct LoadArgs {
    #[command(flatten)]
    pub(crate) callers: CallerArgs,
    #[command(flatten)]
    pub(crate) workers: WorkerArgs,
    #[command(flatten)]
    pub(crate) payload: PayloadArgs,
}

/// Who enqueues in a closed loop.
#[derive(Clone, Debug, Args)]
pub(crate) struct CallerArgs {
    /// Callers that enqueue, each one call after the other; at most 4096.
    #[arg(long, value_name = "N", env = "SILO_BENCH_CALLERS", default_value_t = 64,
          value_parser = value_parser!(u32).range(1..=4096))]
    pub(crate) callers: u32,
}

/// Workers, unless a flag says otherwise.
pub(crate) const WORKERS: u32 = 16;
/// Most tasks that a worker leases at once, unless a flag says otherwise.
pub(crate) const TASKS: u32 = 32;

/// Who works.
#[derive(Clone, Debug, Args)]
pub(crate) struct WorkerArgs {
    /// Workers that lease and report, at most 1024.
    #[arg(long, value_name = "N", env = "SILO_BENCH_WORKERS", default_value_t = WORKERS,
          value_parser = value_parser!(u32).range(1..=1024))]
    pub(crate) workers: u32,

    /// Most tasks that a worker leases at once, at most 1000.
    #[arg(long, value_name = "N", env = "SILO_BENCH_TASKS", default_value_t = TASKS,
          value_parser = value_parser!(u32).range(1..=1000))]
    pub(crate) tasks: u32,
}

/// What jobs look like.
#[derive(Clone, Debug, Args)]
pub(crate) struct PayloadArgs {
    /// Size of each job's payload, 16 to 1048576 bytes.
    #[arg(long, value_name = "BYTES", env = "SILO_BENCH_PAYLOAD_BYTES", default_value_t = 256,
          value_parser = value_parser!(u32).range(16..=1_048_576))]
    pub(crate) payload_bytes: u32,
}

/// How much a closed loop does.
#[derive(Clone, Debug, Args)]
pub(crate) struct AmountArgs {
    /// Jobs in each call that enqueues, at most 1000.
    #[arg(long, value_name = "N", env = "SILO_BENCH_BATCH", default_value_t = 1,
          value_parser = value_parser!(u32).range(1..=1000))]
    pub(crate) batch: u32,

    /// End after so many seconds, at most 3600.
    #[arg(long, value_name = "SECONDS", env = "SILO_BENCH_DURATION", default_value_t = 10,
          value_parser = value_parser!(u64).range(1..=3600))]
    pub(crate) duration: u64,

    /// End after so many jobs, at most 100000000, if that is earlier.
    #[arg(long, value_name = "N", env = "SILO_BENCH_JOBS",
          value_parser = value_parser!(u64).range(1..=100_000_000))]
    pub(crate) jobs: Option<u64>,
}

impl AmountArgs {
    pub(crate) const fn duration(&self) -> Duration {
        Duration::from_secs(self.duration)
    }
}

#[derive(Clone, Debug, Args)]
pub(crate) struct EnqueueArgs {
    #[command(flatten)]
    pub(crate) amount: AmountArgs,
    #[command(flatten)]
    pub(crate) callers: CallerArgs,
    #[command(flatten)]
    pub(crate) payload: PayloadArgs,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct LifecycleArgs {
    #[command(flatten)]
    pub(crate) amount: AmountArgs,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct LatencyArgs {
    #[command(flatten)]
    pub(crate) pace: PaceArgs,
    #[command(flatten)]
    pub(crate) workers: WorkerArgs,
    #[command(flatten)]
    pub(crate) payload: PayloadArgs,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

/// The schedule of an open loop.
#[derive(Clone, Debug, Args)]
pub(crate) struct PaceArgs {
    /// Jobs a second, evenly spaced; at most 50000.
    #[arg(long, value_name = "N", env = "SILO_BENCH_RATE", default_value_t = 500,
          value_parser = value_parser!(u32).range(1..=50_000))]
    pub(crate) rate: u32,

    /// The schedule's length in seconds, at most 3600.
    #[arg(long, value_name = "SECONDS", env = "SILO_BENCH_DURATION", default_value_t = 10,
          value_parser = value_parser!(u64).range(1..=3600))]
    pub(crate) duration: u64,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ClaimArgs {
    #[command(flatten)]
    pub(crate) queue: QueueArgs,
    #[command(flatten)]
    pub(crate) payload: PayloadArgs,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

/// The queue from which tasks are leased.
#[derive(Clone, Debug, Args)]
pub(crate) struct QueueArgs {
    /// Jobs that are queued, at most 10000000.
    #[arg(long, value_name = "N", env = "SILO_BENCH_DEPTH", default_value_t = 100_000,
          value_parser = value_parser!(u64).range(1..=10_000_000))]
    pub(crate) depth: u64,

    /// Jobs that were before them in the queue and are done, at most 10000000.
    #[arg(long, value_name = "N", env = "SILO_BENCH_CONSUMED", default_value_t = 100_000,
          value_parser = value_parser!(u64).range(0..=10_000_000))]
    pub(crate) consumed: u64,

    /// Tasks to lease, one after the other; at most 1000000, and no more than are queued.
    #[arg(long, value_name = "N", env = "SILO_BENCH_SAMPLES", default_value_t = 1000,
          value_parser = value_parser!(u64).range(1..=1_000_000))]
    pub(crate) samples: u64,

    /// Give up after so many seconds of queueing and consuming, at most 3600.
    #[arg(long, value_name = "SECONDS", env = "SILO_BENCH_FILL", default_value_t = 600,
          value_parser = value_parser!(u64).range(1..=3600))]
    pub(crate) fill: u64,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct LimitsArgs {
    /// Let so many jobs wait in line for one slot, at most 10000000, and end one after the other:
    /// for a third of the time as many without a limit, to compare; for a third while the next
    /// worker waits already; for a third by one worker.
    #[arg(long, value_name = "N", env = "SILO_BENCH_WAITERS",
          value_parser = value_parser!(u64).range(1..=10_000_000))]
    pub(crate) waiters: Option<u64>,

    #[command(flatten)]
    pub(crate) delays: DelayArgs,

    #[command(flatten)]
    pub(crate) amount: AmountArgs,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

/// A store that is far away.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct DelayArgs {
    /// Let every read of the store take so many milliseconds longer, at most 10000. Only a store
    /// in memory of this process can be made slower.
    #[arg(long, value_name = "MS", env = "SILO_BENCH_READ_DELAY", default_value_t = 0,
          value_parser = value_parser!(u64).range(0..=10_000), conflicts_with = "server")]
    pub(crate) read_delay: u64,

    /// The same for every write.
    #[arg(long, value_name = "MS", env = "SILO_BENCH_WRITE_DELAY", default_value_t = 0,
          value_parser = value_parser!(u64).range(0..=10_000), conflicts_with = "server")]
    pub(crate) write_delay: u64,
}

/// Jobs without a limit, those that are handed over and those in line share the time.
pub(crate) const WAITERS_DURATION_PARTS: u32 = 3;

#[derive(Clone, Debug, Args)]
pub(crate) struct NoisyArgs {
    #[command(flatten)]
    pub(crate) pace: PaceArgs,

    #[command(flatten)]
    pub(crate) workers: WorkerArgs,

    /// Jobs that the neighbour has queued, at most 10000000.
    #[arg(long, value_name = "N", env = "SILO_BENCH_BACKLOG", default_value_t = 1_000_000,
          value_parser = value_parser!(u64).range(1..=10_000_000))]
    pub(crate) backlog: u64,

    /// Give up after so many seconds of queueing them, at most 3600.
    #[arg(long, value_name = "SECONDS", env = "SILO_BENCH_FILL", default_value_t = 600,
          value_parser = value_parser!(u64).range(1..=3600))]
    pub(crate) fill: u64,

    #[command(flatten)]
    pub(crate) payload: PayloadArgs,

    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct IdleArgs {
    /// Watch for so many seconds, at most 3600.
    #[arg(long, value_name = "SECONDS", env = "SILO_BENCH_DURATION", default_value_t = 30,
          value_parser = value_parser!(u64).range(1..=3600))]
    pub(crate) duration: u64,

    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

impl DelayArgs {
    pub(crate) const fn are_none(self) -> bool {
        self.read_delay == 0 && self.write_delay == 0
    }
}

impl What {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Enqueue(_) => "enqueue",
            Self::Lifecycle(_) => "lifecycle",
            Self::Latency(_) => "latency",
            Self::Claim(_) => "claim",
            Self::Limits(_) => "limits",
            Self::Noisy(_) => "noisy",
            Self::Idle(_) => "idle",
        }
    }

    pub(crate) const fn place(&self) -> &PlaceArgs {
        match self {
            Self::Enqueue(args) => &args.place,
            Self::Lifecycle(args) => &args.place,
            Self::Latency(args) => &args.place,
            Self::Claim(args) => &args.place,
            Self::Limits(args) => &args.place,
            Self::Noisy(args) => &args.place,
            Self::Idle(args) => &args.place,
        }
    }
}

impl PlaceArgs {
    /// Whether a server is measured that somebody else runs.
    pub(crate) fn is_elsewhere(&self) -> bool {
        !self.connect.server.is_empty()
    }

    /// Whether the data is in memory of this process.
    pub(crate) fn is_memory_here(&self) -> bool {
        let is_here = self.target == Target::InProcess && !self.is_elsewhere();
        is_here && self.store == Store::Memory
    }

    /// Whether the disk confirms writes. None where there is no disk, or it is not ours to say.
    pub(crate) fn is_fsynced(&self) -> Option<bool> {
        let is_files = self.store == Store::Fs && !self.is_elsewhere();
        is_files.then_some(self.fsync || !self.no_fsync)
    }

    /// Shards to make.
    pub(crate) fn shard_count(&self) -> NonZeroU32 {
        NonZeroU32::new(self.shards).unwrap_or(NonZeroU32::MIN)
    }

    /// Whose jobs these are; nobody's where tenancy is off.
    pub(crate) fn tenant_names(&self, default: u32) -> Vec<String> {
        if let Some(name) = &self.connect.tenant {
            return vec![name.clone()];
        }
        let default = if self.is_elsewhere() { 0 } else { default };
        let count = self.tenants.unwrap_or(default);
        (0..count).map(|number| format!("bench-{number}")).collect()
    }

    /// How many tenants there are; 0 where tenancy is off.
    pub(crate) fn tenant_count(&self, default: u32) -> u64 {
        u64::try_from(self.tenant_names(default).len()).unwrap_or(u64::MAX)
    }
}
