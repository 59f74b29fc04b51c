//! What stands where at the moment: looked at when somebody asks, from what shards keep up to date
//! as they go. Nothing is scanned.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use silo_core::table::state::Status;
use silo_core::table::tenant::Tallies;

use crate::executor::shard::{Shard, ShardState};
use crate::node::Node;

/// What a shard says of itself, up to date after each of its rounds.
#[derive(Debug, Default)]
pub struct ShardNow {
    jobs: [AtomicU64; Status::ALL.len()],
    commands: AtomicU64,
    command_bytes: AtomicU64,
    unflushed_bytes: AtomicU64,
}

impl ShardNow {
    /// Takes in how many jobs stand where.
    pub(crate) fn counted(&self, totals: &Tallies) {
        for (status, count) in Status::ALL.into_iter().zip(&self.jobs) {
            count.store(totals.of(status), Ordering::Relaxed);
        }
    }

    /// Takes in what waits: commands with their bytes, and bytes to be durable.
    pub(crate) fn waits(&self, queued: (usize, usize), unflushed_bytes: u64) {
        let (commands, command_bytes) = queued;
        let count = |value| u64::try_from(value).unwrap_or(u64::MAX);
        self.commands.store(count(commands), Ordering::Relaxed);
        self.command_bytes
            .store(count(command_bytes), Ordering::Relaxed);
        self.unflushed_bytes
            .store(unflushed_bytes, Ordering::Relaxed);
    }

    /// How many jobs have each status, as far as the shard knows.
    pub fn jobs(&self) -> impl Iterator<Item = (Status, u64)> {
        let counts = self.jobs.iter().map(|count| count.load(Ordering::Relaxed));
        Status::ALL.into_iter().zip(counts)
    }

    /// Commands queued or waiting for rows.
    pub fn commands(&self) -> u64 {
        self.commands.load(Ordering::Relaxed)
    }

    /// Their bytes.
    pub fn command_bytes(&self) -> u64 {
        self.command_bytes.load(Ordering::Relaxed)
    }

    /// Bytes accepted by storage and not durable.
    pub fn unflushed_bytes(&self) -> u64 {
        self.unflushed_bytes.load(Ordering::Relaxed)
    }
}

/// The name of a status in metrics.
#[must_use]
pub const fn status_name(status: Status) -> &'static str {
    match status {
        Status::Scheduled => "scheduled",
        Status::Running => "running",
        Status::Succeeded => "succeeded",
        Status::Failed => "failed",
        Status::Cancelled => "cancelled",
        Status::Quarantined => "quarantined",
    }
}

/// The name of a shard's state in metrics.
#[must_use]
pub const fn state_name(state: &ShardState) -> &'static str {
    match state {
        ShardState::Opening => "opening",
        ShardState::Open => "open",
        ShardState::Closed => "closed",
        ShardState::Fenced(_) => "fenced",
        ShardState::Broken(_) => "broken",
    }
}

const STATES: [&str; 5] = ["opening", "open", "closed", "fenced", "broken"];

/// Writes out how a node stands, as long as there is one.
#[derive(Debug)]
pub struct NodeCollector(Weak<Node>);

impl NodeCollector {
    /// Of this node.
    #[must_use]
    pub fn new(node: &Arc<Node>) -> Self {
        Self(Arc::downgrade(node))
    }
}

impl Collector for NodeCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(node) = self.0.upgrade() else {
            return Ok(());
        };
        let shards = node.shards();
        encode_states(&shards, &mut encoder)?;
        encode_jobs(&shards, &mut encoder)?;
        for gauge in OF_SHARDS {
            gauge.encode(&shards, &mut encoder)?;
        }
        let gauge = |value: usize| ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        let waiting = *node.waiters().waiting().borrow();
        gauge(waiting).encode(encoder.encode_descriptor(
            "silo_lease_waiters",
            "LeaseTasks calls that wait for work.",
            None,
            MetricType::Gauge,
        )?)?;
        gauge(node.waiters().groups()).encode(encoder.encode_descriptor(
            "silo_lease_waiter_groups",
            "Task groups that are waited for.",
            None,
            MetricType::Gauge,
        )?)
    }
}

fn encode_states(shards: &[Arc<Shard>], encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
    let mut count = BTreeMap::from(STATES.map(|state| (state, 0_i64)));
    for shard in shards {
        let of_state = count
            .entry(state_name(&shard.state().borrow()))
            .or_default();
        *of_state = of_state.saturating_add(1);
    }
    let mut family = encoder.encode_descriptor(
        "silo_shards",
        "Shards of this node by state.",
        None,
        MetricType::Gauge,
    )?;
    for (state, count) in count {
        let labels = [("state", state)];
        ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn encode_jobs(shards: &[Arc<Shard>], encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
    let mut family = encoder.encode_descriptor(
        "silo_jobs",
        "Jobs by shard and status.",
        None,
        MetricType::Gauge,
    )?;
    for shard in shards {
        let id = shard.entry().shard_id.to_string();
        for (status, count) in shard.now().jobs() {
            let labels = [("shard", id.as_str()), ("status", status_name(status))];
            ConstGauge::new(signed(count)).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

/// A gauge with a value for each shard.
struct OfShards {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    value: fn(&Shard) -> u64,
}

const OF_SHARDS: [OfShards; 4] = [
    OfShards {
        name: "silo_shard_is_open",
        help: "Whether the shard answers.",
        unit: None,
        value: |shard| u64::from(*shard.state().borrow() == ShardState::Open),
    },
    OfShards {
        name: "silo_shard_queued_commands",
        help: "Commands that are queued or wait for rows.",
        unit: None,
        value: |shard| shard.now().commands(),
    },
    OfShards {
        name: "silo_shard_queued",
        help: "Bytes of commands that are queued or wait for rows.",
        unit: Some(Unit::Bytes),
        value: |shard| shard.now().command_bytes(),
    },
    OfShards {
        name: "silo_shard_unflushed",
        help: "Bytes that storage has accepted and not made durable.",
        unit: Some(Unit::Bytes),
        value: |shard| shard.now().unflushed_bytes(),
    },
];

impl OfShards {
    fn encode(
        &self,
        shards: &[Arc<Shard>],
        encoder: &mut DescriptorEncoder<'_>,
    ) -> std::fmt::Result {
        let unit = self.unit.as_ref();
        let mut family =
            encoder.encode_descriptor(self.name, self.help, unit, MetricType::Gauge)?;
        for shard in shards {
            let id = shard.entry().shard_id.to_string();
            let value = ConstGauge::new(signed((self.value)(shard)));
            value.encode(family.encode_family(&[("shard", id.as_str())])?)?;
        }
        Ok(())
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
