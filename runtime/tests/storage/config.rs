use silo_runtime::storage::backend::Storage;
use silo_runtime::storage::config::{BackendConfig, StorageConfig};
use silo_runtime::storage::error::StorageError;

fn parse(json: &str) -> Result<StorageConfig, serde_json::Error> {
    serde_json::from_str(json)
}

#[test]
fn files_are_durable_unless_said_otherwise() {
    let config = parse(r#"{"backend": {"kind": "fs", "path": "/srv/silo"}}"#).unwrap();
    let fsync = true;
    let path = "/srv/silo".into();
    assert_eq!(
        config,
        StorageConfig::new(BackendConfig::Fs { path, fsync })
    );

    let relaxed = r#"{"backend": {"kind": "fs", "path": "/x", "fsync": false}}"#;
    let backend = parse(relaxed).unwrap().backend;
    assert!(matches!(backend, BackendConfig::Fs { fsync: false, .. }));
}

#[test]
fn settings_that_do_not_exist_are_refused() {
    for unknown in [
        r#"{"backend": {"kind": "memory"}, "cash_bytes": 1}"#,
        r#"{"backend": {"kind": "memory"}, "shard": {"l0": 1}}"#,
        r#"{"backend": {"kind": "memory"}, "time_limits": {"open": 1}}"#,
        r#"{"backend": {"kind": "fs", "path": "/x", "fsink": true}}"#,
        r#"{"backend": {"kind": "floppy"}}"#,
    ] {
        assert!(parse(unknown).is_err(), "{unknown}");
    }
}

#[tokio::test]
async fn memory_bounds_that_could_block_writes_for_ever_are_refused() {
    let mut config = StorageConfig::new(BackendConfig::Memory);
    config.shard.l0_bytes = 1 << 20;
    config.shard.unflushed_bytes_max = 2 << 20;
    let refused = Storage::open(&config).await.unwrap_err();
    assert!(matches!(refused, StorageError::Invalid { .. }));
    config.shard.unflushed_bytes_max = 3 << 20;
    Storage::open(&config).await.unwrap();
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().join("below-a-file");
    let shown = path.display().to_string();
    let config = StorageConfig::new(BackendConfig::Fs { path, fsync: true });
    let refused = Storage::open(&config).await.unwrap_err();
    assert!(matches!(refused, StorageError::Unavailable { .. }));
    assert!(refused.to_string().contains(&shown), "{refused}");
}
