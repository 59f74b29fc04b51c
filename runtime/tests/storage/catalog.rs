use std::num::NonZeroU32;

use futures::future::join_all;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode, PutOptions, PutPayload};
use silo_runtime::storage::backend::Storage;
use silo_runtime::storage::catalog::{SHARDS_MAX, ShardCatalog};
use silo_runtime::storage::error::StorageError;
use silo_runtime::storage::range::HashRange;
use tempfile::tempdir;

use crate::support::{catalog, files, impatient, memory, objects_below, open, put, value};

const FIRST: &str = "catalog/00000000000000000001.json";

async fn opened(storage: &Storage) -> Result<ShardCatalog, StorageError> {
    ShardCatalog::open(storage, NonZeroU32::MIN, 1_000).await
}

async fn store_catalog(storage: &Storage, json: &str) {
    let payload = PutPayload::from(json.to_owned());
    let path = Path::from(FIRST);
    let stored = storage.object_store().put(&path, payload).await;
    stored.unwrap();
}

#[tokio::test]
async fn a_restart_finds_the_same_shards_whatever_is_configured() {
    let directory = tempdir().unwrap();
    let config = impatient(files(&directory));
    let created = catalog(&Storage::open(&config).await.unwrap(), 3).await;
    assert_eq!(created.shards().len(), 3);
    assert!(HashRange::is_partition(
        created.shards().iter().map(|shard| &shard.range)
    ));

    let restarted = Storage::open(&config).await.unwrap();
    assert_eq!(catalog(&restarted, 3).await, created);
    assert_eq!(catalog(&restarted, 8).await, created);
}

#[tokio::test]
async fn every_hash_has_one_owner() {
    let catalog = catalog(&memory().await, 4).await;
    for (index, shard) in catalog.shards().iter().enumerate() {
        assert_eq!(catalog.owner_of(shard.range.start()), Some(shard));
        let last = shard.range.end().map_or(u64::MAX, |end| end - 1);
        assert_eq!(catalog.owner_of(last), Some(&catalog.shards()[index]));
    }
}

#[tokio::test]
async fn all_who_create_it_at_once_get_the_same() {
    let directory = tempdir().unwrap();
    let on_files = Storage::open(&impatient(files(&directory))).await.unwrap();
    for storage in [memory().await, on_files] {
        let catalogs = join_all((1..=8).map(|shards| catalog(&storage, shards))).await;
        assert!(catalogs.iter().all(|catalog| *catalog == catalogs[0]));
        assert_eq!(objects_below(&storage, "catalog").await, 1);
    }
}

#[tokio::test]
async fn a_catalogued_shard_without_a_database_is_created_at_open() {
    let storage = memory().await;
    let catalog = catalog(&storage, 2).await;
    assert_eq!(objects_below(&storage, "shards").await, 0);
    let store = open(&storage, &catalog.shards()[1]).await;
    store.write(put("k", "v")).await.unwrap();
    store.close().await.unwrap();
    assert!(objects_below(&storage, &catalog.shards()[1].path).await > 0);
    assert_eq!(objects_below(&storage, &catalog.shards()[0].path).await, 0);
}

#[tokio::test]
async fn a_newer_format_is_refused_and_left_alone() {
    let storage = memory().await;
    store_catalog(&storage, r#"{"format_version": 3, "galaxies": []}"#).await;
    let refused = opened(&storage).await.unwrap_err();
    let what = "the shard catalog";
    let (found, supported) = (3, 2);
    assert_eq!(
        refused,
        StorageError::NewerFormat {
            what,
            found,
            supported
        }
    );
    assert_eq!(objects_below(&storage, "catalog").await, 1);
    let said = refused.to_string();
    assert!(said.contains("the shard catalog has format 3"), "{said}");
    assert!(said.contains("reads the formats 1 to 2"), "{said}");
}

#[tokio::test]
async fn an_older_format_is_read_and_the_next_version_is_of_the_newest() {
    let storage = memory().await;
    let shard = r#""shard_id": "6f2d6c1e-52a8-4f8e-9d5e-1b7b0a8c9d10", "path": "p""#;
    let json = format!(
        r#"{{"format_version": 1, "shards": [{{{shard}, "created_at_ms": 1,
            "range_start": "", "range_end": ""}}]}}"#
    );
    store_catalog(&storage, &json).await;
    let catalog = opened(&storage).await.unwrap();
    assert_eq!(catalog.shards()[0].path, "p");
    catalog.reset(&storage, 2_000).await.unwrap();
    let next = Path::from("catalog/00000000000000000002.json");
    let next = storage.object_store().get(&next).await.unwrap();
    let next = next.bytes().await.unwrap();
    let next: serde_json::Value = serde_json::from_slice(&next).unwrap();
    assert_eq!(next["format_version"], 2);
}

