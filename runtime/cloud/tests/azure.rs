//! Shards on a real server that speaks the protocol of Azure Blob Storage: `scripts/with-store
//! azure cargo test -p silo-cloud --test azure`. The target is not among those that `cargo test`
//! runs by itself: it needs that server.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects)]

mod suite;

use silo_runtime::storage::cloud_config::{AzureConfig, StoreOptions};
use silo_runtime::storage::config::BackendConfig;
use uuid::Uuid;

fn fresh() -> BackendConfig {
    let server = std::env::var("SILO_TEST_AZURE").expect("run this by scripts/with-store azure");
    // The account and the key that every emulator has.
    let account = "devstoreaccount1";
    BackendConfig::Azure(AzureConfig {
        container: "silo-test".to_owned(),
        prefix: format!("test/{}", Uuid::new_v4().simple()),
        account: Some(account.to_owned()),
        endpoint: Some(format!("{server}/{account}")),
        allow_http: true,
        options: StoreOptions([("access_key".to_owned(), KEY.to_owned())].into()),
    })
}

const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

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
