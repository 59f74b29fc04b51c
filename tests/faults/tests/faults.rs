//! What the faulty store does to requests, and to which.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects)]

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, TryStreamExt as _};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, WriteMultipart};
use silo_test_faults::fault::{Fault, Operation, Requests, Trouble};
use silo_test_faults::store::FaultyStore;
use tokio::time::Instant;

fn faulty() -> (Arc<InMemory>, Arc<FaultyStore>) {
    let inner = Arc::new(InMemory::new());
    let store = FaultyStore::new(inner.clone());
    (inner, store)
}

fn path(name: &str) -> Path {
    Path::from(name)
}

async fn has(store: &InMemory, name: &str) -> bool {
    store.head(&path(name)).await.is_ok()
}

#[silo::test]
async fn a_request_that_fails_is_not_done() {
    let (inner, store) = faulty();
    for trouble in [
        Trouble::Generic,
        Trouble::Throttled,
        Trouble::Denied,
        Trouble::TimedOut,
        Trouble::DiskFull,
    ] {
        let fault = store.inject(Fault::Fails(trouble), Requests::all());
        store.put(&path("a"), "1".into()).await.unwrap_err();
        store.get(&path("a")).await.unwrap_err();
        store.delete(&path("a")).await.unwrap_err();
        store.copy(&path("a"), &path("b")).await.unwrap_err();
        let listed = store.list(None).try_collect::<Vec<_>>().await;
        assert!(!matches!(listed, Ok(_) | Err(Error::NotFound { .. })));
        store.list_with_delimiter(None).await.unwrap_err();
        assert_eq!(fault.hits(), 6);
    }
    assert!(!has(&inner, "a").await);
    store.put(&path("a"), "1".into()).await.unwrap();
    assert!(has(&inner, "a").await, "the faults are over");
}

#[silo::test]
async fn a_request_whose_answer_is_lost_is_done() {
    let (inner, store) = faulty();
    let lost = Requests::of([Operation::Put, Operation::Delete]).times(2);
    let fault = store.inject(Fault::LosesAnswer(Trouble::TimedOut), lost);
    store.put(&path("a"), "1".into()).await.unwrap_err();
    assert!(has(&inner, "a").await);
    store.delete(&path("a")).await.unwrap_err();
    assert!(!has(&inner, "a").await);
    store.put(&path("a"), "1".into()).await.unwrap();
    assert_eq!(fault.hits(), 2);
}

#[silo::test(start_paused = true)]
async fn a_request_waits_or_is_never_answered() {
    let (inner, store) = faulty();
    let fault = store.inject(Fault::Waits, Requests::all().within("slow"));
    let (slow, quick) = (path("x/slow/y"), path("quick"));
    let mut put = Box::pin(store.put(&slow, "1".into()));
    assert!(put.as_mut().now_or_never().is_none());
    fault.struck(1).await;
    store.put(&quick, "1".into()).await.unwrap();
    fault.end();
    put.await.unwrap();
    assert!(has(&inner, "x/slow/y").await);

    let fault = store.inject(Fault::Hangs, Requests::all());
    let mut get = Box::pin(store.get(&quick));
    assert!(get.as_mut().now_or_never().is_none());
    fault.end();
    assert!(get.now_or_never().is_none());

    let delay = Duration::from_secs(3600);
    let _fault = store.inject(Fault::Delays(delay), Requests::all());
    let began = Instant::now();
    store.get(&quick).await.unwrap();
    assert!(began.elapsed() >= delay);
}

#[silo::test]
async fn some_requests_fail_by_chance() {
    let (_, store) = faulty();
    let some = Requests::of([Operation::Put]).per_mille(300);
    let fault = store.inject(Fault::Fails(Trouble::Throttled), some);
    let mut failed = 0;
    for _ in 0..1000 {
        failed += u64::from(store.put(&path("a"), "1".into()).await.is_err());
    }
    assert_eq!(fault.hits(), failed);
    assert!((200..=400).contains(&failed), "{failed}");
}

#[silo::test]
async fn objects_in_parts_fail_as_well() {
    let (inner, store) = faulty();
    let upload = store.put_multipart(&path("a")).await.unwrap();
    let mut upload = WriteMultipart::new_with_chunk_size(upload, 10);
    upload.write(&[7; 25]);
    let fault = store.inject(Fault::Fails(Trouble::DiskFull), Requests::all().times(1));
    upload.finish().await.unwrap_err();
    assert_eq!(fault.hits(), 1);
    assert!(!has(&inner, "a").await);
}
