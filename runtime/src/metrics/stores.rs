//! Requests to object stores: an object store that counts what goes through it.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::metrics::SECONDS;

/// Requests to object stores.
#[derive(Clone, Debug)]
pub struct StoreMetrics {
    requests: Family<Request, Counter>,
    took: Family<Kind, Histogram, fn() -> Histogram>,
    bytes: Family<Bytes, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    object: &'static str,
    kind: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    object: &'static str,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Bytes {
    object: &'static str,
    direction: &'static str,
}

impl Default for StoreMetrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            took: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            bytes: Family::default(),
        }
    }
}

impl StoreMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "store_requests",
            "Requests to object stores, by what they are for, kind and result",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "store_request",
            "Time until an object store answered",
            Unit::Seconds,
            self.took.clone(),
        );
        registry.register_with_unit(
            "store",
            "Bytes sent to and asked of object stores",
            Unit::Bytes,
            self.bytes.clone(),
        );
    }

    /// A store that counts what goes through it.
    pub(crate) fn counting(&self, inner: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
        Arc::new(Counting {
            inner,
            metrics: self.clone(),
        })
    }

    fn ended<T>(&self, of: Kind, began: Instant, answer: &Result<T>) {
        let Kind { object, kind } = of;
        let result = match answer {
            Ok(_) => "ok",
            Err(error) => name(error),
        };
        let request = Request {
            object,
            kind,
            result,
        };
        self.requests.get_or_create(&request).inc();
        let took = began.elapsed().as_secs_f64();
        self.took.get_or_create(&of).observe(took);
    }

    fn moved(&self, object: &'static str, direction: &'static str, bytes: usize) {
        let of = Bytes { object, direction };
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.bytes.get_or_create(&of).inc_by(bytes);
    }
}

/// Whether a store was asked at all. What it cannot do its client says by itself: SlateDB tries
/// every put with an attribute first, which files do not have.
const fn is_request<T>(answer: &Result<T>) -> bool {
    !matches!(
        answer,
        Err(Error::NotImplemented { .. } | Error::NotSupported { .. })
    )
}

/// What came of a request that went wrong. Much of this is how a store answers a question.
fn name(error: &Error) -> &'static str {
    match error {
        Error::NotFound { .. } => "not_found",
        Error::AlreadyExists { .. } => "already_exists",
        Error::Precondition { .. } => "precondition",
        Error::NotModified { .. } => "not_modified",
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => "denied",
        Error::Generic { .. }
        | Error::InvalidPath { .. }
        | Error::JoinError { .. }
        | Error::NotSupported { .. }
        | Error::NotImplemented { .. }
        | Error::UnknownConfigurationKey { .. }
        | _ => "failed",
    }
}

/// What is in none of SlateDB's folders, such as the catalog of shards.
const OTHER: &str = "other";

/// What an object, or a folder of them, is for: SlateDB keeps each kind in a folder of its own.
fn purpose(location: &Path) -> &'static str {
    let folder = |part| match part {
        "wal" => Some("wal"),
        "compacted" => Some("tables"),
        "manifest" => Some("manifest"),
        "compactions" => Some("compactions"),
        "gc" => Some("gc"),
        _ => None,
    };
    let mut parts = location.as_ref().rsplit('/').take(2);
    parts.find_map(folder).unwrap_or(OTHER)
}

#[derive(Debug)]
struct Counting {
    inner: Arc<dyn ObjectStore>,
    metrics: StoreMetrics,
}

impl Counting {
    async fn count<T>(
        &self,
        of: Kind,
        request: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let began = Instant::now();
        let answer = request.await;
        if is_request(&answer) {
            self.metrics.ended(of, began, &answer);
        }
        answer
    }

    fn list_of(&self, prefix: Option<&Path>) -> Kind {
        Kind {
            object: prefix.map_or(OTHER, purpose),
            kind: "list",
        }
    }

    /// Counts a stream once, when it has ended, failed, or nobody wants the rest.
    fn count_stream<T: Send + 'static>(
        &self,
        of: Kind,
        stream: BoxStream<'static, Result<T>>,
    ) -> BoxStream<'static, Result<T>> {
        let counted = Counted {
            metrics: self.metrics.clone(),
            of,
            began: Instant::now(),
            failure: None,
        };
        stream
            .scan(counted, |counted, item| {
                if let Err(error) = &item {
                    counted.failure.get_or_insert(name(error));
                }
                std::future::ready(Some(item))
            })
            .boxed()
    }
}

