//! Shards on real storage, and an object store that fails when told to.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use futures::stream::{BoxStream, StreamExt as _};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use silo_runtime::clock::SlewedClock;
use silo_runtime::executor::limits::StageLimits;
use silo_runtime::executor::shard::{Shard, ShardContext, ShardState};
use silo_runtime::storage::backend::{Storage, StoreAbilities};
use silo_runtime::storage::catalog::{ShardCatalog, ShardEntry};
use silo_runtime::storage::clock::SystemWallClock;
use silo_runtime::storage::config::{BackendConfig, StorageConfig};

/// What a store does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Its work.
    Works = 0,
    /// Nothing.
    Fails = 1,
    /// The next put of the log is done and reported as failed.
    LosesOneAnswer = 2,
    /// All but writing the log.
    FailsToLog = 3,
    /// The next put of the catalog is done and reported as failed.
    LosesOneCatalogAnswer = 4,
    /// The next put of the catalog fails.
    FailsOneCatalog = 5,
    /// Never answers.
    Hangs = 6,
}

/// A store that can be made to fail.
#[derive(Debug)]
pub struct Moody {
    inner: Arc<dyn ObjectStore>,
    mood: AtomicU8,
}

impl Moody {
    pub fn new(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            mood: AtomicU8::new(Mood::Works as u8),
        })
    }

    pub fn set(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::SeqCst);
    }

    /// Whether the mood set last has come to pass: an answer was lost.
    pub fn has_lost_one(&self) -> bool {
        self.mood.load(Ordering::SeqCst) == Mood::Works as u8
    }

    async fn check(&self) -> Result<()> {
        if self.is(Mood::Hangs) {
            std::future::pending::<()>().await;
        }
        if self.is(Mood::Fails) {
            Err(broken())
        } else {
            Ok(())
        }
    }

    fn is(&self, mood: Mood) -> bool {
        self.mood.load(Ordering::SeqCst) == mood as u8
    }

    /// Whether this is the mood, which is then over.
    fn ends(&self, mood: Mood) -> bool {
        let (from, to) = (mood as u8, Mood::Works as u8);
        self.mood
            .compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }
}

fn broken() -> Error {
    Error::Generic {
        store: "moody",
        source: "it fails on purpose".into(),
    }
}

impl fmt::Display for Moody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "moody {}", self.inner)
    }
}

#[async_trait::async_trait]
impl ObjectStore for Moody {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.check().await?;
        let is_log = location.as_ref().contains("/wal/");
        let is_catalog = location.as_ref().starts_with("catalog/");
        if is_log && self.is(Mood::FailsToLog) || is_catalog && self.ends(Mood::FailsOneCatalog) {
            return Err(broken());
        }
        let put = self.inner.put_opts(location, payload, options).await?;
        if is_log && self.ends(Mood::LosesOneAnswer)
            || is_catalog && self.ends(Mood::LosesOneCatalogAnswer)
        {
            return Err(broken());
        }
        Ok(put)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.check().await?;
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.check().await?;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let inner = self.inner.list(prefix);
        if self.is(Mood::Fails) {
            futures::stream::once(async { Err(broken()) }).boxed()
        } else if self.is(Mood::Hangs) {
            futures::stream::pending().boxed()
        } else {
            inner
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.check().await?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.check().await?;
        self.inner.copy_opts(from, to, options).await
    }
}

/// Notices within a moment what takes seconds by default.
pub fn impatient(backend: BackendConfig) -> StorageConfig {
    let mut config = StorageConfig::new(backend);
    config.shard.manifest_poll_ms = 20;
    config.shard.object_store_retries_max = 1;
    config.time_limits.open_ms = 5_000;
    config
}

pub async fn memory() -> Storage {
    Storage::open(&impatient(BackendConfig::Memory))
        .await
        .unwrap()
}

pub async fn files(directory: &tempfile::TempDir) -> Storage {
    let path = directory.path().join("data");
    let backend = BackendConfig::Fs { path, fsync: true };
    Storage::open(&impatient(backend)).await.unwrap()
}

/// The same objects, behind a store that can be made to fail.
pub fn moody(storage: &Storage, conditional_replace: bool) -> (Arc<Moody>, Storage) {
    moody_with(
        storage,
        conditional_replace,
        &impatient(BackendConfig::Memory),
    )
}

/// As [`moody`], with other bounds.
pub fn moody_with(
    storage: &Storage,
    conditional_replace: bool,
    config: &StorageConfig,
) -> (Arc<Moody>, Storage) {
    let moody = Moody::new(Arc::clone(storage.object_store()));
    let store: Arc<dyn ObjectStore> = Arc::<Moody>::clone(&moody);
    let abilities = StoreAbilities {
        conditional_replace,
    };
    let storage = Storage::with_object_store(store, abilities, config).unwrap();
    (moody, storage)
}

pub async fn entry(storage: &Storage) -> ShardEntry {
    let catalog = ShardCatalog::open(storage, 1.try_into().unwrap(), 1)
        .await
        .unwrap();
    catalog.shards()[0].clone()
}

/// What shards run on by default.
pub fn context(storage: &Storage) -> ShardContext {
    ShardContext {
        storage: storage.clone(),
        clock: Arc::new(SlewedClock::new(SystemWallClock::default())),
        wall: Arc::new(SystemWallClock::default()),
        limits: StageLimits::default(),
    }
}

/// Begins to open the only shard.
pub async fn start(storage: &Storage) -> Shard {
    Shard::start(entry(storage).await, context(storage))
}

/// The only shard, open.
pub async fn open(storage: &Storage) -> Shard {
    let shard = start(storage).await;
    reaches(&shard, |state| *state == ShardState::Open).await;
    shard
}

/// Waits until the shard is in such a state.
pub async fn reaches(shard: &Shard, is_it: impl FnMut(&ShardState) -> bool) -> ShardState {
    let mut state = shard.state();
    let reached = within(state.wait_for(is_it)).await;
    reached.unwrap().clone()
}

/// Waits for an event for as long as a slow machine may take.
pub async fn within<F: Future>(event: F) -> F::Output {
    let patience = Duration::from_secs(60);
    tokio::time::timeout(patience, event)
        .await
        .expect("it happens in time")
}
