//! What the allocator says.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use tikv_jemalloc_ctl::{Error, epoch, stats};

/// Writes out what jemalloc says.
#[derive(Debug)]
pub(crate) struct MemoryCollector;

/// A name, what it means, and how it is read.
type Stat = (&'static str, &'static str, fn() -> Result<usize, Error>);

const STATS: [Stat; 4] = [
    (
        "jemalloc_allocated",
        "Bytes that the program has asked for and not given back.",
        || stats::allocated::read(),
    ),
    (
        "jemalloc_active",
        "Bytes of pages with something in them.",
        || stats::active::read(),
    ),
    (
        "jemalloc_resident",
        "Bytes that the allocator holds in memory.",
        || stats::resident::read(),
    ),
    (
        "jemalloc_retained",
        "Bytes of address space that are kept without memory.",
        || stats::retained::read(),
    ),
];

impl Collector for MemoryCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        // Its numbers are from when this was called last.
        if epoch::advance().is_err() {
            return Ok(());
        }
        for (name, help, read) in STATS {
            let Ok(bytes) = read() else { continue };
            let unit = Some(&Unit::Bytes);
            let encoder = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
            ConstGauge::new(i64::try_from(bytes).unwrap_or(i64::MAX)).encode(encoder)?;
        }
        Ok(())
    }
}
