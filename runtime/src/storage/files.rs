//! Local files as an object store that can also replace an object on condition that it has not
//! changed. SlateDB needs that to delete old metadata soon: see
//! [`crate::storage::settings::METADATA_AGE_MIN_WITHOUT_REPLACE`].

use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt as _, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result, UpdateVersion,
};
use tokio::time::{Instant, sleep};

/// Files below a folder.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    inner: Arc<LocalFileSystem>,
    /// Whoever replaces on condition holds this file's lock, in whichever process.
    lock: PathBuf,
}

impl Files {
    /// Creates the folder if need be. With `fsync`, what is written is on the disk when the write
    /// is answered. Blocks the thread.
    ///
    /// # Errors
    /// When the folder, or the lock in it, cannot be made or used.
    pub(crate) fn open(folder: &FsPath, fsync: bool) -> Result<Self, Box<dyn std::error::Error>> {
        std::fs::create_dir_all(folder)?;
        let inner = LocalFileSystem::new_with_prefix(folder)?.with_fsync(fsync);
        let lock = folder.join(LOCK);
        open_lock(&lock)?;
        Ok(Self {
            inner: Arc::new(inner),
            lock,
        })
    }

    /// Replaces an object that is still as it was. Others that replace on condition wait; others
    /// that create or overwrite do not, so only objects that all replace on condition are safe.
    async fn replace(
        &self,
        location: &Path,
        payload: PutPayload,
        version: UpdateVersion,
        options: PutOptions,
    ) -> Result<PutResult> {
        let Some(wanted) = version.e_tag else {
            return Err(Error::Generic {
                store: STORE,
                source: "a replacement on condition needs the object's etag".into(),
            });
        };
        let _locked = self.lock().await?;
        let changed = |source| Error::Precondition {
            path: location.to_string(),
            source,
        };
        let found = match self.inner.head(location).await {
            Ok(found) => found,
            Err(Error::NotFound { source, .. }) => return Err(changed(source)),
            Err(error) => return Err(error),
        };
        if found.e_tag.as_ref() != Some(&wanted) {
            let is = format!("its etag is {:?}, and not {wanted}", found.e_tag);
            return Err(changed(is.into()));
        }
        let options = PutOptions {
            mode: PutMode::Overwrite,
            ..options
        };
        self.inner.put_opts(location, payload, options).await
    }

    /// The lock, until the file is dropped. The system gives it back when a process dies.
    async fn lock(&self) -> Result<File> {
        let failed = |error: io::Error| Error::Generic {
            store: STORE,
            source: error.into(),
        };
        let give_up_at = Instant::now().checked_add(LOCK_WAIT_MAX);
        let mut pause = LOCK_PAUSE;
        loop {
            let path = self.lock.clone();
            let tried = tokio::task::spawn_blocking(move || {
                let file = open_lock(&path)?;
                match file.try_lock() {
                    Ok(()) => Ok(Some(file)),
                    Err(TryLockError::WouldBlock) => Ok(None),
                    Err(TryLockError::Error(error)) => Err(error),
                }
            });
            match tried.await?.map_err(failed)? {
                Some(file) => return Ok(file),
                None if give_up_at.is_none_or(|at| Instant::now() >= at) => {
                    let held = format!("{} is locked by another process", self.lock.display());
                    return Err(failed(io::Error::new(io::ErrorKind::TimedOut, held)));
                }
                // The system tells nobody when a lock is given back but who blocks a thread for it.
                None => sleep(pause).await,
            }
            pause = pause.saturating_mul(2).min(LOCK_PAUSE_MAX);
        }
    }
}

const STORE: &str = "files";
/// Beside the objects, and one of them to whoever lists them.
const LOCK: &str = "replace.lock";
/// A replacement takes two requests to the file system; a process that is stopped in the middle of
/// one must not stop all others for good.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(1);
const LOCK_PAUSE_MAX: Duration = Duration::from_millis(50);

fn open_lock(path: &FsPath) -> io::Result<File> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
}

impl fmt::Display for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait::async_trait]
impl ObjectStore for Files {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let PutMode::Update(version) = options.mode.clone() else {
            return self.inner.put_opts(location, payload, options).await;
        };
        // A task of its own: a caller that goes away must not give the lock back in the middle.
        let (files, location) = (self.clone(), location.clone());
        let replacing = async move { files.replace(&location, payload, version, options).await };
        tokio::spawn(replacing).await?
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(
        &self,
        location: &Path,
        ranges: &[std::ops::Range<u64>],
    ) -> Result<Vec<bytes::Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
