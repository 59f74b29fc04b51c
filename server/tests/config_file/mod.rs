//! A configuration file, and what `silo config` says of it.

#![allow(dead_code, reason = "each test file uses a part of this")]

use std::process::{Command, Output};

use serde_json::Value;

use crate::process::silo;

/// What a command ended with and said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    /// Its report, without the lines' ends that depend on the width of a terminal.
    pub(crate) err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let err = String::from_utf8(output.stderr).unwrap();
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: err
                .split_whitespace()
                .filter(|word| *word != "│")
                .collect::<Vec<_>>()
                .join(" "),
        }
    }
}

/// A configuration file in a folder of its own.
pub(crate) struct File {
    pub(crate) folder: tempfile::TempDir,
}

impl File {
    pub(crate) fn new(text: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("silo.toml"), text).unwrap();
        Self { folder }
    }

    /// `silo config VERB silo.toml`, started beside the file.
    pub(crate) fn config(&self, verb: &str) -> Command {
        let mut command = silo();
        command.args(["config", verb, "silo.toml"]);
        command.current_dir(self.folder.path());
        command
    }

    pub(crate) fn checked(&self) -> Said {
        self.config("check").output().unwrap().into()
    }
}

/// What is said of a file that is refused.
#[track_caller]
pub(crate) fn refusal(text: &str) -> String {
    let said = File::new(text).checked();
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{text}");
    said.err
}

/// What holds with this file, as JSON.
#[track_caller]
pub(crate) fn effective(text: &str, variables: &[(&str, &str)]) -> Value {
    let file = File::new(text);
    let mut command = file.config("show");
    command.args(["--output", "json"]);
    command.envs(variables.iter().copied());
    let said: Said = command.output().unwrap().into();
    assert_eq!(said.code, Some(0), "{text}: {}", said.err);
    serde_json::from_str(&said.out).unwrap()
}
