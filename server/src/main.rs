//! The `silo` binary: configuration, command line, and what runs behind them.
//!
//! * [`cli`]: the command line; [`given`]: as it was given, in words and in the environment
//! * [`config`]: the configuration file and its defaults
//! * [`serve`]: a server until it is told to stop, or must; [`dev`]: what a developer is told
//! * [`service_config`]: bounds on calls
//! * [`tls`]: where the files for TLS lie, and when they are read again
//! * [`mod@bench`]: how fast, and at what cost
//! * [`demo`]: a server, workers and a few hundred jobs in one process
//! * [`observe`]: metrics, traces and profiles of a server
//! * [`telemetry`]: where log lines and spans go
//! * [`job`], [`limit`], [`work`], [`shard`], [`tenant`], [`queue`]: commands that call a server
//! * [`completions`], [`help_pages`]: the command line as scripts of shells, and as a page
//! * [`connect`], [`input`], [`output`], [`failure`], [`exit`]: what commands share that call a
//!   server: how they reach it, what they read, how they show results and failures, how they end
//! * [`data`], [`moment`], [`table`]: payloads, times and tables as people read them

mod bench;
mod cli;
mod completions;
mod config;
mod connect;
mod data;
mod demo;
mod dev;
mod exit;
mod failure;
mod given;
mod help_pages;
mod input;
mod job;
mod limit;
mod moment;
mod observe;
mod output;
mod queue;
mod serve;
mod service_config;
mod shard;
mod table;
mod telemetry;
mod tenant;
mod tls;
mod work;

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap::error::ErrorKind;
use silo_cloud::environment::Environment;
use tikv_jemallocator::Jemalloc;

use crate::cli::{Cli, Verb};
use crate::config::Config;
use crate::exit::Exit;
use crate::failure::About;
use crate::output::{Output, say};
use crate::serve::Manner;

/// Takes less memory than glibc's allocator, and gives back what a burst of work took.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    failure::install();
    let cli = match given::parse() {
        Ok(cli) => cli,
        Err(error) => return failure::of_usage(&error).into(),
    };
    let output = cli.output;
    match run(cli, &Environment::of_process()) {
        Ok(code) => code,
        Err(report) => output.tell(&report, &About::default()).into(),
    }
}

fn run(cli: Cli, environment: &Environment) -> miette::Result<ExitCode> {
    let output = cli.output;
    match (cli.verb, cli.config) {
        (Some(Verb::Serve(serve)), outer) => {
            let config = Config::load(serve.config.or(outer).as_deref(), environment)?;
            let observe = serve.observe.or(cli.observe);
            let manner = Manner {
                until_stdin_ends: serve.until_stdin_ends,
                ..Manner::default()
            };
            serve::serve(config, environment, &observe, manner)
        }
        (None, Some(path)) => {
            let config = Config::load(Some(&path), environment)?;
            serve::serve(config, environment, &cli.observe, Manner::default())
        }
        (Some(Verb::Dev(dev)), _) => {
            let observe = dev.observe.clone().or(cli.observe);
            let config = Config::for_development(dev);
            let manner = Manner {
                greeting: Some(output),
                ..Manner::default()
            };
            serve::serve(config, environment, &observe, manner)
        }
        (Some(Verb::Job(job)), _) => Ok(job::run(job, output)?.into()),
        (Some(Verb::Limit(limit)), _) => Ok(limit::run(limit, output)?.into()),
        (Some(Verb::Work(work)), _) => Ok(work::run(*work, output)?.into()),
        (Some(Verb::Shard(shard)), _) => Ok(shard::run(shard, output)?.into()),
        (Some(Verb::Tenant(tenant)), _) => Ok(tenant::run(tenant, output)?.into()),
        (Some(Verb::Queue(queue)), _) => Ok(queue::run(queue, output)?.into()),
        (Some(Verb::HelpPages(_)), _) => Ok(help_pages::run()?.into()),
        (Some(Verb::Completions(shell)), _) => Ok(completions::run(&shell)?.into()),
        (Some(Verb::Bench(bench)), _) => bench::bench(&bench, output),
        (Some(Verb::Demo(demo)), _) => demo::demo(&demo, output),
        (Some(Verb::Config(args)), outer) => {
            config::verb::run(&args, outer.as_deref(), environment, output)
        }
        (None, None) if output == Output::Json => {
            let missing =
                Cli::command().error(ErrorKind::MissingSubcommand, "a command is missing");
            Ok(failure::of_usage(&missing).into())
        }
        (None, None) => {
            say(&Cli::command().render_long_help().to_string())?;
            Ok(Exit::Usage.into())
        }
    }
}
