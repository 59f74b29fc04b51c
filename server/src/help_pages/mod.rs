//! `silo help-pages`: the command line as one page of Markdown. `introduction.md` beside this file
//! is the part that is written by hand; exit codes and the rest come from the types.

use clap::{Command, CommandFactory as _, Parser};

use crate::cli::Cli;
use crate::exit::Exit;
use crate::output;

const INTRODUCTION: &str = include_str!("introduction.md");
/// Where the introduction wants the table of exit codes.
const EXIT_CODES: &str = "<!-- exit codes -->\n";
/// Longest line of a help text.
const COLUMNS: usize = 100;

/// Print this help for all commands, as one page of Markdown.
#[derive(Clone, Debug, Parser)]
#[command(hide = true)]
pub(crate) struct HelpPages {}

/// Prints the page.
pub(crate) fn run() -> miette::Result<Exit> {
    let mut page = INTRODUCTION.replace(EXIT_CODES, &Exit::table());
    let mut silo = plain(Cli::command().term_width(COLUMNS));
    silo.build();
    let name = silo.get_name().to_owned();
    describe(&mut page, &mut silo, &name);
    output::write(page.as_bytes())?;
    Ok(Exit::Done)
}

/// The command and all below it, as if none of its environment variables were set.
fn plain(command: Command) -> Command {
    let command = command.mut_args(|arg| arg.hide_env_values(true));
    command.mut_subcommands(plain)
}

fn describe(page: &mut String, command: &mut Command, name: &str) {
    let help = command.render_long_help().to_string();
    let lines: Vec<_> = help.lines().map(str::trim_end).collect();
    page.push_str(&format!(
        "\n## `{name}`\n\n```text\n{}\n```\n",
        lines.join("\n").trim_end()
    ));
    let below = command.get_subcommands_mut();
    let below = below.filter(|below| !below.is_hide_set() && below.get_name() != "help");
    for below in below {
        let name = format!("{name} {}", below.get_name());
        describe(page, below, &name);
    }
}
