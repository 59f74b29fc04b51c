//! Objects that are written in parts.

use std::sync::Arc;

use futures::FutureExt as _;
use object_store::path::Path;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};

use crate::fault::Operation;
use crate::store::{Faults, answer};

/// An upload of which every part is a put.
#[derive(Debug)]
pub(crate) struct FaultyUpload {
    inner: Box<dyn MultipartUpload>,
    faults: Arc<Faults>,
    location: Path,
}

impl FaultyUpload {
    pub(crate) fn new(
        inner: Box<dyn MultipartUpload>,
        faults: Arc<Faults>,
        location: Path,
    ) -> Self {
        Self {
            inner,
            faults,
            location,
        }
    }
}

#[async_trait::async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        // Parts are numbered when they are handed over.
        let put = self.inner.put_part(data);
        let (faults, location) = (Arc::clone(&self.faults), self.location.clone());
        async move {
            let lost = faults.before(Operation::Put, &location).await?;
            put.await?;
            answer((), lost)
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let lost = self.faults.before(Operation::Put, &self.location).await?;
        let put = self.inner.complete().await?;
        answer(put, lost)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
