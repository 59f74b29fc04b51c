//! The configuration: a TOML file over defaults.
//!
//! The types here say everything: their doc comments are the reference page, their ranges are what
//! is allowed, their defaults are what a file need not say.
//!
//! * [`load`]: from a file to a [`Config`]. Start here
//! * [`read`]: the file's text against the shape; unknown keys, wrong values, `${VARIABLES}`
//! * [`shape`]: which keys there are, with what is known of each
//! * [`suggest`]: the nearest of some names
//! * [`problem`]: what can be wrong, and where
//! * [`secret`]: text that is never shown
//! * [`verb`]: `silo config`
//! * [`plan`]: what a server would do with a configuration
//! * [`mod@reference`]: the reference page

pub(crate) mod load;
mod plan;
pub(crate) mod problem;
mod read;
mod reference;
pub(crate) mod secret;
mod shape;
mod suggest;
pub(crate) mod verb;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use silo_core::types::Invalid;
use silo_core::types::tenant::Tenant;
use silo_core::types::weight::{Weight, Weights};
use silo_runtime::executor::limits::StageLimits;
use silo_runtime::storage::config::{BackendConfig, StorageConfig};

use crate::cli::Dev;
use crate::config::secret::Secret;
use crate::service_config::ServiceConfig;
use crate::tls::TlsConfig;

/// Everything that an operator can set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) server: Server,
    pub(crate) service: ServiceConfig,
    pub(crate) tenancy: Tenancy,
    pub(crate) shards: Shards,
    pub(crate) leases: Leases,
    pub(crate) retention: RetentionConfig,
    pub(crate) fairness: Fairness,
    pub(crate) flush: Flush,
    pub(crate) database: StorageConfig,
    pub(crate) metrics: MetricsConfig,
    pub(crate) log: Log,
}

/// How the server is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Server {
    /// Where to listen for gRPC.
    #[schemars(extend("format" = "socket-address"))]
    pub(crate) grpc_addr: SocketAddr,
    /// What clients are told: `host:port`, never a wildcard. Absent: `grpc_addr`, which must not be
    /// a wildcard then.
    pub(crate) advertised_grpc_addr: Option<String>,
    /// How the node calls itself.
    pub(crate) node_id: String,
    /// Every call must carry this as its bearer token. Absent: everybody may call.
    pub(crate) token: Option<Secret>,
    /// TLS. Absent: plain text.
    pub(crate) tls: Option<TlsConfig>,
    /// Allows `ResetShards`, which deletes everything.
    pub(crate) dev_mode: bool,
    /// How long a stop (SIGTERM) waits for calls in flight, in milliseconds.
    pub(crate) drain_timeout_ms: u64,
}

/// Whether callers name a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tenancy {
    /// On: a tenant is required. Off: there is one, called "-".
    pub(crate) enabled: bool,
}

/// How the data is cut.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Shards {
    /// Shards to create when the data has none yet; data that has some keeps its number. Absent: 8
    /// with tenancy, else 1.
    pub(crate) count: Option<NonZeroU32>,
}

/// Leases: how long a worker may be silent, and when it is given its task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Leases {
    /// How long a lease lasts unless a worker or a job says otherwise, in milliseconds.
    #[schemars(range(min = 100, max = 86_400_000))]
    pub(crate) default_ms: u32,
    /// When a leased task is handed to its worker.
    pub(crate) dispatch: Dispatch,
}

/// When a leased task is handed to its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Dispatch {
    /// Once its lease is durable.
    Durable,
    /// At once; a crash can run that attempt twice.
    Speculative,
}

/// How long jobs are kept once they have ended, in milliseconds, unless they say so themselves.
/// Absent: until they are deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RetentionConfig {
    /// After success.
    pub(crate) succeeded_ms: Option<u64>,
    /// After a final failure.
    pub(crate) failed_ms: Option<u64>,
    /// After a cancellation.
    pub(crate) cancelled_ms: Option<u64>,
}

/// What tenants get of the workers beside others: in its turn a tenant gets as many tasks as its
/// weight says. `silo tenant set` goes before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Fairness {
    /// The weight of every tenant that has no other.
    #[schemars(range(min = 1, max = Weight::MAX))]
    pub(crate) default_weight: u32,
    /// Weights of tenants, by their names.
    #[schemars(extend("additionalProperties" = {
        "type": "integer", "format": "uint32", "minimum": 1, "maximum": Weight::MAX
    }))]
    pub(crate) weights: BTreeMap<String, u32>,
}

/// When accepted writes are made durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Flush {
    /// How long a write may wait for others to share its flush, in milliseconds; 0: only for the
    /// flush before it.
    pub(crate) interval_ms: u64,
    /// Accepted bytes that start a flush at once. Beyond the most that is allowed nothing new is
    /// begun.
    #[schemars(range(min = 1, max = StageLimits::default().unflushed_bytes_max))]
    pub(crate) bytes: u64,
}

/// Metrics, as Prometheus scrapes them. Whoever reaches the port may read them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MetricsConfig {
    /// Whether metrics are served.
    pub(crate) enabled: bool,
    /// Where to listen for HTTP; metrics are at `/metrics`.
    #[schemars(extend("format" = "socket-address"))]
    pub(crate) addr: SocketAddr,
}

/// Log lines, on standard error. `RUST_LOG` says which.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// For people or for machines.
    pub(crate) format: LogFormat,
}

/// For whom log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

impl Default for Leases {
    fn default() -> Self {
        Self {
            default_ms: 10_000,
            dispatch: Dispatch::Durable,
        }
    }
}

impl Default for Fairness {
    fn default() -> Self {
        Self {
            default_weight: Weight::ONE.get().into(),
            weights: BTreeMap::new(),
        }
    }
}

impl Fairness {
    /// As shards take it.
    ///
    /// # Errors
    /// The first name that no tenant can have, or the first weight out of its bounds, which has
    /// been looked at by then, and what is wrong with it.
    pub(crate) fn weights(&self) -> Result<Weights, (String, Invalid)> {
        let weight = |key: &str, number: u32| {
            Weight::parse(number).map_err(|invalid| (key.to_owned(), invalid))
        };
        let mut named = BTreeMap::new();
        for (name, number) in &self.weights {
            let key = format!("weights.{name}");
            let tenant = Tenant::parse(name).map_err(|invalid| (key.clone(), invalid))?;
            named.insert(tenant, weight(&key, *number)?);
        }
        Ok(Weights {
            default: weight("default_weight", self.default_weight)?,
            named: Arc::new(named),
        })
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

impl Default for Flush {
    fn default() -> Self {
        Self {
            interval_ms: 0,
            bytes: 4 << 20,
        }
    }
}

impl Config {
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
}

fn files_in(path: PathBuf) -> StorageConfig {
    StorageConfig::new(BackendConfig::Fs { path, fsync: true })
}
