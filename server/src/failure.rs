//! How what went wrong is told: a report for people, one JSON object for programs.
//!
//! A call that failed is a [`CallFailed`]: its code is `silo::call::` and the server's reason, and
//! where something can be done about it, its help says what.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write as _;

use clap::error::ErrorKind;
use miette::{Diagnostic, MietteHandlerOpts, Report, SourceCode};
use serde::Serialize;
use silo_runtime::client::error::Error as ClientError;
use thiserror::Error;

use crate::exit::Exit;
use crate::output::Output;

/// A call to the server that failed.
#[derive(Debug, Error)]
#[error("cannot {what}")]
pub(crate) struct CallFailed {
    /// What was wanted, as it goes on after "cannot".
    what: String,
    #[source]
    cause: ClientError,
}

/// What a failure is about, where a command does the same for many.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct About {
    /// A job's or a shard's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// A line of standard input, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<u64>,
}

impl CallFailed {
    /// Says what could not be done: `CallFailed::of("cancel job x")`.
    pub(crate) fn of(what: impl Into<String>) -> impl FnOnce(ClientError) -> Self {
        let what = what.into();
        move |cause| Self { what, cause }
    }

    fn reason(&self) -> Option<&str> {
        self.cause.refusal()?.reason.as_deref()
    }
}

impl Diagnostic for CallFailed {
    fn code<'a>(&'a self) -> Option<Box<dyn Display + 'a>> {
        let name = match (&self.cause, self.reason()) {
            (_, Some(reason)) => reason.to_ascii_lowercase(),
            (ClientError::Options(_), None) => "options".to_owned(),
            (ClientError::NotFound(_), None) => "not_found".to_owned(),
            (ClientError::AlreadyExists(_), None) => "already_exists".to_owned(),
            (ClientError::Refused(_), None) => "refused".to_owned(),
            (ClientError::Unavailable(_), None) => "unavailable".to_owned(),
            (ClientError::OutcomeUnknown(_), None) => "outcome_unknown".to_owned(),
            (ClientError::Deadline, None) => "deadline".to_owned(),
        };
        Some(Box::new(format!("silo::call::{name}")))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn Display + 'a>> {
        let of_reason = self.reason().and_then(help_of_reason);
        let help = of_reason.or_else(|| help_of_error(&self.cause));
        help.map(|help| Box::new(help) as Box<dyn Display>)
    }
}

/// What can be done about a refusal with this reason. No reason is left out for want of thought:
/// those without help say all there is to say.
fn help_of_reason(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "JOB_NOT_FOUND" => {
            "`silo job list` shows the jobs that are there; with tenancy each tenant sees its own, \
             see --tenant"
        }
        "JOB_EXISTS" => {
            "choose another --id, or leave it away and the server makes one; `silo job get` shows \
             the job that has it"
        }
        "JOB_NOT_TERMINAL" => "`silo job wait` waits for its end",
        "JOB_TERMINAL" | "JOB_CANCELLED" => {
            "nothing is left to stop; `silo job result` shows how it ended, `silo job restart` \
             runs it again"
        }
        "JOB_RUNNING" => "`silo job cancel` stops it, `silo job wait` waits for its end",
        "JOB_NOT_RESTARTABLE" => {
            "only what failed, was cancelled or is quarantined is restarted; enqueue a new job to \
             do the same once more"
        }
        "JOB_NOT_EXPEDITABLE" => "`silo job get` shows where it stands",
        "JOB_READY" => {
            "it waits for a worker: `silo work --task-group …` with the job's group runs it"
        }
        "JOB_QUARANTINED" => {
            "`silo job quarantined` says what is damaged; `silo job restart` brings back what can \
             be read, `silo job delete` removes it"
        }
        "JOB_SUCCEEDED" | "IMPORT_NOTHING_NEW" => "leave it out of the import: it is here",
        "IMPORT_DIFFERS" => {
            "`silo job get` shows the attempts that it has had here; give them first, then new ones"
        }
        "LIMIT_FULL" => "`silo job explain` says what it waits for",
        "LIMIT_DAMAGED" => "`silo limit recount` makes it anew",
        "TENANCY_OFF" => "leave --tenant away, and unset SILO_TENANT",
        "TOKEN_INVALID" => "--token or SILO_TOKEN names the server's token (`server.token`)",
        "ANSWER_TOO_LARGE" => "`silo job get --no-attempts` leaves the attempts out",
        "SHARD_NOT_FOUND" => "`silo shard list` shows the shards that are there",
        "OUTCOME_UNKNOWN" => OUTCOME_UNKNOWN,
        "NOT_IMPLEMENTED" => "the server is older than this command, or does not do this yet",
        _ => return None,
    })
}

const OUTCOME_UNKNOWN: &str =
    "look with `silo job get` before you do it again: it may have been done";

/// What can be done about a failure that has no reason of the server.
fn help_of_error(error: &ClientError) -> Option<&'static str> {
    match error {
        ClientError::Unavailable(_) => Some(
            "is a server running there? `silo dev` starts one; --server or SILO_SERVER names \
             another",
        ),
        ClientError::OutcomeUnknown(_) => Some(OUTCOME_UNKNOWN),
        ClientError::Deadline => Some(
            "it may have been done: look with `silo job get`; --timeout-ms allows a call more time",
        ),
        ClientError::Options(_)
        | ClientError::NotFound(_)
        | ClientError::AlreadyExists(_)
        | ClientError::Refused(_) => None,
    }
}

