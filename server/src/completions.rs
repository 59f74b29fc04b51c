//! `silo completions`.

use clap::{CommandFactory as _, Parser};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::Exit;
use crate::output;

/// Print a script that completes commands and flags in a shell.
///
/// For bash: `source <(silo completions bash)`.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Completions {
    /// Which shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(completions: &Completions) -> miette::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut Cli::command(), "silo", &mut script);
    output::write(&script)?;
    Ok(Exit::Done)
}
