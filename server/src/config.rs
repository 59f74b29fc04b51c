//! The configuration: a TOML file over defaults. Unknown keys are refused, with their line.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use miette::{Diagnostic, NamedSource, SourceSpan};
use serde::Deserialize;
use silo_runtime::executor::limits::StageLimits;
use silo_runtime::service::OptionsError;
use silo_runtime::storage::config::{BackendConfig, StorageConfig};
use thiserror::Error;

use crate::cli::Dev;
use crate::service_config::ServiceConfig;
use crate::tls::TlsConfig;

/// Everything that an operator can set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) server: Server,
    pub(crate) service: ServiceConfig,
    pub(crate) tenancy: Tenancy,
    pub(crate) shards: Shards,
    pub(crate) leases: Leases,
    pub(crate) retention: RetentionConfig,
    pub(crate) flush: Flush,
    pub(crate) database: StorageConfig,
    pub(crate) metrics: MetricsConfig,
    pub(crate) log: Log,
}

/// How the server is reached.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Server {
    /// Where to listen for gRPC.
    pub(crate) grpc_addr: SocketAddr,
    /// What clients are told: `host:port`, never a wildcard. Default: `grpc_addr`.
    pub(crate) advertised_grpc_addr: Option<String>,
    /// How the node calls itself.
    pub(crate) node_id: String,
    /// Every call must carry this as its bearer token.
    pub(crate) token: Option<String>,
    /// TLS; default: plain text.
    pub(crate) tls: Option<TlsConfig>,
    /// Allows `ResetShards`.
    pub(crate) dev_mode: bool,
    /// How long a stop waits for calls in flight, in milliseconds.
    pub(crate) drain_timeout_ms: u64,
}

/// Whether callers name a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tenancy {
    /// On: a tenant is required. Off: there is one, called "-".
    pub(crate) enabled: bool,
}

/// How the data is cut.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Shards {
    /// Shards to create when the data has none yet. Default: 8 with tenancy, else 1.
    pub(crate) count: Option<NonZeroU32>,
}

/// Leases.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Leases {
    /// How long a lease lasts unless a worker or a job says otherwise, in milliseconds.
    pub(crate) default_ms: u32,
    /// When a leased task is handed to its worker.
    pub(crate) dispatch: Dispatch,
}

/// When a leased task is handed to its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Dispatch {
    /// Once its lease is durable.
    Durable,
    /// At once; a crash can run that attempt twice.
    Speculative,
}

/// How long jobs are kept once they have ended, in milliseconds, unless they say so themselves.
/// Absent: until they are deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RetentionConfig {
    /// After success.
    pub(crate) succeeded_ms: Option<u64>,
    /// After a final failure.
    pub(crate) failed_ms: Option<u64>,
    /// After a cancellation.
    pub(crate) cancelled_ms: Option<u64>,
}

/// When accepted writes are made durable.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Flush {
    /// How long a write may wait for others to share its flush, in milliseconds; 0: only for the
    /// flush before it.
    pub(crate) interval_ms: u64,
    /// Accepted bytes that start a flush at once.
    pub(crate) bytes: u64,
}

/// Metrics, as Prometheus scrapes them. Whoever reaches the port may read them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MetricsConfig {
    /// Whether metrics are served.
    pub(crate) enabled: bool,
    /// Where to listen for HTTP; metrics are at `/metrics`.
    pub(crate) addr: SocketAddr,
}

/// Log lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// For people or for machines.
    pub(crate) format: LogFormat,
}

/// For whom log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines: one JSON object a line.
    Json,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            grpc_addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 7450)),
            advertised_grpc_addr: None,
            node_id: "silo".to_owned(),
            token: None,
            tls: None,
            dev_mode: false,
            drain_timeout_ms: 30_000,
        }
    }
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 9090)),
        }
    }
}

impl Default for Leases {
    fn default() -> Self {
        Self {
            default_ms: 10_000,
            dispatch: Dispatch::Durable,
        }
    }
}

