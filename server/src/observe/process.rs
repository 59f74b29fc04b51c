//! What the system says of this process, under the names that every exporter uses. On Linux only.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

/// Writes out what the system says.
#[derive(Debug)]
pub(crate) struct ProcessCollector;

impl Collector for ProcessCollector {
    #[cfg(target_os = "linux")]
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        match linux::Process::read() {
            Ok(process) => process.encode(encoder),
            Err(error) => {
                tracing::debug!(%error, "the system does not tell about this process");
                Ok(())
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn encode(&self, _encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        Ok(())
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fmt;

    use procfs::process::{LimitValue, Process as ThisProcess};
    use procfs::{ProcResult, WithCurrentSystemInfo as _, boot_time_secs, ticks_per_second};
    use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
    use prometheus_client::metrics::MetricType;
    use prometheus_client::metrics::counter::ConstCounter;
    use prometheus_client::metrics::gauge::ConstGauge;
    use prometheus_client::registry::Unit;

    /// What the system says of this process.
    pub(crate) struct Process {
        cpu_ticks: u64,
        start_ticks: u64,
        boot_secs: u64,
        resident_bytes: u64,
        virtual_bytes: u64,
        threads: i64,
        open_fds: usize,
        max_fds: u64,
    }

    impl Process {
        pub(crate) fn read() -> ProcResult<Self> {
            let process = ThisProcess::myself()?;
            let stat = process.stat()?;
            let max_fds = match process.limits()?.max_open_files.soft_limit {
                LimitValue::Value(limit) => limit,
                LimitValue::Unlimited => u64::MAX,
            };
            Ok(Self {
                cpu_ticks: stat.utime.saturating_add(stat.stime),
                start_ticks: stat.starttime,
                boot_secs: boot_time_secs()?,
                resident_bytes: stat.rss_bytes().get(),
                virtual_bytes: stat.vsize,
                threads: stat.num_threads,
                open_fds: process.fd_count()?,
                max_fds,
            })
        }

        pub(crate) fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
            let cpu = encoder.encode_descriptor(
                "process_cpu",
                "CPU time in user and system mode.",
                Some(&Unit::Seconds),
                MetricType::Counter,
            )?;
            ConstCounter::new(seconds(self.cpu_ticks)).encode(cpu)?;
            let start = encoder.encode_descriptor(
                "process_start_time",
                "When the process began, in seconds since 1970.",
                Some(&Unit::Seconds),
                MetricType::Gauge,
            )?;
            let began = whole(self.boot_secs) + seconds(self.start_ticks);
            ConstGauge::new(began).encode(start)?;
            let count = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
            for (name, help, unit, value) in [
                (
                    "process_resident_memory",
                    "Memory that is held.",
                    Some(&Unit::Bytes),
                    self.resident_bytes,
                ),
                (
                    "process_virtual_memory",
                    "Address space that is taken.",
                    Some(&Unit::Bytes),
                    self.virtual_bytes,
                ),
                (
                    "process_threads",
                    "Threads.",
                    None,
                    u64::try_from(self.threads).unwrap_or(0),
                ),
                (
                    "process_open_fds",
                    "Open files and sockets.",
                    None,
                    count(self.open_fds),
                ),
                (
                    "process_max_fds",
                    "How many there may be.",
                    None,
                    self.max_fds,
                ),
            ] {
                let encoder = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
                let value = i64::try_from(value).unwrap_or(i64::MAX);
                ConstGauge::new(value).encode(encoder)?;
            }
            Ok(())
        }
    }

    fn seconds(ticks: u64) -> f64 {
        whole(ticks) / whole(ticks_per_second().max(1))
    }

    /// Exact below 2^53: as seconds or ticks that is longer than any machine runs.
    #[expect(clippy::cast_precision_loss, reason = "times fit")]
    fn whole(value: u64) -> f64 {
        value as f64
    }
}
