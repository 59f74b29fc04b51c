//! What tokio says of the runtime that the server runs on.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use tokio::runtime::{Handle, RuntimeMetrics};

/// Writes out what tokio says.
#[derive(Debug)]
pub(crate) struct RuntimeCollector(RuntimeMetrics);

impl RuntimeCollector {
    /// Of this runtime.
    pub(crate) fn new(runtime: Handle) -> Self {
        Self(runtime.metrics())
    }
}

impl Collector for RuntimeCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let tokio = &self.0;
        for (name, help, value) in [
            (
                "tokio_workers",
                "Threads that run tasks.",
                tokio.num_workers(),
            ),
            (
                "tokio_alive_tasks",
                "Tasks that have not ended.",
                tokio.num_alive_tasks(),
            ),
            (
                "tokio_global_queue_depth",
                "Tasks that are ready and that no thread has taken.",
                tokio.global_queue_depth(),
            ),
        ] {
            let encoder = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(encoder)?;
        }
        let mut busy = encoder.encode_descriptor(
            "tokio_worker_busy",
            "Time a thread was running tasks.",
            Some(&Unit::Seconds),
            MetricType::Counter,
        )?;
        for worker in 0..tokio.num_workers() {
            let time = tokio.worker_total_busy_duration(worker).as_secs_f64();
            let labels = [("worker", worker.to_string())];
            ConstCounter::new(time).encode(busy.encode_family(&labels)?)?;
        }
        let mut parks = encoder.encode_descriptor(
            "tokio_worker_parks",
            "How often a thread had nothing to do and slept.",
            None,
            MetricType::Counter,
        )?;
        for worker in 0..tokio.num_workers() {
            let labels = [("worker", worker.to_string())];
            let count = ConstCounter::new(tokio.worker_park_count(worker));
            count.encode(parks.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
