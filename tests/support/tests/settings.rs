//! What the environment says about how tests run.

extern crate silo_test_support as silo;

use std::ffi::OsString;
use std::path::PathBuf;

use silo::settings::{Settings, SettingsError, Traces};

#[silo::test]
fn nothing_set() {
    let settings = read(&[]).unwrap();
    assert_eq!(
        settings,
        Settings {
            filter: "info".to_owned(),
            traces: None
        }
    );
    assert_eq!(settings.trace_file("a::b"), None);
    assert_eq!(
        read(&[("RUST_LOG", ""), ("SILO_PERFETTO", "")]),
        Ok(settings)
    );
}

#[silo::test]
fn a_filter() {
    assert_eq!(
        read(&[("RUST_LOG", "warn,silo=trace")]).unwrap().filter,
        "warn,silo=trace"
    );
}

#[silo::test]
fn a_file_is_taken_as_it_is() {
    let settings = read(&[("SILO_PERFETTO", "x.json")]).unwrap();
    assert_eq!(settings.traces, Some(Traces::File("x.json".into())));
    assert_eq!(settings.trace_file("a::b"), Some(PathBuf::from("x.json")));
}

#[silo::test]
fn a_folder_has_a_file_per_test() {
    let settings = read(&[("SILO_PERFETTO_DIR", "traces")]).unwrap();
    assert_eq!(
        settings.trace_file("a::b::c"),
        Some(PathBuf::from("traces/a.b.c.json"))
    );
}

#[silo::test]
fn a_file_and_a_folder_exclude_each_other() {
    let both = read(&[("SILO_PERFETTO", "x.json"), ("SILO_PERFETTO_DIR", "traces")]);
    assert_eq!(both, Err(SettingsError::Both));
}

fn read(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    Settings::read(|name| {
        let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
        Some(OsString::from(value))
    })
}
