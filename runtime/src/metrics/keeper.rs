//! How shards are opened, and how they end.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::metrics::SECONDS;

/// How shards are opened, and how they end.
#[derive(Clone, Debug)]
pub struct KeeperMetrics {
    open: Histogram,
    ends: Family<End, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct End {
    cause: &'static str,
}

impl Default for KeeperMetrics {
    fn default() -> Self {
        let ends = Family::default();
        for cause in ["closed", "fenced", "broken", "storage", "panic"] {
            // Served as zero from the start: the first one is seen as a change.
            drop(ends.get_or_create(&End { cause }));
        }
        Self {
            open: Histogram::new(SECONDS),
            ends,
        }
    }
}

impl KeeperMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "shard_open",
            "Time to open a shard; the count is that of openings that came well",
            Unit::Seconds,
            self.open.clone(),
        );
        registry.register(
            "shard_ends",
            "Shards that stopped answering or did not open, by cause",
            self.ends.clone(),
        );
    }

    /// A shard is open, after so long.
    pub(crate) fn opened(&self, took: Duration) {
        self.open.observe(took.as_secs_f64());
    }

    /// A shard stopped answering, or did not open.
    pub(crate) fn ended(&self, cause: &'static str) {
        self.ends.get_or_create(&End { cause }).inc();
    }
}