#[tokio::test]
async fn a_catalog_that_makes_no_sense_is_refused() {
    let shard = r#""shard_id": "6f2d6c1e-52a8-4f8e-9d5e-1b7b0a8c9d10", "path": "p""#;
    let with_range = |start: &str, end: &str| {
        format!(
            r#"{{"format_version": 1, "shards": [{{{shard}, "created_at_ms": 1,
                "range_start": "{start}", "range_end": "{end}"}}]}}"#
        )
    };
    for (json, sound) in [
        ("not json".to_owned(), false),
        (r#"{"format_version": 1, "shards": []}"#.to_owned(), false),
        (with_range("", "8000000000000000"), false),
        (with_range("zz", ""), false),
        (with_range("", ""), true),
    ] {
        let storage = memory().await;
        store_catalog(&storage, &json).await;
        match opened(&storage).await {
            Ok(_) => assert!(sound, "{json}"),
            Err(error) => {
                assert!(!sound, "{error} for {json}");
                assert!(matches!(error, StorageError::Invalid { .. }), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn too_many_shards_are_refused() {
    let storage = memory().await;
    let count = NonZeroU32::new(SHARDS_MAX + 1).unwrap();
    let refused = ShardCatalog::open(&storage, count, 1_000).await;
    assert!(matches!(refused, Err(StorageError::Invalid { .. })));
    assert_eq!(objects_below(&storage, "catalog").await, 0);
}

#[tokio::test]
async fn a_reset_empties_the_shards_and_keeps_who_they_are() {
    let directory = tempdir().unwrap();
    let config = impatient(files(&directory));
    let storage = Storage::open(&config).await.unwrap();
    let before = catalog(&storage, 2).await;
    let store = open(&storage, &before.shards()[0]).await;
    store.write(put("k", "v")).await.unwrap();
    store.close().await.unwrap();

    let after = before.clone().reset(&storage, 2_000).await.unwrap();
    for (old, new) in before.shards().iter().zip(after.shards()) {
        assert_eq!((old.shard_id, old.range), (new.shard_id, new.range));
        assert_ne!(old.path, new.path);
        assert_eq!(new.created_at_ms, 2_000);
        assert_eq!(objects_below(&storage, &old.path).await, 0);
    }
    let emptied = open(&storage, &after.shards()[0]).await;
    assert_eq!(value(&emptied, "k").await, None);
    emptied.write(put("k", "new")).await.unwrap();
    emptied.close().await.unwrap();

    let restarted = Storage::open(&config).await.unwrap();
    let found = catalog(&restarted, 2).await;
    assert_eq!(found, after);
    let store = open(&restarted, &found.shards()[0]).await;
    assert_eq!(value(&store, "k").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn resets_at_once_both_take_effect_one_after_the_other() {
    let storage = memory().await;
    let created = catalog(&storage, 2).await;
    let (one, other) = tokio::join!(
        created.clone().reset(&storage, 2_000),
        created.clone().reset(&storage, 3_000)
    );
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_ne!(one, other);
    let newest = catalog(&storage, 2).await;
    assert!(newest == one || newest == other);
    assert_eq!(objects_below(&storage, "catalog").await, 3);
}

#[tokio::test]
async fn once_settled_no_late_reset_changes_the_catalog() {
    let storage = memory().await;
    let before = catalog(&storage, 2).await;
    let settled = before.clone().settle(&storage).await.unwrap();
    assert_eq!(settled.shards(), before.shards());
    // The request of a reset that was given up arrives.
    let late = Path::from("catalog/00000000000000000002.json");
    let options = PutOptions::from(PutMode::Create);
    let put = storage
        .object_store()
        .put_opts(&late, PutPayload::from("late"), options)
        .await;
    assert!(matches!(
        put,
        Err(object_store::Error::AlreadyExists { .. })
    ));
    assert_eq!(catalog(&storage, 2).await, settled);

    let renewed = before.clone().reset(&storage, 2_000).await.unwrap();
    let found = before.clone().settle(&storage).await.unwrap();
    assert_eq!(found.shards(), renewed.shards());
    for shard in before.shards() {
        assert_eq!(objects_below(&storage, &shard.path).await, 0);
    }
}
