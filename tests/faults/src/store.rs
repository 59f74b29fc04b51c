//! The store.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result,
};

use crate::fault::{Fault, Operation, Requests};
use crate::injected::{Injected, Strike};
use crate::upload::FaultyUpload;

/// A store that does what another one does, but for the faults that are injected. Of several that
/// strike a request, the one injected first counts.
#[derive(Debug)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    faults: Arc<Faults>,
}

impl FaultyStore {
    /// Works as `inner` does.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        let faults = Arc::default();
        Arc::new(Self { inner, faults })
    }

    /// Strikes these requests with a fault, until what is returned is dropped.
    pub fn inject(&self, fault: Fault, requests: Requests) -> Injected {
        let strike = Strike::new(fault, requests);
        self.faults.add(Arc::clone(&strike));
        Injected::new(strike)
    }
}

/// What is to go wrong now.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    strikes: Mutex<Vec<Arc<Strike>>>,
}

impl Faults {
    /// Lets happen to a request what is to happen before it is done. Yields the error to report
    /// once it is done.
    pub(crate) async fn before(
        &self,
        operation: Operation,
        location: &Path,
    ) -> Result<Option<Error>> {
        match self.strike(operation, location) {
            Some(strike) => strike.befall(location).await,
            None => Ok(None),
        }
    }

    fn add(&self, strike: Arc<Strike>) {
        let mut strikes = self.strikes.lock().unwrap_or_else(PoisonError::into_inner);
        strikes.retain(|strike| !strike.is_over());
        strikes.push(strike);
    }

    fn strike(&self, operation: Operation, location: &Path) -> Option<Arc<Strike>> {
        let strikes = self.strikes.lock().unwrap_or_else(PoisonError::into_inner);
        let met = strikes.iter().find(|s| s.meets(operation, location));
        met.cloned()
    }
}

/// An answer, unless it is lost.
pub(crate) fn answer<T>(done: T, lost: Option<Error>) -> Result<T> {
    match lost {
        Some(error) => Err(error),
        None => Ok(done),
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty {}", self.inner)
    }
}

#[async_trait::async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let lost = self.faults.before(Operation::Put, location).await?;
        let put = self.inner.put_opts(location, payload, options).await?;
        answer(put, lost)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let lost = self.faults.before(Operation::Put, location).await?;
        let begun = self.inner.put_multipart_opts(location, options).await?;
        let upload = FaultyUpload::new(begun, Arc::clone(&self.faults), location.clone());
        answer(Box::new(upload), lost)
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let lost = self.faults.before(Operation::Get, location).await?;
        let got = self.inner.get_opts(location, options).await?;
        answer(got, lost)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (inner, faults) = (Arc::clone(&self.inner), Arc::clone(&self.faults));
        locations
            .and_then(move |location| {
                let (inner, faults) = (Arc::clone(&inner), Arc::clone(&faults));
                async move {
                    let lost = faults.before(Operation::Delete, &location).await?;
                    inner.delete(&location).await?;
                    answer(location, lost)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = self.inner.list(prefix);
        let faults = Arc::clone(&self.faults);
        let location = prefix.cloned().unwrap_or_default();
        let list = async move {
            match faults.before(Operation::List, &location).await? {
                Some(lost) => Err(lost),
                None => Ok(listed),
            }
        };
        futures::stream::once(list).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let location = prefix.cloned().unwrap_or_default();
        let lost = self.faults.before(Operation::List, &location).await?;
        let listed = self.inner.list_with_delimiter(prefix).await?;
        answer(listed, lost)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let lost = self.faults.before(Operation::Copy, to).await?;
        self.inner.copy_opts(from, to, options).await?;
        answer((), lost)
    }
}
