//! Shards on a real S3 endpoint, over real HTTP: `scripts/with-store s3 cargo test -p silo-cloud
//! --test s3`. The target is not among those that `cargo test` runs by itself: it needs that
//! endpoint.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects)]

mod suite;

use silo_cloud::open::open;
use silo_runtime::storage::cloud_config::{S3Config, StoreOptions, UrlConfig};
use silo_runtime::storage::config::{BackendConfig, StorageConfig};
use silo_runtime::storage::error::StorageError;
use uuid::Uuid;

use crate::suite::{catalog, config, first_shard, nothing, objects, opened, put, value};

const BUCKET: &str = "silo-test";

fn endpoint() -> String {
    std::env::var("SILO_TEST_S3").expect("run this by scripts/with-store s3")
}

fn options(more: &[(&str, &str)]) -> StoreOptions {
    let credentials = [("access_key_id", "test"), ("secret_access_key", "test")];
    let all = credentials.iter().chain(more);
    StoreOptions(
        all.map(|(name, value)| ((*name).into(), (*value).into()))
            .collect(),
    )
}

/// A place in the bucket that nothing else uses.
fn place() -> S3Config {
    S3Config {
        bucket: BUCKET.to_owned(),
        prefix: format!("test/{}", Uuid::new_v4().simple()),
        region: None,
        endpoint: Some(endpoint()),
        allow_http: true,
        options: options(&[]),
    }
}

fn fresh() -> BackendConfig {
    BackendConfig::S3(place())
}

#[silo::test]
async fn what_was_flushed_survives_a_crash() {
    suite::what_was_flushed_survives_a_crash(fresh).await;
}

#[silo::test]
async fn a_second_process_fences_the_first_which_can_add_nothing() {
    suite::a_second_process_fences_the_first_which_can_add_nothing(fresh).await;
}

#[silo::test]
async fn all_who_create_the_catalog_at_once_get_the_same() {
    suite::all_who_create_the_catalog_at_once_get_the_same(fresh).await;
}

#[silo::test]
async fn logs_in_a_store_of_their_own_are_read_and_deleted_with_the_rest() {
    suite::logs_in_a_store_of_their_own_are_read_and_deleted_with_the_rest(fresh).await;
}

#[silo::test]
async fn garbage_is_collected_behind_a_boundary() {
    suite::garbage_is_collected_behind_a_boundary(fresh).await;
}

#[silo::test]
async fn shards_lie_where_the_prefix_says_and_the_catalog_beside_them() {
    let mut s3 = place();
    let root = s3.prefix.clone();
    s3.prefix = format!("{root}/by-shard/{}-x/rows", "%shard%");
    let storage = opened(&config(BackendConfig::S3(s3))).await;
    let id = catalog(&storage, 1).await.shards()[0].shard_id;
    let store = first_shard(&storage).await;
    put(&store, "a", "1").await.unwrap();
    store.close().await.unwrap();
    let found = objects(storage.object_store().as_ref()).await;
    assert!(
        found.iter().any(|path| path.starts_with("catalog/")),
        "{found:?}"
    );
    let place = format!("{id}-x/rows/");
    assert!(
        found.iter().any(|path| path.starts_with(&place)),
        "{found:?}"
    );

    // The same by its URL, which also finds what is there.
    let url = format!("s3://{BUCKET}/{root}/by-shard/%shard%-x/rows");
    let options = options(&[("endpoint", &endpoint()), ("allow_http", "true")]);
    let by_url = BackendConfig::Url(UrlConfig { url, options });
    let store = first_shard(&opened(&StorageConfig::new(by_url)).await).await;
    assert_eq!(value(&store, "a").await.unwrap(), "1");
    store.close().await.unwrap();
}

#[silo::test]
async fn conditional_writes_that_are_switched_off_are_refused() {
    let mut s3 = place();
    s3.options
        .0
        .insert("conditional_put".to_owned(), "disabled".to_owned());
    let refused = open(&config(BackendConfig::S3(s3)), &nothing())
        .await
        .unwrap_err();
    assert!(matches!(refused, StorageError::Invalid { .. }), "{refused}");
    assert!(
        refused.to_string().contains("no conditional writes"),
        "{refused}"
    );
}

#[silo::test]
async fn a_bucket_that_does_not_exist_is_named() {
    let s3 = S3Config {
        bucket: "nowhere".to_owned(),
        ..place()
    };
    let failed = open(&config(BackendConfig::S3(s3)), &nothing())
        .await
        .unwrap_err();
    assert!(
        matches!(failed, StorageError::Unavailable { .. }),
        "{failed}"
    );
    assert!(failed.to_string().contains("NoSuchBucket"), "{failed}");
}
