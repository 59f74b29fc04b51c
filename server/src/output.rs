//! Where results go: standard output, for people or for programs.

use std::io::Write as _;

use clap::ValueEnum;
use miette::Diagnostic;
use serde::Serialize;
use thiserror::Error;

/// For whom results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people. May change from version to version.
    #[default]
    Text,
    /// For programs: one JSON document, or one a line where results come one by one. Fields are
    /// only ever added.
    Json,
}

/// A result that both kinds of reader understand.
pub(crate) trait Show: Serialize {
    /// For people, without the last line's end.
    fn text(&self) -> String;
}

/// Why a result could not be written.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum OutputError {
    #[error("cannot write to standard output")]
    #[diagnostic(code(silo::output::write))]
    Write(#[source] std::io::Error),
    #[error("a result cannot be written as JSON")]
    #[diagnostic(code(silo::output::json))]
    Json(#[source] serde_json::Error),
}

impl Output {
    /// Writes one result.
    ///
    /// # Errors
    ///
    /// If standard output is gone.
    pub(crate) fn show(self, result: &impl Show) -> Result<(), OutputError> {
        let line = match self {
            Self::Text => result.text(),
            Self::Json => serde_json::to_string(result).map_err(OutputError::Json)?,
        };
        say(&line)
    }
}

/// What a reader of a list should know besides.
#[derive(Serialize)]
struct Warning {
    warning: String,
}

/// Says on standard error what is no failure.
pub(crate) fn warn(output: Output, warning: String) {
    let text = match output {
        Output::Text => warning,
        Output::Json => serde_json::to_string(&Warning { warning }).unwrap_or_default(),
    };
    // Whoever does not read it has the list all the same.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Writes a line for people.
///
/// # Errors
///
/// If standard output is gone.
pub(crate) fn say(text: &str) -> Result<(), OutputError> {
    write(format!("{text}\n").as_bytes())
}

/// Writes bytes as they are.
///
/// # Errors
///
/// If standard output is gone.
pub(crate) fn write(bytes: &[u8]) -> Result<(), OutputError> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    written.map_err(OutputError::Write)
}

/// A text of someone else on a line of ours: without what would move the cursor or begin a line.
pub(crate) fn on_one_line(text: &str) -> String {
    let shown = text.chars().flat_map(|character| {
        let escaped = character.is_control().then(|| character.escape_default());
        let plain = escaped.is_none().then_some(character);
        escaped.into_iter().flatten().chain(plain)
    });
    shown.collect()
}
