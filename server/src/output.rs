//! Where results go: standard output, for people or for programs.

use std::io::Write as _;

use clap::ValueEnum;
use miette::IntoDiagnostic as _;
use serde::Serialize;

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

impl Output {
    /// Writes one result.
    ///
    /// # Errors
    ///
    /// If standard output is gone.
    pub(crate) fn show(self, result: &impl Show) -> miette::Result<()> {
        let line = match self {
            Self::Text => result.text(),
            Self::Json => serde_json::to_string(result).into_diagnostic()?,
        };
        say(&line)
    }
}

/// Writes a line for people.
///
/// # Errors
///
/// If standard output is gone.
pub(crate) fn say(text: &str) -> miette::Result<()> {
    writeln!(std::io::stdout(), "{text}").into_diagnostic()
}
