//! What an operator can set about storage.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::storage::cloud_config::{AzureConfig, GcsConfig, S3Config, UrlConfig};
use crate::storage::slatedb_overrides::SlateDbOverrides;

/// Where data lives, and the bounds on memory and time that go with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StorageConfig {
    /// The object store; by default files in `silo-data`, fsync on.
    #[serde(default = "default_backend")]
    pub backend: BackendConfig,
    /// Where the write-ahead logs are, if not with the rest. Decided when the data is created.
    #[serde(default)]
    pub wal: Option<WalConfig>,
    /// Size of the one block cache that all shards share, in bytes.
    #[serde(default = "default_cache_bytes")]
    pub cache_bytes: u64,
    /// Bounds that hold for each shard.
    #[serde(default)]
    pub shard: ShardLimits,
    /// Time limits of single operations.
    #[serde(default)]
    pub time_limits: TimeLimits,
    /// Settings of SlateDB itself, over ours.
    #[serde(default)]
    pub slatedb: SlateDbOverrides,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self::new(default_backend())
    }
}

impl StorageConfig {
    /// This backend with default bounds.
    #[must_use]
    pub fn new(backend: BackendConfig) -> Self {
        Self {
            backend,
            wal: None,
            cache_bytes: default_cache_bytes(),
            shard: ShardLimits::default(),
            time_limits: TimeLimits::default(),
            slatedb: SlateDbOverrides::default(),
        }
    }
}

/// Where write-ahead logs are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WalConfig {
    /// The object store. What it loses is lost, as far as it is not in tables yet.
    pub backend: BackendConfig,
}

/// The kinds of object store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum BackendConfig {
    /// Files below a local directory, for one process at a time.
    Fs {
        /// The directory; it is created if it does not exist. Possibly with `%shard%`.
        path: PathBuf,
        /// Whether a write counts as durable only when the disk has confirmed it. Without it a
        /// power cut may lose acknowledged jobs; a crash of the process may not.
        #[serde(default = "default_fsync")]
        fsync: bool,
    },
    /// Memory of this process: everything is gone when it ends.
    Memory,
    /// A bucket of Amazon S3, or of a server that speaks its protocol.
    S3(S3Config),
    /// A bucket of Google Cloud Storage.
    Gcs(GcsConfig),
    /// A container of Azure Blob Storage.
    Azure(AzureConfig),
    /// Any store that has a URL.
    Url(UrlConfig),
}

/// For log lines: where it is, without credentials.
impl fmt::Display for BackendConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fs { path, fsync: true } => write!(f, "{}", path.display()),
            Self::Fs { path, fsync: false } => write!(f, "{} (no fsync)", path.display()),
            Self::Memory => f.write_str("memory: gone when the server stops"),
            Self::S3(S3Config { bucket, prefix, .. }) => write!(f, "s3://{bucket}/{prefix}"),
            Self::Gcs(GcsConfig { bucket, prefix, .. }) => write!(f, "gs://{bucket}/{prefix}"),
            Self::Azure(AzureConfig {
                container, prefix, ..
            }) => write!(f, "az://{container}/{prefix}"),
            Self::Url(UrlConfig { url, .. }) => f.write_str(url),
        }
    }
}

/// Bounds on what one shard may use. The defaults suit dozens of shards on a laptop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ShardLimits {
    /// Bytes written but not yet in L0 files before writes have to wait. At least three times
    /// `l0_bytes`.
    pub unflushed_bytes_max: usize,
    /// Bytes gathered in memory before they are written out as L0 files; also the size at which
    /// a WAL object is written without being told to.
    pub l0_bytes: usize,
    /// L0 files per table before writing out waits for compaction. Also bounds, per key, how many
    /// files a read may have to look at (a quarter of this).
    pub l0_files_max: usize,
    /// Size of one compacted file in bytes.
    pub compacted_file_bytes: usize,
    /// Compactions of one shard at once; at least the number of tables, so that a long compaction
    /// of one never holds up another.
    pub compactions_max: usize,
    /// How often an object-store request is repeated after a transient error, waiting 100 ms
    /// growing to 1 s in between.
    pub object_store_retries_max: u32,
    /// How often an idle shard looks whether another process has taken it over, in milliseconds.
    /// Costs two to three requests each time.
    pub manifest_poll_ms: u64,
    /// How often compaction looks for work, in milliseconds. Costs two requests each time.
    pub compaction_poll_ms: u64,
}

impl Default for ShardLimits {
    fn default() -> Self {
        Self {
            unflushed_bytes_max: 64 << 20,
            l0_bytes: 16 << 20,
            l0_files_max: 128,
            compacted_file_bytes: 64 << 20,
            compactions_max: 16,
            object_store_retries_max: 8,
            manifest_poll_ms: 3_000,
            compaction_poll_ms: 5_000,
        }
    }
}

impl ShardLimits {
    pub(crate) fn manifest_poll(&self) -> Duration {
        Duration::from_millis(self.manifest_poll_ms)
    }

    pub(crate) fn compaction_poll(&self) -> Duration {
        Duration::from_millis(self.compaction_poll_ms)
    }
}

/// How long single operations may take before they fail as unavailable, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TimeLimits {
    /// Opening a shard, replay of its write-ahead log included.
    pub open_ms: u64,
    /// One read of a key or a range.
    pub read_ms: u64,
    /// Acceptance of one batch, back-pressure included.
    pub write_ms: u64,
    /// Making accepted writes durable, or writing memory out to L0 files.
    pub flush_ms: u64,
    /// One proof of ownership, and one read or write of the shard catalog.
    pub request_ms: u64,
    /// Closing a shard, the last flush included.
    pub close_ms: u64,
    /// Deleting the data of one shard.
    pub delete_ms: u64,
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self {
            open_ms: 120_000,
            read_ms: 30_000,
            write_ms: 60_000,
            flush_ms: 60_000,
            request_ms: 10_000,
            close_ms: 30_000,
            delete_ms: 120_000,
        }
    }
}

impl TimeLimits {
    pub(crate) fn open(&self) -> Duration {
        Duration::from_millis(self.open_ms)
    }

    pub(crate) fn read(&self) -> Duration {
        Duration::from_millis(self.read_ms)
    }

    pub(crate) fn write(&self) -> Duration {
        Duration::from_millis(self.write_ms)
    }

    pub(crate) fn flush(&self) -> Duration {
        Duration::from_millis(self.flush_ms)
    }

    /// As [`Self::request_ms`].
    #[must_use]
    pub fn request(&self) -> Duration {
        Duration::from_millis(self.request_ms)
    }

    pub(crate) fn close(&self) -> Duration {
        Duration::from_millis(self.close_ms)
    }

    pub(crate) fn delete(&self) -> Duration {
        Duration::from_millis(self.delete_ms)
    }
}

fn default_backend() -> BackendConfig {
    BackendConfig::Fs {
        path: PathBuf::from("silo-data"),
        fsync: true,
    }
}

fn default_cache_bytes() -> u64 {
    64 << 20
}

fn default_fsync() -> bool {
    true
}
