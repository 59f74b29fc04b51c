//! Data of other releases: newer formats are refused and left alone, older ones are read and
//! written anew, so that the release that wrote them refuses them afterwards.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects)]

mod common;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutPayload};
use silo_core::shard::reply::Reply;
use silo_core::table::Table as _;
use silo_core::table::codec::encode;
use silo_core::table::singleton::{FORMAT_VERSION, Format, FormatRow, format_key};
use silo_core::types::time::Timestamp;
use silo_runtime::executor::shard::{Shard, ShardState};
use silo_runtime::storage::backend::Storage;
use silo_runtime::storage::clock::SystemWallClock;
use silo_runtime::storage::config::BackendConfig;
use silo_runtime::storage::error::StorageError;
use silo_runtime::storage::shard::ShardStore;

use crate::common::disk::{entry, impatient, memory, open, reaches, start, within};
use crate::common::say;

const NEWER: u32 = FORMAT_VERSION + 1;
const CREATED: Timestamp = Timestamp::from_millis(7);

/// Real files and memory.
async fn storages() -> [(Storage, Option<tempfile::TempDir>); 2] {
    let directory = tempfile::tempdir().unwrap();
    let files = BackendConfig::Fs {
        path: directory.path().join("data"),
        fsync: true,
    };
    let on_files = Storage::open(&impatient(files)).await.unwrap();
    [(memory().await, None), (on_files, Some(directory))]
}

/// The shard's database, in the hands of the test.
async fn bare(storage: &Storage) -> ShardStore {
    let clock = std::sync::Arc::new(SystemWallClock::default());
    ShardStore::open(storage, &entry(storage).await, clock)
        .await
        .unwrap()
}

/// Data with one job in it, as a release with this format left it.
async fn data_of(storage: &Storage, version: u32, noted: &str) {
    let shard = open(storage).await;
    let reply = within(shard.call(say::enqueue(say::plain(&say::job("t", "one"))))).await;
    reply.unwrap();
    shard.close().await;
    let row = FormatRow {
        version,
        created_at: CREATED,
    };
    let store = bare(storage).await;
    store
        .write(vec![(format_key(), Some(encode(&row)))])
        .await
        .unwrap();
    store.close().await.unwrap();
    note(storage, noted).await;
}

async fn note(storage: &Storage, noted: &str) {
    let mark = mark_of(storage).await;
    let payload = PutPayload::from(noted.to_owned());
    storage.object_store().put(&mark, payload).await.unwrap();
}

async fn mark_of(storage: &Storage) -> Path {
    Path::from(format!("created/{}", entry(storage).await.path))
}

async fn noted(storage: &Storage) -> Bytes {
    let mark = storage.object_store().get(&mark_of(storage).await).await;
    mark.unwrap().bytes().await.unwrap()
}

async fn stored_row(storage: &Storage) -> FormatRow {
    let store = bare(storage).await;
    let row = store.get(&format_key()).await.unwrap().unwrap();
    store.close().await.unwrap();
    Format::read_row(&row).unwrap()
}

async fn settles(shard: &Shard) -> ShardState {
    reaches(shard, |state| *state != ShardState::Opening).await
}

async fn is_refused(storage: &Storage) -> StorageError {
    let shard = start(storage).await;
    let ShardState::Broken(cause) = settles(&shard).await else {
        panic!("{:?}", settles(&shard).await);
    };
    shard.close().await;
    cause
}

#[silo::test]
async fn newer_rows_are_refused_with_words_that_help() {
    for (storage, _directory) in storages().await {
        data_of(&storage, NEWER, "").await;
        let cause = is_refused(&storage).await;
        assert_eq!(
            cause,
            StorageError::NewerFormat {
                what: "the shard's data",
                found: NEWER.into(),
                supported: FORMAT_VERSION.into(),
            }
        );
        let said = cause.to_string();
        for part in [
            format!("the shard's data has format {NEWER}"),
            format!("this release ({})", env!("CARGO_PKG_VERSION")),
            format!("reads the formats 1 to {FORMAT_VERSION}"),
            "start the release that was used last, or any later one".to_owned(),
        ] {
            assert!(said.contains(&part), "{said} does not say: {part}");
        }
        let expected = FormatRow {
            version: NEWER,
            created_at: CREATED,
        };
        assert_eq!(stored_row(&storage).await, expected, "left as it was");
        assert!(noted(&storage).await.is_empty(), "left as it was");
    }
}

#[silo::test]
async fn newer_rows_that_the_mark_tells_of_are_refused_before_their_owner_is_fenced() {
    for (storage, _directory) in storages().await {
        data_of(&storage, NEWER, &NEWER.to_string()).await;
        let owner = bare(&storage).await;
        let cause = is_refused(&storage).await;
        assert!(matches!(cause, StorageError::NewerFormat { .. }), "{cause}");
        owner.prove_ownership().await.unwrap();
        owner.close().await.unwrap();
    }
}

#[silo::test]
async fn older_rows_are_read_and_say_the_new_format_before_the_shard_answers() {
    // As releases wrote it that did not note the format, and as later ones did.
    for noted_before in ["", "1"] {
        for (storage, _directory) in storages().await {
            data_of(&storage, 1, noted_before).await;
            let shard = start(&storage).await;
            assert_eq!(settles(&shard).await, ShardState::Open);
            let key = say::job("t", "one");
            let found = within(shard.call(say::get(&key, false))).await.unwrap();
            assert!(!matches!(found, Reply::Refused(_)), "{found:?}");
            shard.close().await;
            let expected = FormatRow {
                version: FORMAT_VERSION,
                created_at: CREATED,
            };
            assert_eq!(stored_row(&storage).await, expected);
            // Data that already had the newest format is left alone, as nothing is to be said.
            if FORMAT_VERSION > 1 {
                assert_eq!(noted(&storage).await, FORMAT_VERSION.to_string());
            }
        }
    }
}

#[silo::test]
async fn new_data_says_its_format_in_its_row_and_in_its_mark() {
    for (storage, _directory) in storages().await {
        open(&storage).await.close().await;
        assert_eq!(stored_row(&storage).await.version, FORMAT_VERSION);
        assert_eq!(noted(&storage).await, FORMAT_VERSION.to_string());
    }
}

#[silo::test]
async fn formats_that_never_were_are_refused() {
    for (storage, _directory) in storages().await {
        data_of(&storage, 0, "").await;
        let cause = is_refused(&storage).await;
        assert!(matches!(cause, StorageError::Invalid { .. }), "{cause}");
        note(&storage, "many").await;
        let cause = is_refused(&storage).await;
        assert!(matches!(cause, StorageError::Invalid { .. }), "{cause}");
    }
}
