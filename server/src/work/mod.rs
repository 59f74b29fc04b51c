//! `silo work`: leases the jobs of a task group and runs a command for each.
//!
//! * [`command`]: one job's command: started, watched, stopped
//! * [`group`]: a process group that does not outlive its job
//! * [`capture`]: what the command prints, within bounds
//! * [`ending`]: what an exit code says about the job
//! * [`progress`]: what is said of each job

mod capture;
mod command;
mod ending;
mod group;
mod progress;

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use clap::builder::BoolishValueParser;
use silo_runtime::client::Client;
use silo_runtime::worker::Worker;
use silo_runtime::worker::options::WorkerOptions;
use tokio_util::sync::CancellationToken;

use crate::config::LogFormat;
use crate::connect::{Connect, ConnectError};
use crate::exit::Exit;
use crate::output::Output;
use crate::serve::Stop;
use crate::telemetry;
use crate::work::command::Command;
use crate::work::progress::Progress;

/// What the worker has beyond the time that a command has to end after SIGTERM: until then its
/// handler has killed it.
const STOP_GRACE_MORE: Duration = Duration::from_secs(5);

/// Lease the jobs of a task group and run a command for each.
///
/// The command runs through `sh -c` in a process group of its own. It gets the payload as JSON on
/// standard input and facts about the job in SILO_JOB_ID, SILO_TASK_ID, SILO_ATTEMPT,
/// SILO_IS_LAST_ATTEMPT, SILO_TASK_GROUP, SILO_TENANT, SILO_PRIORITY, SILO_METADATA (JSON) and
/// SILO_SHARD. What it prints is the job's result: JSON if it is JSON, else a text. Exit code 0 is
/// success, 75 asks to come back later, 65 fails for good, any other fails.
///
/// SIGTERM and SIGINT let running commands end; a second one stops them and gives their jobs back.
#[derive(Clone, Debug, Parser)]
// It takes the jobs of all tenants.
#[command(mut_arg("tenant", |arg| arg.hide(true)))]
pub(crate) struct Work {
    /// Whose jobs to run.
    #[arg(long, value_name = "GROUP", env = "SILO_TASK_GROUP")]
    task_group: String,

    /// The command.
    #[arg(long, value_name = "CMD", env = "SILO_WORK_EXEC")]
    exec: String,

    /// Jobs at once.
    #[arg(long, value_name = "N", env = "SILO_WORK_CONCURRENCY", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    concurrency: u16,

    /// End after so many jobs.
    #[arg(long, value_name = "N", env = "SILO_WORK_MAX_JOBS",
          value_parser = clap::value_parser!(u64).range(1..))]
    max_jobs: Option<u64>,

    /// End after one job: the same as --max-jobs 1.
    #[arg(long, env = "SILO_WORK_ONCE", value_parser = BoolishValueParser::new(),
          conflicts_with = "max_jobs")]
    once: bool,

    /// End when no job is ready and none runs.
    #[arg(long, env = "SILO_WORK_EXIT_WHEN_EMPTY", value_parser = BoolishValueParser::new())]
    exit_when_empty: bool,

    /// Stop a command that runs longer than this: its job fails with code TIMEOUT.
    #[arg(long, value_name = "TIME", env = "SILO_WORK_TIMEOUT",
          value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,

    /// When a job comes back whose command ended with 75.
    #[arg(long, value_name = "TIME", env = "SILO_WORK_SNOOZE", default_value = "10s",
          value_parser = humantime::parse_duration)]
    snooze: Duration,

    /// How long a command that is to stop has between SIGTERM and SIGKILL.
    #[arg(long, value_name = "TIME", env = "SILO_WORK_KILL_GRACE", default_value = "5s",
          value_parser = humantime::parse_duration)]
    kill_grace: Duration,

    /// How long running commands may take to end after a first SIGTERM or SIGINT.
    #[arg(long, value_name = "TIME", env = "SILO_WORK_DRAIN_TIMEOUT", default_value = "30s",
          value_parser = humantime::parse_duration)]
    drain_timeout: Duration,

    /// The most that a command may print as its result, in bytes.
    #[arg(long, value_name = "N", env = "SILO_WORK_RESULT_BYTES_MAX", default_value_t = 1 << 20,
          value_parser = clap::value_parser!(u32).range(0..=33_554_432))]
    result_bytes_max: u32,

    /// How long leases are, in milliseconds. Without it the job or the server says.
    #[arg(long, value_name = "MS", env = "SILO_WORK_LEASE_MS")]
    lease_ms: Option<u32>,

    /// The worker's name, not that of another living one. Without it: host and process id.
    #[arg(long, value_name = "NAME", env = "SILO_WORKER_ID")]
    worker_id: Option<String>,

    #[command(flatten)]
    connect: Connect,
}

