//! The storage of a node, on any back end.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use silo_runtime::storage::backend::{Storage, StoreAbilities};
use silo_runtime::storage::config::{BackendConfig, StorageConfig, TimeLimits};
use silo_runtime::storage::error::StorageError;
use silo_runtime::storage::layout::Layout;
use silo_runtime::storage::stores::{OpenStore, open_local, open_memory, probe};

use crate::address::{Named, named};
use crate::clients;
use crate::environment::Environment;

/// A client for a store, and where the data begins in it.
#[derive(Debug)]
pub struct Located {
    /// The client, for the whole bucket or container.
    pub client: Arc<dyn ObjectStore>,
    /// The folders that all data is in.
    pub prefix: Path,
    /// Where shards lie below them, if the operator says so.
    pub layout: Option<Layout>,
}

/// Opens the configured stores, of any kind. What a store in the cloud can do is tried out, which
/// also shows that its credentials are good: five requests per store.
///
/// # Errors
/// [`StorageError::Invalid`] names what is wrong with the configuration, or what the store lacks;
/// [`StorageError::Unavailable`] if a store does not answer, or refuses.
pub async fn open(
    config: &StorageConfig,
    environment: &Environment,
) -> Result<Storage, StorageError> {
    let limits = &config.time_limits;
    let main = open_store(&config.backend, environment, limits).await?;
    let log = match &config.wal {
        Some(wal) => Some(open_store(&wal.backend, environment, limits).await?),
        None => None,
    };
    Storage::with_stores(main, log, config)
}

/// Opens one store.
///
/// # Errors
/// As [`open`].
pub async fn open_store(
    backend: &BackendConfig,
    environment: &Environment,
    limits: &TimeLimits,
) -> Result<OpenStore, StorageError> {
    let located = match backend {
        BackendConfig::Fs { .. } | BackendConfig::Memory => return open_local(backend).await,
        BackendConfig::S3(s3) => within(clients::s3(s3, environment)?, &s3.prefix)?,
        BackendConfig::Gcs(gcs) => within(clients::gcs(gcs, environment)?, &gcs.prefix)?,
        BackendConfig::Azure(azure) => within(clients::azure(azure, environment)?, &azure.prefix)?,
        BackendConfig::Url(url) => match named(url, environment)? {
            Named::Files(files) => return open_local(&files).await,
            Named::Memory(layout) => return Ok(open_memory(layout)),
            Named::There(located) => located,
        },
    };
    let store = PrefixStore::new(located.client, located.prefix);
    let abilities = probe(&store, limits.request()).await?;
    Ok(OpenStore {
        layout: located.layout,
        ..OpenStore::new(Arc::new(store), abilities)
    })
}

/// Looks for mistakes in the configuration as far as that goes without asking a store: clients are
/// set up and thrown away. Nothing is created.
///
/// # Errors
/// [`StorageError::Invalid`] as from [`open`].
pub fn check(config: &StorageConfig, environment: &Environment) -> Result<(), StorageError> {
    let main = unopened(&config.backend, environment)?;
    let log = config.wal.as_ref();
    let log = log.map(|wal| unopened(&wal.backend, environment));
    Storage::with_stores(main, log.transpose()?, config)?;
    Ok(())
}

/// What stands for a store that is not to be opened: as volatile, and able to do as much.
fn unopened(backend: &BackendConfig, environment: &Environment) -> Result<OpenStore, StorageError> {
    let layout = match backend {
        BackendConfig::Fs { path, .. } => {
            let split = Layout::split(path.to_str().unwrap_or_default());
            split.map_err(|error| invalid(error.to_string()))?.1
        }
        BackendConfig::Memory => return Ok(open_memory(None)),
        BackendConfig::S3(s3) => within(clients::s3(s3, environment)?, &s3.prefix)?.layout,
        BackendConfig::Gcs(gcs) => within(clients::gcs(gcs, environment)?, &gcs.prefix)?.layout,
        BackendConfig::Azure(azure) => {
            within(clients::azure(azure, environment)?, &azure.prefix)?.layout
        }
        BackendConfig::Url(url) => match named(url, environment)? {
            Named::Files(files) => return unopened(&files, environment),
            Named::Memory(layout) => return Ok(open_memory(layout)),
            Named::There(located) => located.layout,
        },
    };
    Ok(OpenStore {
        abilities: StoreAbilities {
            conditional_replace: true,
        },
        layout,
        is_volatile: false,
        ..open_memory(None)
    })
}

fn within(client: Arc<dyn ObjectStore>, prefix: &str) -> Result<Located, StorageError> {
    let (shared, layout) = Layout::split(prefix).map_err(|error| invalid(error.to_string()))?;
    let prefix = Path::parse(shared).map_err(|error| invalid(format!("prefix: {error}")))?;
    Ok(Located {
        client,
        prefix,
        layout,
    })
}

pub(crate) fn invalid(detail: String) -> StorageError {
    StorageError::Invalid {
        operation: "open the object store",
        detail,
    }
}
