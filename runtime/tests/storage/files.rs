//! Local files: replacing an object on condition that it has not changed.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use object_store::path::Path;
use object_store::{
    Error, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, PutResult,
    UpdateVersion,
};
use silo_runtime::storage::backend::StoreAbilities;
use silo_runtime::storage::config::BackendConfig;
use silo_runtime::storage::stores::{open_local, probe};
use tempfile::{TempDir, tempdir};
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(30);

/// A store as each process opens it.
async fn opened(directory: &TempDir) -> Arc<dyn ObjectStore> {
    let backend = BackendConfig::Fs {
        path: directory.path().join("data"),
        fsync: false,
    };
    open_local(&backend).await.unwrap().store
}

async fn read(store: &dyn ObjectStore, path: &Path) -> (UpdateVersion, u32) {
    let found = store.get(path).await.unwrap();
    let version = UpdateVersion {
        e_tag: found.meta.e_tag.clone(),
        version: None,
    };
    let bytes = found.bytes().await.unwrap();
    let text = std::str::from_utf8(&bytes).unwrap();
    (version, text.parse().unwrap())
}

async fn replace(
    store: &dyn ObjectStore,
    path: &Path,
    version: UpdateVersion,
    number: u32,
) -> Result<PutResult, Error> {
    let options = PutOptions::from(PutMode::Update(version));
    let payload = PutPayload::from(number.to_string());
    store.put_opts(path, payload, options).await
}

#[tokio::test]
async fn an_object_is_replaced_only_as_it_was_read() {
    let directory = tempdir().unwrap();
    let (store, path) = (opened(&directory).await, Path::from("a/number"));
    store.put(&path, PutPayload::from("1")).await.unwrap();
    let (first, _) = read(&*store, &path).await;
    let put = replace(&*store, &path, first.clone(), 2).await.unwrap();
    let (second, number) = read(&*store, &path).await;
    assert_eq!(number, 2);
    assert_eq!(put.e_tag, second.e_tag, "whoever replaced it may go on");
    let late = replace(&*store, &path, first, 3).await;
    assert!(matches!(late, Err(Error::Precondition { .. })), "{late:?}");
    assert_eq!(read(&*store, &path).await.1, 2);
    let elsewhere = replace(&*store, &Path::from("a/other"), second, 3).await;
    assert!(
        matches!(elsewhere, Err(Error::Precondition { .. })),
        "{elsewhere:?}"
    );
}

#[tokio::test]
async fn a_store_of_files_keeps_to_every_condition() {
    let directory = tempdir().unwrap();
    let abilities = probe(&*opened(&directory).await, LIMIT).await.unwrap();
    let able = StoreAbilities {
        conditional_replace: true,
    };
    assert_eq!(abilities, able);
}

#[tokio::test]
async fn no_replacement_is_lost_among_many_at_once() {
    const WRITERS: u32 = 8;
    const EACH: u32 = 10;
    let directory = tempdir().unwrap();
    let path = Path::from("number");
    let store = opened(&directory).await;
    store.put(&path, PutPayload::from("0")).await.unwrap();
    // Each has a store of its own, as processes have.
    let writers = (0..WRITERS).map(|_| async {
        let store = opened(&directory).await;
        let mut done = 0;
        while done < EACH {
            let (version, number) = read(&*store, &path).await;
            match replace(&*store, &path, version, number + 1).await {
                Ok(_) => done += 1,
                Err(Error::Precondition { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    });
    timeout(LIMIT, join_all(writers)).await.unwrap();
    assert_eq!(read(&*store, &path).await.1, WRITERS * EACH);
}

#[tokio::test]
async fn whoever_holds_the_lock_delays_replacements_and_nothing_else_and_not_for_ever() {
    let directory = tempdir().unwrap();
    let (store, path) = (opened(&directory).await, Path::from("number"));
    store.put(&path, PutPayload::from("1")).await.unwrap();
    let (version, _) = read(&*store, &path).await;
    let stopped = File::open(directory.path().join("data/replace.lock")).unwrap();
    stopped.lock().unwrap();
    let refused = timeout(LIMIT, replace(&*store, &path, version.clone(), 2)).await;
    let refused = refused.unwrap().unwrap_err().to_string();
    assert!(refused.contains("locked by another process"), "{refused}");
    store
        .put(&Path::from("other"), PutPayload::from("1"))
        .await
        .unwrap();
    assert_eq!(read(&*store, &path).await.1, 1);
    drop(stopped);
    replace(&*store, &path, version, 2).await.unwrap();
}
