//! Whose a shard's storage is: what one process knows of it, from one opening to the next.
//!
//! A process that has lost a shard must not win it back. The writer epoch in the manifest says who
//! opened a shard last, by number and not by name; so whoever opens a shard again says which epoch
//! it had, and claims exactly the next one.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::storage::error::StorageError;

/// What a process knows of its ownership of one shard. Keep it as long as the shard's entry, and
/// give it to every opening.
#[derive(Debug, Default)]
pub struct Ownership {
    /// The epoch to claim from: the last one that was ours or, before there was one, the one found
    /// by the first opening.
    base: Option<u64>,
    claim: Arc<Claim>,
}

/// What became of one try to claim the next epoch.
#[derive(Debug, Default)]
struct Claim {
    /// Manifests that have to be stored before the claim is: one more where the database has to be
    /// created first.
    needed: u32,
    stored: AtomicU32,
}

impl Claim {
    fn is_made(&self) -> bool {
        self.needed > 0 && self.stored.load(Ordering::SeqCst) >= self.needed
    }
}

impl Ownership {
    /// Begins a try to open a shard whose manifest has this epoch (none: there is no database), and
    /// tells which epoch to claim from.
    ///
    /// # Errors
    /// [`StorageError::Fenced`] if another process has opened the shard since it was ours;
    /// [`StorageError::Invalid`] if its data has been deleted or replaced since.
    pub(crate) fn begin(
        &mut self,
        operation: &'static str,
        found: Option<u64>,
    ) -> std::result::Result<u64, StorageError> {
        let was_made = self.claim.is_made();
        let base = match (self.base, found) {
            (None, found) => found.unwrap_or(0),
            // Nothing was created yet when the last try failed.
            (Some(0), None) if !was_made => 0,
            (Some(base), Some(found)) if base == found => base,
            // The last try failed after it had made its claim.
            (Some(base), Some(found)) if was_made && base.checked_add(1) == Some(found) => found,
            (Some(base), Some(found)) if base < found => {
                return Err(StorageError::Fenced { operation });
            }
            (Some(_), Some(_) | None) => {
                return Err(StorageError::invalid(
                    operation,
                    "the data of this shard has been deleted or replaced since this process had \
                     it open",
                ));
            }
        };
        self.base = Some(base);
        self.claim = Arc::new(Claim {
            needed: if found.is_none() { 2 } else { 1 },
            stored: AtomicU32::new(0),
        });
        Ok(base)
    }

    /// The shard is open, with this epoch.
    pub(crate) fn opened(&mut self, epoch: u64) {
        self.base = Some(epoch);
        self.claim = Arc::default();
    }

    /// Whether the try begun last has made its claim, though it may have failed afterwards.
    pub(crate) fn has_claimed(&self) -> bool {
        self.claim.is_made()
    }

    /// The store to make this try on: it notices when the claim has been made.
    pub(crate) fn witness(&self, store: &Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
        Arc::new(Witness {
            inner: Arc::clone(store),
            claim: Arc::clone(&self.claim),
        })
    }
}

/// An object store that counts the manifests that were certainly stored by us.
///
/// SlateDB does not tell whether an opening that failed had claimed its epoch before, and another
/// process that claims the same epoch leaves the same manifest. The answer to our own put tells.
#[derive(Debug)]
struct Witness {
    inner: Arc<dyn ObjectStore>,
    claim: Arc<Claim>,
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait::async_trait]
impl ObjectStore for Witness {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let put = self.inner.put_opts(location, payload, options).await?;
        if location.as_ref().ends_with(".manifest") {
            self.claim.stored.fetch_add(1, Ordering::SeqCst);
        }
        Ok(put)
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
