//! Metrics, traces and profiles of a server. `docs/guides/observability.md` tells how to use them.
//!
//! * [`registry`]: everything that is counted in this process, to be written out
//! * [`http`]: metrics for Prometheus
//! * [`process`], [`runtime`], [`memory`]: what the system, tokio and the allocator say
//! * [`otlp`]: spans for a collector
//! * [`profile`]: where CPU time goes, and memory

pub(crate) mod http;
pub(crate) mod memory;
pub(crate) mod otlp;
pub(crate) mod process;
pub(crate) mod profile;
pub(crate) mod registry;
pub(crate) mod runtime;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use crate::config::MetricsConfig;

/// What can be said of observing a server on the command line.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ObserveArgs {
    /// Where to serve metrics: an address, port 0 for any that is free, or "off". Default: what the
    /// configuration says, else 127.0.0.1:9090.
    #[arg(long, value_name = "ADDR|off", env = "SILO_METRICS_ADDR")]
    pub(crate) metrics_addr: Option<MetricsAddr>,

    /// Write spans to this file until the server stops, for ui.perfetto.dev. RUST_LOG says which.
    #[arg(long, value_name = "FILE", env = "SILO_PERFETTO")]
    pub(crate) perfetto: Option<PathBuf>,
}

/// Where metrics are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MetricsAddr {
    /// Nowhere.
    Off,
    /// Here.
    At(SocketAddr),
}

impl FromStr for MetricsAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let addr = text.parse().map(Self::At);
        addr.map_err(|_| "neither an address like 127.0.0.1:9090 nor \"off\"".to_owned())
    }
}

impl ObserveArgs {
    /// What was said before the command's name goes where nothing was said behind it.
    pub(crate) fn or(self, outer: Self) -> Self {
        Self {
            metrics_addr: self.metrics_addr.or(outer.metrics_addr),
            perfetto: self.perfetto.or(outer.perfetto),
        }
    }

    /// What the command line says goes before what the configuration says.
    pub(crate) const fn over(&self, config: &mut MetricsConfig) {
        match self.metrics_addr {
            None => {}
            Some(MetricsAddr::Off) => config.enabled = false,
            Some(MetricsAddr::At(addr)) => {
                config.enabled = true;
                config.addr = addr;
            }
        }
    }
}
