//! Clients of each cloud, as far as they can be set up without a cloud: what is understood, what is
//! refused, and with which words.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]

use std::path::PathBuf;

use silo_cloud::clients;
use silo_cloud::environment::Environment;
use silo_cloud::open::open;
use silo_runtime::storage::backend::Storage;
use silo_runtime::storage::cloud_config::{
    AzureConfig, GcsConfig, S3Config, StoreOptions, UrlConfig,
};
use silo_runtime::storage::config::{BackendConfig, StorageConfig, WalConfig};
use silo_runtime::storage::error::StorageError;

fn parse(toml: &str) -> Result<StorageConfig, toml::de::Error> {
    toml::from_str(toml)
}

fn backend(line: &str) -> BackendConfig {
    parse(&format!("backend = {{ {line} }}")).unwrap().backend
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    variables.iter().map(owned).collect()
}

fn s3(line: &str) -> S3Config {
    match backend(&format!("kind = \"s3\", {line}")) {
        BackendConfig::S3(config) => config,
        other => panic!("{other:?}"),
    }
}

fn gcs(line: &str) -> GcsConfig {
    match backend(&format!("kind = \"gcs\", {line}")) {
        BackendConfig::Gcs(config) => config,
        other => panic!("{other:?}"),
    }
}

fn azure(line: &str) -> AzureConfig {
    match backend(&format!("kind = \"azure\", {line}")) {
        BackendConfig::Azure(config) => config,
        other => panic!("{other:?}"),
    }
}

fn said<T: std::fmt::Debug>(result: Result<T, StorageError>) -> String {
    match result.unwrap_err() {
        error @ StorageError::Invalid { .. } => error.to_string(),
        other => panic!("{other:?}"),
    }
}

const AZURE_KEY: &str = "a2V5";

#[silo::test]
async fn s3_is_set_up_from_keys_environment_and_options_in_this_order() {
    let nothing = environment(&[]);
    let store = clients::s3(&s3("bucket = \"jobs\""), &nothing).unwrap();
    assert_eq!(store.to_string(), "AmazonS3(jobs)");

    let local = environment(&[
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_PROFILE", "x"),
    ]);
    let refused = said(clients::s3(&s3("bucket = \"jobs\""), &local));
    assert!(
        refused.contains("http://127.0.0.1:1 is not encrypted"),
        "{refused}"
    );
    clients::s3(&s3("bucket = \"jobs\", allow_http = true"), &local).unwrap();
    let encrypted = "bucket = \"jobs\", endpoint = \"https://127.0.0.1:1\"";
    clients::s3(&s3(encrypted), &local).unwrap();
    let last = "bucket = \"jobs\", endpoint = \"https://x\", options = { endpoint = \"http://y\" }";
    let refused = said(clients::s3(&s3(last), &nothing));
    assert!(refused.contains("http://y is not encrypted"), "{refused}");
}

#[silo::test]
async fn options_that_a_client_does_not_have_are_named() {
    let nothing = environment(&[]);
    let options = "options = { aws_regoin = \"x\" }";
    let refused = said(clients::s3(
        &s3(&format!("bucket = \"b\", {options}")),
        &nothing,
    ));
    assert!(
        refused.contains("options.aws_regoin: the AWS client"),
        "{refused}"
    );
    let refused = said(clients::gcs(
        &gcs(&format!("bucket = \"b\", {options}")),
        &nothing,
    ));
    assert!(
        refused.contains("options.aws_regoin: the GOOGLE client"),
        "{refused}"
    );
    let refused = said(clients::azure(
        &azure(&format!("container = \"b\", {options}")),
        &nothing,
    ));
    assert!(
        refused.contains("options.aws_regoin: the AZURE client"),
        "{refused}"
    );
}

#[silo::test]
async fn gcs_is_set_up_and_names_a_key_file_that_is_not_there() {
    let nothing = environment(&[]);
    let store = clients::gcs(&gcs("bucket = \"jobs\""), &nothing).unwrap();
    assert_eq!(store.to_string(), "GoogleCloudStorage(jobs)");
    let absent = "bucket = \"jobs\", service_account = \"/nowhere/key.json\"";
    assert!(said(clients::gcs(&gcs(absent), &nothing)).contains("/nowhere/key.json"));
    let told = environment(&[("GOOGLE_SERVICE_ACCOUNT", "/elsewhere/key.json")]);
    let refused = said(clients::gcs(&gcs("bucket = \"jobs\""), &told));
    assert!(refused.contains("/elsewhere/key.json"), "{refused}");
}

#[silo::test]
async fn azure_is_set_up_and_needs_an_account() {
    let nothing = environment(&[]);
    let named = azure("container = \"jobs\", account = \"silo\"");
    let store = clients::azure(&named, &nothing).unwrap();
    assert!(store.to_string().contains("account: silo"), "{store}");
    let refused = said(clients::azure(&azure("container = \"jobs\""), &nothing));
    assert!(refused.contains("Account must be specified"), "{refused}");
    let told = environment(&[
        ("AZURE_STORAGE_ACCOUNT_NAME", "silo"),
        ("AZURE_STORAGE_ACCOUNT_KEY", AZURE_KEY),
    ]);
    clients::azure(&azure("container = \"jobs\""), &told).unwrap();
}

