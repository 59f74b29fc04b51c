use std::collections::BTreeSet;

use silo_runtime::storage::backend::Storage;
use silo_runtime::storage::config::BackendConfig;
use silo_runtime::storage::error::StorageError;
use silo_runtime::storage::layout::Layout;
use tempfile::tempdir;

use crate::support::{catalog, impatient, open, put, value};

fn split(path: &str) -> (String, Option<String>) {
    let (shared, layout) = Layout::split(path).unwrap();
    (shared.to_owned(), layout.map(|layout| layout.to_string()))
}

#[test]
fn what_comes_before_the_placeholder_is_shared() {
    let no_layout = |path: &str| (path.to_owned(), None);
    for plain in ["/srv/silo", "silo-data", "", "/", "a%20b"] {
        assert_eq!(split(plain), no_layout(plain));
    }
    for (path, shared, layout) in [
        ("/srv/silo/%shard%", "/srv/silo", "%shard%"),
        ("/srv/silo/%shard%/", "/srv/silo", "%shard%"),
        ("/srv/a-%shard%-b/rows", "/srv", "a-%shard%-b/rows"),
        ("/%shard%", "/", "%shard%"),
        ("%shard%/x/%shard%", "", "%shard%/x/%shard%"),
        ("s3://bucket/x/%shard%", "s3://bucket/x", "%shard%"),
    ] {
        assert_eq!(split(path), (shared.to_owned(), Some(layout.to_owned())));
    }
}

#[test]
fn what_would_give_two_shards_one_path_is_refused() {
    for path in [
        "/srv/%shards%",
        "/srv/%Shard%",
        "/srv/%shard",
        "/srv/%tenant%/%shard%",
        "/srv/100%",
        "/srv/%shard%/../x",
        "/srv/%shard%//x",
        "/srv/%shard%/./x",
    ] {
        assert!(Layout::split(path).is_err(), "{path}");
    }
}

fn on_files(path: std::path::PathBuf) -> silo_runtime::storage::config::StorageConfig {
    impatient(BackendConfig::Fs { path, fsync: true })
}

#[tokio::test]
async fn shards_lie_where_the_template_says_and_the_catalog_is_found_without_it() {
    let directory = tempdir().unwrap();
    let root = directory.path().join("data");
    let config = on_files(root.join("s-%shard%").join("rows"));
    let storage = Storage::open(&config).await.unwrap();
    let created = catalog(&storage, 4).await;
    let paths: BTreeSet<_> = created.shards().iter().map(|shard| &shard.path).collect();
    assert_eq!(paths.len(), 4);
    let shard = &created.shards()[0];
    let store = open(&storage, shard).await;
    store.write(put("a", "1")).await.unwrap();
    store.close().await.unwrap();
    let below = format!("s-{}/rows", shard.shard_id);
    assert!(shard.path.starts_with(&below), "{}", shard.path);
    assert!(root.join(&shard.path).join("manifest").is_dir());

    // Another template below the same folder: what is there stays where it is, and is found.
    let config = on_files(root.join("%shard%"));
    let storage = Storage::open(&config).await.unwrap();
    let found = catalog(&storage, 4).await;
    assert_eq!(found, created);
    let store = open(&storage, &found.shards()[0]).await;
    assert_eq!(value(&store, "a").await.as_deref(), Some("1"));
    store.close().await.unwrap();
    let renewed = found.reset(&storage, 2).await.unwrap();
    for shard in renewed.shards() {
        let place = format!("{}/", shard.shard_id);
        assert!(shard.path.starts_with(&place), "{}", shard.path);
    }
}

#[tokio::test]
async fn a_template_that_cannot_be_understood_is_refused_before_anything_is_created() {
    let directory = tempdir().unwrap();
    let config = on_files(directory.path().join("data").join("%shards%"));
    let refused = Storage::open(&config).await.unwrap_err();
    assert!(matches!(refused, StorageError::Invalid { .. }), "{refused}");
    assert!(refused.to_string().contains("%shards%"), "{refused}");
    assert!(!directory.path().join("data").exists());
}