/// Works until it is told to stop, or there is nothing left that it should do.
pub(crate) fn run(work: Work, output: Output) -> miette::Result<Exit> {
    telemetry::install(match output {
        Output::Text => LogFormat::Text,
        Output::Json => LogFormat::Json,
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(ConnectError::System)?;
    let ended = runtime.block_on(async {
        let mut stop = Stop::listen().map_err(ConnectError::System)?;
        let client = tokio::select! {
            client = work.connect.client() => client?,
            // It has taken no job yet.
            _ = stop.heard() => return Ok(Exit::Done),
        };
        work.until_done(client, output, stop).await
    });
    runtime.shutdown_background();
    ended
}

impl Work {
    async fn until_done(self, client: Client, output: Output, stop: Stop) -> miette::Result<Exit> {
        let shutdown = CancellationToken::new();
        let progress = Arc::new(Progress::new(output, shutdown.clone()));
        let options = self.options();
        progress.begin(&options);
        let command = Arc::new(Command {
            exec: self.exec,
            server: self.connect.server.join(","),
            timeout: self.timeout,
            snooze: self.snooze,
            kill_grace: self.kill_grace,
            result_bytes_max: usize::try_from(self.result_bytes_max).unwrap_or(usize::MAX),
        });
        let said = Arc::clone(&progress);
        let worker = Worker::new(client, options, move |job| {
            let (command, said) = (Arc::clone(&command), Arc::clone(&said));
            async move {
                let ended = command.run(&job).await;
                said.ended(&job, &ended);
                ended.outcome
            }
        });
        let give_back = worker.give_back_token();
        let working = worker.run(shutdown.clone());
        tokio::select! {
            () = working => {}
            never = signals(stop, &progress, &shutdown, &give_back) => match never {},
        }
        progress.end()
    }

    fn options(&self) -> WorkerOptions {
        let worker_id = self.worker_id.clone().unwrap_or_else(host_and_process);
        let mut options = WorkerOptions::new(self.task_group.clone(), worker_id);
        options.concurrency = self.concurrency.into();
        options.lease_ms = self.lease_ms;
        options.tasks_max = if self.once { Some(1) } else { self.max_jobs };
        options.ends_when_idle = self.exit_when_empty;
        options.drain_timeout = self.drain_timeout;
        options.stop_grace = self.kill_grace.saturating_add(STOP_GRACE_MORE);
        options
    }
}

/// The first signal lets running commands end, the second stops them.
async fn signals(
    mut stop: Stop,
    progress: &Progress,
    shutdown: &CancellationToken,
    give_back: &CancellationToken,
) -> std::convert::Infallible {
    let signal = stop.heard().await;
    progress.note(&format!(
        "{signal}: running commands may end; a second signal stops them"
    ));
    shutdown.cancel();
    let signal = stop.heard().await;
    progress.note(&format!(
        "{signal}: stopping commands, and giving their jobs back"
    ));
    give_back.cancel();
    std::future::pending().await
}

fn host_and_process() -> String {
    let host = nix::unistd::gethostname().ok();
    let host = host.and_then(|host| host.into_string().ok());
    format!("{}:{}", host.unwrap_or_default(), std::process::id())
}
