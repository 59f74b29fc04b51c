//! What shards decide, write, flush and load, over all shards of a node.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use silo_core::shard::counts::Counts;
use silo_core::shard::decision::Notice;

use crate::executor::counts::{CommandKind, StageCounts};
use crate::metrics::SECONDS;

/// What shards do.
#[derive(Clone, Debug)]
pub struct RoundMetrics {
    commands: Family<Command, Counter>,
    refused: Counter,
    abandoned: Counter,
    waits: Counter,
    round_commands: Histogram,
    decision: Histogram,
    enqueued: Counter,
    leased: Counter,
    retried: Counter,
    restarted: Counter,
    removed: Counter,
    ended: Family<Outcome, Counter>,
    attempts: Family<Outcome, Counter>,
    written_rows: Counter,
    written_bytes: Counter,
    write: Histogram,
    flush: Histogram,
    table_flushes: Counter,
    load: Histogram,
    load_failures: Counter,
    damage: Family<Damage, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Command {
    command: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Damage {
    kind: &'static str,
}

impl Default for RoundMetrics {
    fn default() -> Self {
        let seconds = || Histogram::new(SECONDS);
        let new = Self {
            commands: Family::default(),
            refused: Counter::default(),
            abandoned: Counter::default(),
            waits: Counter::default(),
            round_commands: Histogram::new(exponential_buckets(1.0, 2.0, 11)),
            decision: Histogram::new(exponential_buckets(0.000_01, 4.0, 8)),
            enqueued: Counter::default(),
            leased: Counter::default(),
            retried: Counter::default(),
            restarted: Counter::default(),
            removed: Counter::default(),
            ended: Family::default(),
            attempts: Family::default(),
            written_rows: Counter::default(),
            written_bytes: Counter::default(),
            write: seconds(),
            flush: seconds(),
            table_flushes: Counter::default(),
            load: seconds(),
            load_failures: Counter::default(),
            damage: Family::default(),
        };
        new.begin_at_zero();
        new
    }
}

const JOBS: [&str; 3] = ["succeeded", "failed", "cancelled"];
const ATTEMPTS: [&str; 7] = [
    "succeeded",
    "failed",
    "cancelled",
    "crashed",
    "lost",
    "released",
    "snoozed",
];
const DAMAGE: [&str; 4] = ["index_dropped", "quarantined", "mended", "unreadable"];

impl RoundMetrics {
    /// What has not happened yet is served as zero: whoever watches for the first time that it does
    /// sees a change.
    fn begin_at_zero(&self) {
        for kind in CommandKind::ALL {
            let command = kind.name();
            drop(self.commands.get_or_create(&Command { command }));
        }
        for outcome in JOBS {
            drop(self.ended.get_or_create(&Outcome { outcome }));
        }
        for outcome in ATTEMPTS {
            drop(self.attempts.get_or_create(&Outcome { outcome }));
        }
        for kind in DAMAGE {
            drop(self.damage.get_or_create(&Damage { kind }));
        }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        self.register_jobs(registry);
        self.register_rounds(registry);
        self.register_storage(registry);
    }

    fn register_jobs(&self, registry: &mut Registry) {
        let mut counter = |name, help, counter: &Counter| {
            registry.register(name, help, counter.clone());
        };
        counter(
            "jobs_enqueued",
            "Jobs that came in, imported ones included",
            &self.enqueued,
        );
        counter("jobs_leased", "Leases given out", &self.leased);
        counter(
            "jobs_retried",
            "Failed attempts that are followed by another",
            &self.retried,
        );
        counter(
            "jobs_restarted",
            "Jobs that had ended, or were quarantined, and run again",
            &self.restarted,
        );
        counter(
            "jobs_removed",
            "Jobs deleted, by a caller or because their time was over",
            &self.removed,
        );
        registry.register(
            "jobs_ended",
            "Jobs that ended, by outcome",
            self.ended.clone(),
        );
        registry.register(
            "attempts_ended",
            "Leases that ended, by outcome; crashed and lost are leases that expired",
            self.attempts.clone(),
        );
        registry.register(
            "damage",
            "Rows or counts that were not as they must be: a bug, or damaged storage",
            self.damage.clone(),
        );
    }

    fn register_rounds(&self, registry: &mut Registry) {
        registry.register(
            "commands",
            "Commands that shards decided, by kind",
            self.commands.clone(),
        );
        registry.register(
            "commands_refused",
            "Commands that shards refused",
            self.refused.clone(),
        );
        registry.register(
            "commands_abandoned",
            "Commands that were not decided, as their callers had gone before their turn",
            self.abandoned.clone(),
        );
        registry.register(
            "command_waits",
            "How often a command had to wait for rows to be loaded",
            self.waits.clone(),
        );
        registry.register(
            "round_commands",
            "Commands decided in one round of a shard",
            self.round_commands.clone(),
        );
        registry.register_with_unit(
            "round_decision",
            "Time a shard took to decide one round",
            Unit::Seconds,
            self.decision.clone(),
        );
    }

    fn register_storage(&self, registry: &mut Registry) {
        registry.register(
            "written_rows",
            "Rows put or deleted by rounds",
            self.written_rows.clone(),
        );
        registry.register_with_unit(
            "written",
            "Keys and values written by rounds",
            Unit::Bytes,
            self.written_bytes.clone(),
        );
        let mut seconds = |name, help, histogram: &Histogram| {
            registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        };
        seconds(
            "write",
            "Time until storage accepted a round's batch",
            &self.write,
        );
        seconds(
            "flush",
            "Time until a flush of the write-ahead log was durable",
            &self.flush,
        );
        seconds("load", "Time of one load of rows", &self.load);
        registry.register(
            "table_flushes",
            "Flushes of tables, so that the write-ahead log stays short",
            self.table_flushes.clone(),
        );
        registry.register(
            "load_failures",
            "Loads of rows that failed",
            self.load_failures.clone(),
        );
    }

    /// A stage ran for so long and has decided this.
    pub(crate) fn ran(&self, took: Duration, counts: &StageCounts) {
        let commands = counts.commands();
        if commands == 0 {
            return;
        }
        for kind in CommandKind::ALL {
            let count = counts.of(kind);
            if count > 0 {
                let command = kind.name();
                self.commands
                    .get_or_create(&Command { command })
                    .inc_by(count);
            }
        }
        self.round_commands
            .observe(f64::from(u32::try_from(commands).unwrap_or(u32::MAX)));
        self.decision.observe(took.as_secs_f64());
        self.refused.inc_by(counts.refused);
        self.abandoned.inc_by(counts.abandoned);
        self.waits.inc_by(counts.waits);
        self.jobs(&counts.jobs);
    }

    fn jobs(&self, jobs: &Counts) {
        self.enqueued.inc_by(jobs.taken);
        self.leased.inc_by(jobs.leased);
        self.retried.inc_by(jobs.retried);
        self.restarted.inc_by(jobs.restarted);
        self.removed.inc_by(jobs.removed);
        let ended = [jobs.succeeded, jobs.failed, jobs.cancelled];
        for (outcome, count) in JOBS.into_iter().zip(ended) {
            add(&self.ended, outcome, count);
        }
        let attempts = &jobs.attempts;
        let attempts = [
            attempts.succeeded,
            attempts.failed,
            attempts.cancelled,
            attempts.crashed,
            attempts.lost,
            attempts.released,
            attempts.snoozed,
        ];
        for (outcome, count) in ATTEMPTS.into_iter().zip(attempts) {
            add(&self.attempts, outcome, count);
        }
    }

    /// Something was noticed on the way.
    pub(crate) fn noticed(&self, notice: &Notice) {
        let kind = match notice {
            Notice::IndexDropped(_) => "index_dropped",
            Notice::Quarantined(..) => "quarantined",
            Notice::Mended(_) => "mended",
            Notice::Unreadable(_) => "unreadable",
            Notice::Ready(_) | Notice::CancelAsked(_) | Notice::Crashed(_) | Notice::Lost(_) => {
                return;
            }
        };
        self.damage.get_or_create(&Damage { kind }).inc();
    }

    /// A batch goes to storage.
    pub(crate) fn hands_over(&self, rows: usize, bytes: usize) {
        let count = |value| u64::try_from(value).unwrap_or(u64::MAX);
        self.written_rows.inc_by(count(rows));
        self.written_bytes.inc_by(count(bytes));
    }

    /// Storage accepted a batch after so long.
    pub(crate) fn accepted(&self, took: Duration) {
        self.write.observe(took.as_secs_f64());
    }

    /// A flush of the write-ahead log is durable after so long.
    pub(crate) fn flushed(&self, took: Duration) {
        self.flush.observe(took.as_secs_f64());
    }

    /// Tables are being flushed.
    pub(crate) fn flushes_tables(&self) {
        self.table_flushes.inc();
    }

    /// A load of rows ended after so long.
    pub(crate) fn loaded(&self, took: Duration, is_ok: bool) {
        self.load.observe(took.as_secs_f64());
        if !is_ok {
            self.load_failures.inc();
        }
    }
}

fn add(family: &Family<Outcome, Counter>, outcome: &'static str, count: u64) {
    if count > 0 {
        family.get_or_create(&Outcome { outcome }).inc_by(count);
    }
}
