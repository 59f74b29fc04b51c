//! The command line. Every flag names the environment variable that stands in for it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand};

use crate::bench::args::Bench;
use crate::completions::Completions;
use crate::config::verb::ConfigArgs;
use crate::demo::Demo;
use crate::help_pages::HelpPages;
use crate::job::Job;
use crate::limit::Limit;
use crate::observe::ObserveArgs;
use crate::output::Output;
use crate::queue::Queue;
use crate::shard::Shard;
use crate::tenant::Tenant;
use crate::work::Work;

/// A durable, multi-tenant background-job server whose data lives in object storage.
#[derive(Debug, Parser)]
#[command(name = "silo", version)]
pub(crate) struct Cli {
    /// Serve with this configuration file: the same as `silo serve -c FILE`. Other commands do not
    /// read it.
    #[arg(short, long, value_name = "FILE", env = "SILO_CONFIG")]
    pub(crate) config: Option<PathBuf>,

    /// For whom results are written.
    #[arg(long, value_enum, global = true, env = "SILO_OUTPUT", default_value_t)]
    pub(crate) output: Output,

    #[command(flatten)]
    pub(crate) observe: ObserveArgs,

    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run a server.
    Serve(Serve),
    /// Run a server for development: data in a folder that is kept, `ResetShards` allowed.
    Dev(Dev),
    /// See it work: a server, workers and jobs in one process, in a fresh folder. A worker is
    /// killed, then the server; nothing is lost.
    Demo(Demo),
    #[command(subcommand)]
    Job(Job),
    #[command(subcommand)]
    Limit(Limit),
    Work(Box<Work>),
    #[command(subcommand)]
    Shard(Shard),
    #[command(subcommand)]
    Tenant(Tenant),
    #[command(subcommand)]
    Queue(Queue),
    Completions(Completions),
    HelpPages(HelpPages),
    /// Look at a configuration: is it right, what holds, what can be set?
    Config(ConfigArgs),
    /// Measure how fast a server is, and what it costs.
    Bench(Box<Bench>),
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The configuration file. Without one: local files in ./silo-data, port 7450.
    #[arg(short, long, value_name = "FILE", env = "SILO_CONFIG")]
    pub(crate) config: Option<PathBuf>,

    /// Stop when standard input ends: whoever started the server has gone.
    #[arg(long, hide = true)]
    pub(crate) until_stdin_ends: bool,

    #[command(flatten)]
    pub(crate) observe: ObserveArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// Where the data is kept.
    #[arg(
        long,
        value_name = "DIR",
        env = "SILO_DATA",
        default_value = "silo-data"
    )]
    pub(crate) data: PathBuf,

    /// Where to listen.
    #[arg(
        long,
        value_name = "ADDR",
        env = "SILO_GRPC_ADDR",
        default_value = "127.0.0.1:7450"
    )]
    pub(crate) grpc_addr: SocketAddr,

    /// Whether callers name a tenant.
    #[arg(long, env = "SILO_TENANCY", value_parser = BoolishValueParser::new())]
    pub(crate) tenancy: bool,

    #[command(flatten)]
    pub(crate) observe: ObserveArgs,
}
