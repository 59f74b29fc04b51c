//! What the environment says about how tests run.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The settings of a test run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Which lines and spans are kept, as `tracing_subscriber::EnvFilter` reads it.
    pub filter: String,
    /// Where traces go, if they are written.
    pub traces: Option<Traces>,
}

/// Where traces go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Traces {
    /// To this file: for a run of a single test.
    File(PathBuf),
    /// To a file per test in this folder.
    Folder(PathBuf),
}

/// Settings that cannot be followed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SettingsError {
    /// `RUST_LOG` is not text.
    #[error("RUST_LOG is not UTF-8: {0:?}")]
    NotText(OsString),
    /// Both ways to ask for traces are taken.
    #[error("SILO_PERFETTO and SILO_PERFETTO_DIR exclude each other: set one of them")]
    Both,
}

impl Settings {
    /// Reads the process's environment.
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::read(|name| std::env::var_os(name))
    }

    /// Reads an environment; a variable that is empty counts as not set.
    pub fn read(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, SettingsError> {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let filter = match set("RUST_LOG") {
            Some(value) => value.into_string().map_err(SettingsError::NotText)?,
            None => "info".to_owned(),
        };
        let traces = match (set("SILO_PERFETTO"), set("SILO_PERFETTO_DIR")) {
            (Some(_), Some(_)) => return Err(SettingsError::Both),
            (Some(file), None) => Some(Traces::File(file.into())),
            (None, Some(folder)) => Some(Traces::Folder(folder.into())),
            (None, None) => None,
        };
        Ok(Self { filter, traces })
    }

    /// The file for the trace of the test of this name: in a folder, `a::b` goes to `a.b.json`.
    #[must_use]
    pub fn trace_file(&self, test: &str) -> Option<PathBuf> {
        match self.traces.as_ref()? {
            Traces::File(file) => Some(file.clone()),
            Traces::Folder(folder) => Some(within(folder, test)),
        }
    }
}

fn within(folder: &Path, test: &str) -> PathBuf {
    let mut file = OsStr::new(&test.replace("::", ".")).to_owned();
    file.push(".json");
    folder.join(file)
}
