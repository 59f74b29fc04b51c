//! Opened object stores, and what they can do.

use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    Error, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, UpdateVersion,
};

use crate::storage::backend::StoreAbilities;
use crate::storage::config::BackendConfig;
use crate::storage::error::{StorageError, within};
use crate::storage::files::Files;
use crate::storage::layout::Layout;

/// An object store, opened.
#[derive(Debug, Clone)]
pub struct OpenStore {
    /// The store, with paths relative to where the data begins.
    pub store: Arc<dyn ObjectStore>,
    /// What it can do.
    pub abilities: StoreAbilities,
    /// Where shards lie, if the operator says so.
    pub layout: Option<Layout>,
    /// Whether all of it is gone when the process ends.
    pub is_volatile: bool,
}

impl OpenStore {
    /// A store that keeps what it is given, with shards where they are by default.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, abilities: StoreAbilities) -> Self {
        Self {
            store,
            abilities,
            layout: None,
            is_volatile: false,
        }
    }
}

/// Opens files or memory.
///
/// # Errors
/// [`StorageError::Invalid`] for every other kind of store, and for a path whose `%shard%` cannot
/// be understood; [`StorageError::Unavailable`] if the directory cannot be used.
pub async fn open_local(backend: &BackendConfig) -> Result<OpenStore, StorageError> {
    match backend {
        BackendConfig::Fs { path, fsync } => open_directory(path, *fsync).await,
        BackendConfig::Memory => Ok(open_memory(None)),
        BackendConfig::S3(_)
        | BackendConfig::Gcs(_)
        | BackendConfig::Azure(_)
        | BackendConfig::Url(_) => Err(StorageError::invalid(
            OPEN,
            format!("{backend}: no clients for the cloud are built into this program"),
        )),
    }
}

/// A store in the memory of this process.
#[must_use]
pub fn open_memory(layout: Option<Layout>) -> OpenStore {
    OpenStore {
        store: Arc::new(InMemory::new()),
        abilities: StoreAbilities {
            conditional_replace: true,
        },
        layout,
        is_volatile: true,
    }
}

async fn open_directory(path: &FsPath, fsync: bool) -> Result<OpenStore, StorageError> {
    let (directory, layout) = match path.to_str() {
        Some(text) => {
            let split = Layout::split(text);
            let (shared, layout) =
                split.map_err(|error| StorageError::invalid(OPEN, error.to_string()))?;
            // `%shard%` alone is a folder of the current one, as any other relative path.
            let shared = if shared.is_empty() { "." } else { shared };
            (PathBuf::from(shared), layout)
        }
        // No text, so it does not have the placeholder in it either.
        None => (path.to_owned(), None),
    };
    let shown = directory.display().to_string();
    let opened = tokio::task::spawn_blocking(move || {
        Files::open(&directory, fsync).map_err(|error| error.to_string())
    })
    .await
    .map_err(|error| StorageError::unavailable(OPEN, error.to_string()))?;
    let store =
        opened.map_err(|detail| StorageError::unavailable(OPEN, format!("{shown}: {detail}")))?;
    Ok(OpenStore {
        layout,
        ..OpenStore::new(
            Arc::new(store),
            StoreAbilities {
                conditional_replace: true,
            },
        )
    })
}

/// Finds out by trying what a store can do, and leaves one small object in it: five requests, once
/// per start. A server that speaks a known protocol need not keep to all of it, and one that takes
/// conditions and ignores them would let two processes own the same shard.
///
/// # Errors
/// [`StorageError::Invalid`] if the store overwrites an object that it was told not to overwrite;
/// [`StorageError::Unavailable`] if it does not answer within `limit`, or refuses.
pub async fn probe(
    store: &dyn ObjectStore,
    limit: Duration,
) -> Result<StoreAbilities, StorageError> {
    within(limit, PROBE, async {
        let failed = |error: Error| StorageError::from_object_store(PROBE, &error);
        let path = Path::from(PROBE_OBJECT);
        let create = || store.put_opts(&path, PutPayload::new(), PutMode::Create.into());
        match create().await {
            Ok(_) | Err(Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(refused_condition(error)),
        }
        match create().await {
            Err(Error::AlreadyExists { .. }) => {}
            Ok(_) => {
                return Err(no_conditions(
                    "it replaced an object that it was to leave alone",
                ));
            }
            Err(error) => return Err(failed(error)),
        }
        // Proves that reading, which everything else begins with, is allowed too.
        store.head(&path).await.map_err(failed)?;
        let never = UpdateVersion {
            e_tag: Some("\"00000000000000000000000000000000\"".to_owned()),
            version: Some("1".to_owned()),
        };
        let options = PutOptions::from(PutMode::Update(never));
        let replaced = store.put_opts(&path, PutPayload::new(), options).await;
        let conditional_replace = match replaced {
            Err(Error::Precondition { .. }) => true,
            Ok(_) => false,
            Err(error) if is_unsupported(&error) => false,
            Err(error) => return Err(failed(error)),
        };
        Ok(StoreAbilities {
            conditional_replace,
        })
    })
    .await
}

const OPEN: &str = "open storage";
const PROBE: &str = "try out conditional writes";
/// The object that is written to try out what a store can do.
const PROBE_OBJECT: &str = "conditional-write";

fn refused_condition(error: Error) -> StorageError {
    if is_unsupported(&error) {
        no_conditions("its client is set up without them")
    } else {
        StorageError::from_object_store(PROBE, &error)
    }
}

fn is_unsupported(error: &Error) -> bool {
    matches!(
        error,
        Error::NotImplemented { .. } | Error::NotSupported { .. }
    )
}

fn no_conditions(detail: &str) -> StorageError {
    StorageError::invalid(
        PROBE,
        format!(
            "this store has no conditional writes ({detail}): two processes could own the same \
             shard on it"
        ),
    )
}