#[silo::test]
async fn keys_that_do_not_exist_are_refused() {
    for line in [
        "kind = \"s3\"",
        "kind = \"s3\", bucket = \"b\", pefix = \"x\"",
        "kind = \"gcs\", bucket = \"b\", region = \"x\"",
        "kind = \"azure\", bucket = \"b\"",
        "kind = \"url\", address = \"s3://b\"",
    ] {
        assert!(parse(&format!("backend = {{ {line} }}")).is_err(), "{line}");
    }
    assert!(parse("wal = { backend = { kind = \"memory\" }, more = 1 }").is_err());
}

#[silo::test]
async fn secrets_are_not_shown() {
    let options = "options = { secret_access_key = \"hush\" }";
    let config = s3(&format!("bucket = \"b\", {options}"));
    let shown = format!("{config:?} {}", BackendConfig::S3(config.clone()));
    assert!(
        shown.contains("secret_access_key") && !shown.contains("hush"),
        "{shown}"
    );
    let shown = format!("{:?}", environment(&[("AWS_SECRET_ACCESS_KEY", "hush")]));
    assert!(
        shown.contains("AWS_SECRET_ACCESS_KEY") && !shown.contains("hush"),
        "{shown}"
    );
}

fn url(url: &str) -> BackendConfig {
    BackendConfig::Url(UrlConfig {
        url: url.to_owned(),
        options: StoreOptions::default(),
    })
}

async fn open_url(address: &str) -> Result<Storage, StorageError> {
    open(&StorageConfig::new(url(address)), &environment(&[])).await
}

#[silo::test]
async fn urls_of_files_and_memory_are_opened_here() {
    let directory = tempfile::tempdir().unwrap();
    let root = format!("file://{}/data", directory.path().display());
    open_url(&root).await.unwrap();
    assert!(directory.path().join("data").is_dir());
    let storage = open_url(&format!("{root}/x/%shard%/y")).await.unwrap();
    assert_eq!(storage.layout().to_string(), "%shard%/y");
    assert!(directory.path().join("data/x").is_dir());
    for memory in ["memory:///", "memory:"] {
        assert_eq!(
            open_url(memory).await.unwrap().layout().to_string(),
            "shards/%shard%"
        );
    }
    let storage = open_url("memory:///a/%shard%").await.unwrap();
    assert_eq!(storage.layout().to_string(), "%shard%");

    let unknown = UrlConfig {
        url: root.clone(),
        options: StoreOptions([("fsink".to_owned(), "false".to_owned())].into()),
    };
    let config = StorageConfig::new(BackendConfig::Url(unknown));
    let refused = said(open(&config, &environment(&[])).await);
    assert!(refused.contains("options.fsink"), "{refused}");
}

#[silo::test]
async fn urls_that_nothing_can_be_done_with_are_refused() {
    for (address, why) in [
        ("bucket/path", "relative URL without a base"),
        ("ftp://host/path", "Unable to recognise URL"),
        (
            "https://example.com/path",
            "only file, memory, s3, gs and az",
        ),
        ("s3://bucket/a?region=x", "put options into `options`"),
        ("s3://key:secret@bucket/a", "put credentials into `options`"),
        ("s3://bucket/%shards%", "%shard% is the only placeholder"),
        ("s3://%shard%/a", "Unable to recognise URL"),
        ("s3://bucket/%shard%/../a", "empty or relative folders"),
    ] {
        let refused = said(open_url(address).await);
        assert!(refused.contains(why), "{address}: {refused}");
    }
}

#[silo::test]
async fn a_store_that_nobody_serves_is_unavailable_within_the_limit() {
    let mut config = StorageConfig::new(backend(
        "kind = \"s3\", bucket = \"b\", endpoint = \"http://127.0.0.1:9\", allow_http = true",
    ));
    config.time_limits.request_ms = 1_000;
    let credentials = environment(&[("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "y")]);
    let failed = open(&config, &credentials).await.unwrap_err();
    assert!(
        matches!(failed, StorageError::Unavailable { .. }),
        "{failed}"
    );
}

#[silo::test]
async fn logs_in_memory_do_not_protect_data_that_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = StorageConfig::new(BackendConfig::Fs {
        path: PathBuf::from(directory.path()),
        fsync: true,
    });
    config.wal = Some(WalConfig {
        backend: url("memory:///"),
    });
    let refused = said(open(&config, &environment(&[])).await);
    assert!(
        refused.contains("would lose acknowledged jobs"),
        "{refused}"
    );
}

#[silo::test]
async fn the_examples_of_the_book_are_understood() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guides/storage.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut examples = 0;
    for example in page.split("```toml\n").skip(1) {
        let example = example.split("```").next().unwrap();
        let table: toml::Table = toml::from_str(example).unwrap();
        let config: StorageConfig = table["database"].clone().try_into().unwrap();
        // Of memory, so that nothing is touched: the settings are what can be wrong.
        let config = StorageConfig {
            backend: BackendConfig::Memory,
            wal: None,
            ..config
        };
        open(&config, &environment(&[])).await.unwrap();
        examples += 1;
    }
    assert!(examples >= 7, "{examples}");
}
