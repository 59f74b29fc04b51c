//! The `silo` binary: configuration, command line, and what runs behind them.
//!
//! * [`cli`]: the command line
//! * [`config`]: the configuration file and its defaults
//! * [`serve`]: a server until it is told to stop, or must
//! * [`service_config`]: bounds on calls
//! * [`tls`]: where the files for TLS lie, and when they are read again
//! * [`bench`]: how fast, and at what cost
//! * [`demo`]: a server, workers and a few hundred jobs in one process
//! * [`observe`]: metrics, traces and profiles of a server
//! * [`telemetry`]: where log lines and spans go
//! * [`connect`], [`output`], [`exit`]: what commands share that call a server: how they reach it,
//!   how they show results, how they end

mod bench;
mod cli;
mod config;
mod connect;
mod demo;
mod exit;
mod observe;
mod output;
mod serve;
mod service_config;
mod telemetry;
mod tls;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use silo_cloud::environment::Environment;
use tikv_jemallocator::Jemalloc;

use crate::cli::{Cli, Verb};
use crate::config::Config;
use crate::exit::Exit;
use crate::output::say;

/// Takes less memory than glibc's allocator, and gives back what a burst of work took.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli, &Environment::of_process()) {
        Ok(code) => code,
        Err(report) => {
            // The report is what the user came for; there is no better place to say that even this
            // could not be written.
            let _ = writeln!(std::io::stderr(), "{report:?}");
            Exit::of_report(&report).into()
        }
    }
}

fn run(cli: Cli, environment: &Environment) -> miette::Result<ExitCode> {
    let output = cli.output;
    match (cli.verb, cli.config) {
        (Some(Verb::Serve(serve)), outer) => {
            let config = Config::load(serve.config.or(outer).as_deref(), environment)?;
            serve::serve(config, environment, &serve.observe)
        }
        (None, Some(path)) => {
            let config = Config::load(Some(&path), environment)?;
            serve::serve(config, environment, &cli.observe)
        }
        (Some(Verb::Dev(dev)), _) => {
            let observe = dev.observe.clone();
            serve::serve(Config::for_development(dev), environment, &observe)
        }
        (Some(Verb::Bench(bench)), _) => bench::bench(&bench, output),
        (Some(Verb::Demo(demo)), _) => demo::demo(&demo, output),
        (Some(Verb::Config(args)), outer) => {
            config::verb::run(&args, outer.as_deref(), environment, output)
        }
        (None, None) => {
            say(&Cli::command().render_long_help().to_string())?;
            Ok(Exit::Usage.into())
        }
    }
}