/// Reports are drawn with lines where that is possible, and never wrapped: ids, paths and commands
/// can be copied from them, and terminals wrap for themselves.
pub(crate) fn install() {
    // It fails when there is a hook already: then reports look as that one says.
    let _ = miette::set_hook(Box::new(|_| {
        let options = MietteHandlerOpts::new();
        Box::new(options.wrap_lines(false).break_words(false).build())
    }));
}

impl Output {
    /// Tells on standard error what went wrong, and says with what the command ends because of it.
    pub(crate) fn tell(self, report: &Report, about: &About) -> Exit {
        let exit = Exit::of_report(report);
        if exit == Exit::NoReader {
            // Whoever reads has had enough; that is no news.
            return exit;
        }
        let text = match self {
            Self::Text => format!("{report:?}"),
            Self::Json => json(report, exit, about),
        };
        // There is no better place to say that even this could not be written.
        let _ = writeln!(std::io::stderr(), "{}", text.trim_end());
        exit
    }
}

/// Tells that the command line is wrong, or prints the help that was asked for. There is no
/// [`Output`] yet: whether JSON was asked for is looked up in the words themselves.
pub(crate) fn of_usage(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        // Whoever closes a pipe on a help text has read enough of it.
        let _ = error.print();
        return Exit::Done;
    }
    if is_json_asked_for() {
        let text = error.render().to_string();
        let text = text.trim_end().trim_start_matches("error: ");
        let is_cut_short = matches!(
            error.kind(),
            ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        );
        let (message, help) = if is_cut_short {
            ("a command is missing", text)
        } else {
            text.split_once("\n\n").unwrap_or((text, ""))
        };
        let told = Told {
            code: Some("silo::usage".to_owned()),
            message: message.to_owned(),
            causes: Vec::new(),
            help: Some(help.to_owned()).filter(|help| !help.is_empty()),
            reason: None,
            mistakes: Vec::new(),
            exit_code: Exit::Usage as u8,
            about: &About::default(),
        };
        let text = serde_json::to_string(&Failure { error: told });
        let _ = writeln!(std::io::stderr(), "{}", text.unwrap_or_default());
    } else {
        let _ = error.print();
    }
    Exit::Usage
}

/// What the last `--output` says, or the environment without one.
fn is_json_asked_for() -> bool {
    let words: Vec<_> = std::env::args_os().collect();
    let behind = |(at, word): (usize, &OsString)| {
        if word == "--output" {
            return words.get(at.saturating_add(1)).cloned();
        }
        let value = word.to_str()?.strip_prefix("--output=")?;
        Some(value.into())
    };
    let said = words.iter().enumerate().rev().find_map(behind);
    let value = said.or_else(|| std::env::var_os("SILO_OUTPUT"));
    value.is_some_and(|value| value == "json")
}

#[derive(Serialize)]
struct Failure<'a> {
    error: Told<'a>,
}

#[derive(Serialize)]
struct Told<'a> {
    code: Option<String>,
    message: String,
    causes: Vec<String>,
    help: Option<String>,
    /// The server's, as in the page on refusals.
    reason: Option<&'a str>,
    /// What is wrong in a file.
    mistakes: Vec<Mistake>,
    exit_code: u8,
    #[serde(flatten)]
    about: &'a About,
}

/// Something that is wrong in a file, and where.
#[derive(Serialize)]
struct Mistake {
    code: Option<String>,
    message: String,
    help: Option<String>,
    /// From 1.
    line: Option<usize>,
    /// From 1, in characters.
    column: Option<usize>,
}

impl Mistake {
    fn of(diagnostic: &dyn Diagnostic, file: &dyn SourceCode) -> Self {
        let label = diagnostic.labels().and_then(|mut labels| labels.next());
        let found = label.and_then(|label| file.read_span(label.inner(), 0, 0).ok());
        Self {
            code: diagnostic.code().map(|code| code.to_string()),
            message: diagnostic.to_string(),
            help: diagnostic.help().map(|help| help.to_string()),
            line: found.as_ref().map(|found| found.line().saturating_add(1)),
            column: found.map(|found| found.column().saturating_add(1)),
        }
    }

    /// All that a report tells of a file; nothing where it is about none.
    fn all_of(report: &Report) -> Vec<Self> {
        let Some(file) = report.source_code() else {
            return Vec::new();
        };
        let related: Vec<_> = report.related().into_iter().flatten().collect();
        if related.is_empty() {
            return vec![Self::of(report.as_ref(), file)];
        }
        let mistakes = related.into_iter();
        mistakes.map(|mistake| Self::of(mistake, file)).collect()
    }
}

fn json(report: &Report, exit: Exit, about: &About) -> String {
    let mut chain = report.chain();
    let call = report.chain().find_map(|error| error.downcast_ref());
    let reason = call.and_then(|error: &ClientError| error.refusal()?.reason.as_deref());
    let told = Told {
        code: report.code().map(|code| code.to_string()),
        message: chain.next().map(ToString::to_string).unwrap_or_default(),
        causes: chain.map(ToString::to_string).collect(),
        help: report.help().map(|help| help.to_string()),
        reason,
        mistakes: Mistake::all_of(report),
        exit_code: exit as u8,
        about,
    };
    serde_json::to_string(&Failure { error: told }).unwrap_or_else(|error| error.to_string())
}
