//! The `silo` binary: configuration, command line, and what runs behind them.
//!
//! * [`cli`]: the command line
//! * [`config`]: the configuration file and its defaults
//! * [`serve`]: a server until it is told to stop, or must
//! * [`service_config`]: bounds on calls
//! * [`tls`]: where the files for TLS lie, and when they are read again
//! * [`demo`]: a server, workers and a few hundred jobs in one process
//! * [`observe`]: metrics, traces and profiles of a server
//! * [`telemetry`]: where log lines and spans go

mod cli;
mod config;
mod demo;
mod observe;
mod serve;
mod service_config;
mod telemetry;
mod tls;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use tikv_jemallocator::Jemalloc;

use crate::cli::{Cli, Verb};
use crate::config::Config;

/// Takes less memory than glibc's allocator, and gives back what a burst of work took.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Stopped because another process has taken the data over, or it cannot be read.
const EXIT_LOST: u8 = 3;
/// Anything else that went wrong.
const EXIT_FAILED: u8 = 1;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(report) => {
            let is_lost = report
                .downcast_ref::<serve::ServeError>()
                .is_some_and(|error| matches!(error, serve::ServeError::Lost(_)));
            // The report is what the user came for; there is no better place to say that even this
            // could not be written.
            let _ = write(std::io::stderr(), &format!("{report:?}"));
            ExitCode::from(if is_lost { EXIT_LOST } else { EXIT_FAILED })
        }
    }
}

fn run(cli: Cli) -> miette::Result<ExitCode> {
    match (cli.verb, cli.config) {
        (Some(Verb::Serve(serve)), outer) => {
            let config = Config::load(serve.config.or(outer).as_deref())?;
            serve::serve(config, &serve.observe)
        }
        (None, Some(path)) => serve::serve(Config::load(Some(&path))?, &cli.observe),
        (Some(Verb::Dev(dev)), _) => {
            let observe = dev.observe.clone();
            serve::serve(Config::for_development(dev), &observe)
        }
        (Some(Verb::Demo(demo)), _) => demo::demo(&demo),
        (None, None) => {
            write(
                std::io::stdout(),
                &Cli::command().render_long_help().to_string(),
            )?;
            Ok(ExitCode::from(2))
        }
    }
}

/// Writes what a person asked to see.
fn write(mut to: impl std::io::Write, text: &str) -> miette::Result<()> {
    use miette::IntoDiagnostic as _;
    writeln!(to, "{text}").into_diagnostic()
}
