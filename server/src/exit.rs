//! How a command ends, for scripts. The table in `docs/reference/command-line.md` is these.

use std::io::ErrorKind;
use std::process::ExitCode;

use clap::ValueEnum;
use miette::Report;
use silo_runtime::client::error::Error as ClientError;
use tonic::Code;

use crate::bench::BenchError;
use crate::connect::ConnectError;
use crate::input::InputError;
use crate::job::import::NotImported;
use crate::job::view::NotWell;
use crate::output::OutputError;
use crate::serve::ServeError;
use crate::shard::named::ShardError;

/// What a command's exit code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[repr(u8)]
pub(crate) enum Exit {
    /// All was done.
    Done = 0,
    /// Something went wrong that has no code of its own: a configuration is wrong, a port is taken.
    Failed = 1,
    /// The command line is wrong, or what was given to be read is.
    Usage = 2,
    /// A server stopped because another process has taken its data over, or it cannot be read.
    Lost = 3,
    /// There is no such job, lease or shard.
    NotFound = 4,
    /// The server will not do this: the job is not in a state for it, its id is taken, a field is
    /// out of its bounds.
    Refused = 5,
    /// The server cannot be reached, or was not ready for as long as the command might take.
    Unavailable = 6,
    /// The token is wrong or missing, or this is not allowed.
    Denied = 7,
    /// The job that was waited for failed.
    JobFailed = 8,
    /// The job that was waited for was cancelled.
    JobCancelled = 9,
    /// No answer came in time, or the connection broke: it may or may not have been done.
    Unknown = 10,
    /// The job that was waited for has not ended in time.
    NotYet = 11,
    /// Whoever read standard output has gone. What was not yet done is not done.
    NoReader = 141,
}

impl Exit {
    /// What a command that failed with this report ends with.
    pub(crate) fn of_report(report: &Report) -> Self {
        if let Some(ServeError::Lost(_)) = report.downcast_ref() {
            return Self::Lost;
        }
        match report.downcast_ref() {
            Some(NotWell::Failed { .. }) => return Self::JobFailed,
            Some(NotWell::Cancelled { .. }) => return Self::JobCancelled,
            Some(NotWell::NotYet { .. }) => return Self::NotYet,
            None => {}
        }
        if let Some(ShardError::Unknown(_)) = report.downcast_ref() {
            return Self::NotFound;
        }
        if report.downcast_ref::<NotImported>().is_some() {
            return Self::Refused;
        }
        if report.downcast_ref::<InputError>().is_some() {
            return Self::Usage;
        }
        let connecting = report.downcast_ref().or(match report.downcast_ref() {
            Some(BenchError::Connect(error)) => Some(error),
            _ => None,
        });
        if let Some(ConnectError::File { .. }) = connecting {
            return Self::Usage;
        }
        if let Some(OutputError::Write(cause)) = report.downcast_ref()
            && cause.kind() == ErrorKind::BrokenPipe
        {
            return Self::NoReader;
        }
        let calls = report
            .chain()
            .find_map(<dyn std::error::Error>::downcast_ref);
        calls.map_or(Self::Failed, Self::of_call)
    }

    /// What a command ends with that failed because of this call.
    fn of_call(error: &ClientError) -> Self {
        match error {
            ClientError::Options(_) => Self::Usage,
            ClientError::NotFound(_) => Self::NotFound,
            ClientError::AlreadyExists(_) => Self::Refused,
            ClientError::Refused(refusal) => {
                if matches!(refusal.code, Code::Unauthenticated | Code::PermissionDenied) {
                    Self::Denied
                } else {
                    Self::Refused
                }
            }
            ClientError::Unavailable(_) => Self::Unavailable,
            ClientError::OutcomeUnknown(_) | ClientError::Deadline => Self::Unknown,
        }
    }
}

impl Exit {
    /// What a command ends with that did the same for several: with the first that was not done.
    #[must_use]
    pub(crate) fn and(self, next: Self) -> Self {
        if self == Self::Done { next } else { self }
    }

    /// All codes with what they say, as a table in Markdown.
    pub(crate) fn table() -> String {
        let rows = Self::value_variants().iter().map(|exit| {
            let value = exit.to_possible_value();
            let help = value.as_ref().and_then(|value| value.get_help());
            let says = help.map(ToString::to_string).unwrap_or_default();
            format!("| {} | {says} |\n", *exit as u8)
        });
        format!(
            "| code | what it says |\n|---|---|\n{}",
            rows.collect::<String>()
        )
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
