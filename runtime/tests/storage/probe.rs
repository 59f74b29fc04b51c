use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use silo_runtime::storage::backend::StoreAbilities;
use silo_runtime::storage::error::StorageError;
use silo_runtime::storage::stores::probe;

/// What a store does with conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conditions {
    Kept,
    /// It takes them and overwrites all the same.
    Ignored,
    /// Only those of replacing are ignored.
    ReplaceIgnored,
    Unanswered,
}

#[derive(Debug)]
struct Careless {
    inner: InMemory,
    conditions: Conditions,
}

impl fmt::Display for Careless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait::async_trait]
impl ObjectStore for Careless {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        mut options: PutOptions,
    ) -> Result<PutResult> {
        let is_ignored = match self.conditions {
            Conditions::Kept => false,
            Conditions::Ignored => true,
            Conditions::ReplaceIgnored => matches!(options.mode, PutMode::Update(_)),
            Conditions::Unanswered => std::future::pending().await,
        };
        if is_ignored {
            options.mode = PutMode::Overwrite;
        }
        self.inner.put_opts(location, payload, options).await
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

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

async fn probed(
    conditions: Conditions,
    limit: Duration,
) -> std::result::Result<StoreAbilities, StorageError> {
    let store: Arc<dyn ObjectStore> = Arc::new(Careless {
        inner: InMemory::new(),
        conditions,
    });
    let first = probe(store.as_ref(), limit).await;
    // What the first one left changes nothing.
    assert_eq!(first, probe(store.as_ref(), limit).await);
    first
}

#[tokio::test]
async fn what_a_store_does_with_conditions_is_found_out_by_trying() {
    let limit = Duration::from_secs(30);
    let abilities = probed(Conditions::Kept, limit).await.unwrap();
    assert!(abilities.conditional_replace);
    let abilities = probed(Conditions::ReplaceIgnored, limit).await.unwrap();
    assert!(!abilities.conditional_replace);
    let refused = probed(Conditions::Ignored, limit).await.unwrap_err();
    assert!(matches!(refused, StorageError::Invalid { .. }), "{refused}");
    let said = refused.to_string();
    assert!(
        said.contains("two processes could own the same shard"),
        "{said}"
    );
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_not_waited_for() {
    let limit = Duration::from_millis(20);
    let failed = probed(Conditions::Unanswered, limit).await.unwrap_err();
    assert!(
        matches!(failed, StorageError::Unavailable { .. }),
        "{failed}"
    );
}
