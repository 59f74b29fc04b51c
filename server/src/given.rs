//! The command line as it was given: words, and the environment where a word is absent.
//!
//! A word goes before every variable, also before one that contradicts it: `--all` with
//! `SILO_LIST_LIMIT` lists all. A variable that is empty counts as not set, as scripts and compose
//! files have it, and so does one that says no to a flag. A variable that is wrong is named.

use std::ffi::{OsStr, OsString};

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command, CommandFactory as _, Error, FromArgMatches as _};

use crate::cli::Cli;

/// What says no to a flag.
const NO: [&str; 6] = ["0", "f", "false", "n", "no", "off"];

/// Reads the words and the environment of this process.
///
/// # Errors
///
/// If they are wrong, or help was asked for.
pub(crate) fn parse() -> Result<Cli, Error> {
    let words: Vec<_> = std::env::args_os().collect();
    let command = Cli::command();
    let said = said(&command, &words);
    let is_said = |arg: &Arg| {
        arg.get_env()
            .is_some_and(|it| said.iter().any(|said| said == it))
    };
    let mut command = without(command, &|arg| is_void(arg) || is_said(arg));
    loop {
        let error = match command.try_get_matches_from_mut(&words) {
            Ok(matches) => {
                return Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command));
            }
            Err(error) => error,
        };
        let named = named(&error);
        let is_variable = |name: &&String| variable(&command, name, &words).is_some();
        let variables: Vec<_> = named.iter().filter(is_variable).cloned().collect();
        // Variables that contradict each other, and no word, are a mistake.
        let is_mistake = variables.is_empty() || variables.len() == named.len();
        if error.kind() != ErrorKind::ArgumentConflict || is_mistake {
            return Err(with_sources(error, &command, &variables, &words));
        }
        // Each turn leaves one out at least.
        command = without(command, &|arg| {
            variables.iter().any(|name| is_named(arg, name))
        });
    }
}

/// The same command line, where some variables count as not set.
fn without(command: Command, is_out: &dyn Fn(&Arg) -> bool) -> Command {
    let command = command.mut_args(|arg| {
        if is_out(&arg) {
            arg.env(None::<&str>)
        } else {
            arg
        }
    });
    command.mut_subcommands(|command| without(command, is_out))
}

/// Whether an argument's variable says nothing, or no to a flag.
fn is_void(arg: &Arg) -> bool {
    let value = arg.get_env().and_then(std::env::var_os);
    value.is_some_and(|value| {
        let is_flag = matches!(arg.get_action(), ArgAction::SetTrue);
        value.is_empty() || is_flag && NO.iter().any(|no| value.eq_ignore_ascii_case(no))
    })
}

/// The arguments that an error is about, as it names them: `--limit <N>`.
fn named(error: &Error) -> Vec<String> {
    let named = [ContextKind::InvalidArg, ContextKind::PriorArg];
    let named = named.into_iter().filter_map(|kind| error.get(kind));
    let names = named.flat_map(|named| {
        if let ContextValue::Strings(names) = named {
            names.as_slice()
        } else if let ContextValue::String(name) = named {
            std::slice::from_ref(name)
        } else {
            &[]
        }
    });
    names.cloned().collect()
}

fn is_named(arg: &Arg, name: &str) -> bool {
    let flag = name.split(' ').next().and_then(|it| it.strip_prefix("--"));
    match flag {
        Some(flag) => arg.get_long() == Some(flag),
        // A positional one: `[FILE]` or `<ID>...`.
        None => arg.is_positional() && arg.to_string() == name,
    }
}

/// The variable that stands in for an argument, if no word does.
fn variable(command: &Command, name: &str, words: &[OsString]) -> Option<OsString> {
    let mut commands = vec![command];
    for word in words.iter().skip(1) {
        commands.extend(commands.last().and_then(|last| last.find_subcommand(word)));
    }
    let args = commands.iter().rev().flat_map(|it| it.get_arguments());
    let arg = args.into_iter().find(|arg| is_named(arg, name))?;
    let variable = arg.get_env()?;
    std::env::var_os(variable)?;
    (!is_word(arg, words)).then(|| variable.to_owned())
}

/// The variables of flags that words say: wherever these stand, before a command's name or behind
/// it.
fn said(command: &Command, words: &[OsString]) -> Vec<OsString> {
    let args = command.get_arguments().filter(|arg| is_word(arg, words));
    let here = args.filter_map(|arg| arg.get_env().map(OsStr::to_owned));
    let below = command.get_subcommands().flat_map(|it| said(it, words));
    here.chain(below).collect()
}

fn is_word(arg: &Arg, words: &[OsString]) -> bool {
    words.iter().any(|word| {
        let word = word.to_string_lossy();
        let is_long = |flag| is_of(flag, &word);
        let is_short = |flag: char| {
            let flag = format!("-{flag}");
            word.starts_with(&flag)
        };
        arg.get_long().is_some_and(is_long) || arg.get_short().is_some_and(is_short)
    })
}

/// Whether a word is this flag, with or without its value.
fn is_of(flag: &str, word: &str) -> bool {
    let rest = word.strip_prefix("--").and_then(|it| it.strip_prefix(flag));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
}

/// Says which variables an error comes from.
fn with_sources(
    mut error: Error,
    command: &Command,
    names: &[String],
    words: &[OsString],
) -> Error {
    let tips = names.iter().filter_map(|name| {
        let variable = variable(command, name, words)?;
        Some(format!(
            "{name} is set by the environment variable {}",
            variable.to_string_lossy()
        ))
    });
    let tips: Vec<_> = tips.map(StyledStr::from).collect();
    if !tips.is_empty() {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
    error
}