impl Default for Flush {
    fn default() -> Self {
        Self {
            interval_ms: 0,
            bytes: 4 << 20,
        }
    }
}

/// Why a configuration was refused.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum ConfigError {
    #[error("cannot read the configuration file {}", path.display())]
    #[diagnostic(
        code(silo::config::unreadable),
        help("check the path and its permissions")
    )]
    Unreadable {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("the configuration is not valid: {message}")]
    #[diagnostic(
        code(silo::config::invalid),
        help("the names are those of docs/guides/configuration.md")
    )]
    Invalid {
        message: String,
        #[source_code]
        file: NamedSource<String>,
        #[label("here")]
        at: Option<SourceSpan>,
    },
    #[error("{field} is {value}, but must be {bound}")]
    #[diagnostic(code(silo::config::out_of_bounds))]
    OutOfBounds {
        field: &'static str,
        value: String,
        bound: &'static str,
    },
    #[error("service.{0}")]
    #[diagnostic(code(silo::config::out_of_bounds))]
    Service(#[from] OptionsError),
}

impl Config {
    /// Reads a file; without one there are only defaults.
    pub(crate) fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Unreadable {
            path: path.to_owned(),
            cause,
        })?;
        let config: Self = toml::from_str(&text).map_err(|error| ConfigError::Invalid {
            message: error.message().to_owned(),
            at: error.span().map(SourceSpan::from),
            file: NamedSource::new(path.display().to_string(), text),
        })?;
        config.check()?;
        Ok(config)
    }

    /// What `silo dev` runs with.
    pub(crate) fn for_development(dev: Dev) -> Self {
        Self {
            server: Server {
                grpc_addr: dev.grpc_addr,
                dev_mode: true,
                ..Server::default()
            },
            tenancy: Tenancy {
                enabled: dev.tenancy,
            },
            database: files_in(dev.data),
            ..Self::default()
        }
    }

    /// The number of shards for data that has none yet.
    pub(crate) fn shard_count(&self) -> NonZeroU32 {
        const WITH_TENANCY: NonZeroU32 = NonZeroU32::MIN.saturating_add(7);
        let default = if self.tenancy.enabled {
            WITH_TENANCY
        } else {
            NonZeroU32::MIN
        };
        self.shards.count.unwrap_or(default)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let out = |field, value: String, bound| ConfigError::OutOfBounds {
            field,
            value,
            bound,
        };
        let server = &self.server;
        if server.advertised_grpc_addr.is_none() && server.grpc_addr.ip().is_unspecified() {
            let bound = "set when grpc_addr is a wildcard: clients must be told where to connect";
            return Err(out(
                "server.advertised_grpc_addr",
                "not set".to_owned(),
                bound,
            ));
        }
        let lease = self.leases.default_ms;
        if !(100..=86_400_000).contains(&lease) {
            return Err(out(
                "leases.default_ms",
                lease.to_string(),
                "100 to 86400000",
            ));
        }
        let unflushed_max = StageLimits::default().unflushed_bytes_max;
        if !(1..=unflushed_max).contains(&self.flush.bytes) {
            let bound = "1 to 67108864: beyond that much nothing new is begun";
            return Err(out("flush.bytes", self.flush.bytes.to_string(), bound));
        }
        if server.token.as_ref().is_some_and(String::is_empty) {
            return Err(out(
                "server.token",
                "empty".to_owned(),
                "absent or not empty",
            ));
        }
        if let Some(tls) = server.tls.as_ref().filter(|tls| !tls.is_in_bounds()) {
            let value = tls.reload_ms.to_string();
            return Err(out("server.tls.reload_ms", value, TlsConfig::RELOAD_MS));
        }
        self.service.check()?;
        Ok(())
    }
}

fn files_in(path: PathBuf) -> StorageConfig {
    StorageConfig::new(BackendConfig::Fs { path, fsync: true })
}
