//! What must hold on every store, on local files.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets the unexpected should stop there"
)]

mod suite;

use silo_runtime::storage::config::BackendConfig;
use tempfile::{TempDir, tempdir};

/// A new folder each time it is asked for, below one that goes with the test.
fn fresh(home: &TempDir) -> impl Fn() -> BackendConfig {
    move || BackendConfig::Fs {
        path: tempfile::Builder::new()
            .disable_cleanup(true)
            .tempdir_in(home)
            .unwrap()
            .path()
            .to_owned(),
        fsync: false,
    }
}

#[tokio::test]
async fn what_was_flushed_survives_a_crash() {
    let home = tempdir().unwrap();
    suite::what_was_flushed_survives_a_crash(fresh(&home)).await;
}

#[tokio::test]
async fn a_second_process_fences_the_first_which_can_add_nothing() {
    let home = tempdir().unwrap();
    suite::a_second_process_fences_the_first_which_can_add_nothing(fresh(&home)).await;
}

#[tokio::test]
async fn all_who_create_the_catalog_at_once_get_the_same() {
    let home = tempdir().unwrap();
    suite::all_who_create_the_catalog_at_once_get_the_same(fresh(&home)).await;
}

#[tokio::test]
async fn logs_in_a_store_of_their_own_are_read_and_deleted_with_the_rest() {
    let home = tempdir().unwrap();
    suite::logs_in_a_store_of_their_own_are_read_and_deleted_with_the_rest(fresh(&home)).await;
}

#[tokio::test]
async fn garbage_is_collected_behind_a_boundary() {
    let home = tempdir().unwrap();
    suite::garbage_is_collected_behind_a_boundary(fresh(&home)).await;
}
