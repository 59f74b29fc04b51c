//! What a server costs, as its metrics tell it: CPU time, memory, requests to its store.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio_rustls::rustls::crypto::ring;

use crate::bench::BenchError;

/// How long a server may take to tell its metrics.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes of metrics that are looked at.
const METRICS_BYTES_MAX: usize = 16 << 20;

/// Where metrics come from.
pub(crate) enum Probe {
    /// Nowhere.
    None,
    /// A server's port.
    Port { url: String, http: reqwest::Client },
    /// This process.
    Here(Registry),
}

/// What a server has cost since it started.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Snapshot {
    pub(crate) cpu: Option<Duration>,
    pub(crate) resident_bytes: Option<u64>,
    /// Requests to its object stores, by kind.
    pub(crate) store: BTreeMap<String, u64>,
}

impl Probe {
    /// Reads a server's port.
    ///
    /// # Errors
    /// If there is no HTTP client.
    pub(crate) fn of_port(url: String) -> Result<Self, BenchError> {
        // A client that may speak TLS wants to know by what. Another may have said so before.
        let _ = ring::default_provider().install_default();
        let builder = reqwest::Client::builder().timeout(PATIENCE).no_proxy();
        let failed = |cause| BenchError::metrics(&url, cause);
        let http = builder.build().map_err(failed)?;
        Ok(Self::Port { url, http })
    }

    /// What the server has cost so far. None: nobody tells.
    ///
    /// # Errors
    /// If metrics should be there and cannot be read.
    pub(crate) async fn look(&self) -> Result<Option<Snapshot>, BenchError> {
        let text = match self {
            Self::None => return Ok(None),
            Self::Port { url, http } => {
                let failed = |cause| BenchError::metrics(url, cause);
                let answer = http.get(url).send().await.map_err(failed)?;
                let answer = answer.error_for_status().map_err(failed)?;
                answer.text().await.map_err(failed)?
            }
            Self::Here(registry) => {
                let mut text = String::new();
                // Writing to a string does not fail.
                let _ = encode(&mut text, registry);
                text
            }
        };
        Ok(Some(Snapshot::parse(&text)))
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Port { url, .. } => f.debug_tuple("Port").field(url).finish(),
            Self::Here(_) => f.write_str("Here"),
        }
    }
}

impl Snapshot {
    /// Finds what it needs in metrics in the OpenMetrics text format.
    fn parse(text: &str) -> Self {
        let mut found = Self::default();
        let text = text.get(..METRICS_BYTES_MAX).unwrap_or(text);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let (name, labels) = name.split_once('{').unwrap_or((name, ""));
            match name {
                "process_cpu_seconds_total" => {
                    let seconds = value.parse().ok();
                    found.cpu = seconds.and_then(|s| Duration::try_from_secs_f64(s).ok());
                }
                "process_resident_memory_bytes" => found.resident_bytes = value.parse().ok(),
                "silo_store_requests_total" => {
                    let kind = labels.split_once("kind=\"");
                    let kind = kind.and_then(|(_, rest)| rest.split_once('"'));
                    if let (Some((kind, _)), Ok(count)) = (kind, value.parse::<u64>()) {
                        let sum = found.store.entry(kind.to_owned()).or_default();
                        *sum = sum.saturating_add(count);
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// What was spent since an earlier look.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let cpu = self.cpu.zip(before.cpu);
        let spent = |(kind, count): (&String, &u64)| {
            let earlier = before.store.get(kind).copied().unwrap_or(0);
            (kind.clone(), count.saturating_sub(earlier))
        };
        let store = self.store.iter().map(spent);
        Self {
            cpu: cpu.map(|(now, then)| now.saturating_sub(then)),
            resident_bytes: self.resident_bytes,
            store: store.filter(|(_, count)| *count > 0).collect(),
        }
    }
}

/// CPU time of this process so far. On Linux only.
#[cfg(target_os = "linux")]
pub(crate) fn own_cpu() -> Option<Duration> {
    let stat = procfs::process::Process::myself().and_then(|process| process.stat());
    let stat = stat.ok()?;
    let ticks = stat.utime.saturating_add(stat.stime);
    let per_second = u32::try_from(procfs::ticks_per_second()).ok()?;
    Duration::from_secs(ticks).checked_div(per_second)
}

/// CPU time of this process so far. On Linux only.
#[cfg(not(target_os = "linux"))]
pub(crate) fn own_cpu() -> Option<Duration> {
    None
}