/// A stream that is being read.
struct Counted {
    metrics: StoreMetrics,
    of: Kind,
    began: Instant,
    failure: Option<&'static str>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Kind { object, kind } = self.of;
        let result = self.failure.unwrap_or("ok");
        let request = Request {
            object,
            kind,
            result,
        };
        self.metrics.requests.get_or_create(&request).inc();
        let took = self.began.elapsed().as_secs_f64();
        self.metrics.took.get_or_create(&self.of).observe(took);
    }
}

impl fmt::Display for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait::async_trait]
impl ObjectStore for Counting {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let (object, kind) = (purpose(location), "put");
        let length = payload.content_length();
        let put = self.inner.put_opts(location, payload, options);
        let answer = self.count(Kind { object, kind }, put).await;
        if is_request(&answer) {
            self.metrics.moved(object, "sent", length);
        }
        answer
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let (object, kind) = (purpose(location), "put_multipart");
        let begin = self.inner.put_multipart_opts(location, options);
        let upload = self.count(Kind { object, kind }, begin).await?;
        Ok(Box::new(Parts {
            inner: upload,
            metrics: self.metrics.clone(),
            object,
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let kind = if options.head { "head" } else { "get" };
        let object = purpose(location);
        let get = self.inner.get_opts(location, options);
        let got = self.count(Kind { object, kind }, get).await?;
        if kind == "get" {
            let bytes = got.range.end.saturating_sub(got.range.start);
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            self.metrics.moved(object, "received", bytes);
        }
        Ok(got)
    }

    async fn get_ranges(
        &self,
        location: &Path,
        ranges: &[std::ops::Range<u64>],
    ) -> Result<Vec<bytes::Bytes>> {
        let (object, kind) = (purpose(location), "get");
        let get = self.inner.get_ranges(location, ranges);
        let got = self.count(Kind { object, kind }, get).await?;
        let bytes = got.iter().map(bytes::Bytes::len);
        let bytes = bytes.fold(0, usize::saturating_add);
        self.metrics.moved(object, "received", bytes);
        Ok(got)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (metrics, began) = (self.metrics.clone(), Instant::now());
        let deleted = self.inner.delete_stream(locations);
        let deleted = deleted.inspect(move |deleted| {
            let object = deleted.as_ref().map_or(OTHER, purpose);
            let kind = "delete";
            metrics.ended(Kind { object, kind }, began, deleted);
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.count_stream(self.list_of(prefix), self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let list = self.inner.list_with_offset(prefix, offset);
        self.count_stream(self.list_of(prefix), list)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let list = self.inner.list_with_delimiter(prefix);
        self.count(self.list_of(prefix), list).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let of = Kind {
            object: purpose(to),
            kind: "copy",
        };
        let copy = self.inner.copy_opts(from, to, options);
        self.count(of, copy).await
    }
}

/// An upload in parts.
#[derive(Debug)]
struct Parts {
    inner: Box<dyn MultipartUpload>,
    metrics: StoreMetrics,
    object: &'static str,
}

impl Parts {
    const fn of(&self, kind: &'static str) -> Kind {
        let object = self.object;
        Kind { object, kind }
    }
}

#[async_trait::async_trait]
impl MultipartUpload for Parts {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.metrics
            .moved(self.object, "sent", data.content_length());
        let (metrics, of) = (self.metrics.clone(), self.of("put_part"));
        let began = Instant::now();
        let put = self.inner.put_part(data);
        Box::pin(async move {
            let answer = put.await;
            metrics.ended(of, began, &answer);
            answer
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let began = Instant::now();
        let answer = self.inner.complete().await;
        self.metrics
            .ended(self.of("complete_multipart"), began, &answer);
        answer
    }

    async fn abort(&mut self) -> Result<()> {
        let began = Instant::now();
        let answer = self.inner.abort().await;
        self.metrics
            .ended(self.of("abort_multipart"), began, &answer);
        answer
    }
}
