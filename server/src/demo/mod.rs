//! `silo demo`: a server in a fresh folder, reached through its real port, with workers and a few
//! hundred jobs of several tenants. Jobs are delayed, retried and cancelled; a worker is killed,
//! then the server. At the end every job is looked at: the demo succeeds only if all was as it
//! should be.
//!
//! * [`cast`]: the jobs
//! * [`workers`]: who runs them
//! * [`stage`]: the server that it happens on
//! * [`script`]: what happens, in order
//! * [`ending`]: waiting until jobs have ended
//! * [`progress`]: what is seen of it while it happens
//! * [`verdict`]: what must be true at the end, and the table

mod cast;
mod ending;
mod progress;
mod script;
mod stage;
mod verdict;
mod workers;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use miette::Diagnostic;
use silo_runtime::client::Client;
use silo_runtime::client::error::Error as ClientError;
use silo_runtime::client::options::ClientOptions;
use thiserror::Error;
use tokio::time::timeout;

use crate::config::LogFormat;
use crate::demo::progress::Progress;
use crate::demo::stage::Stage;
use crate::exit::Exit;
use crate::output::{Output, say};
use crate::serve::{ServeError, Stop};
use crate::telemetry;

/// The demo gives up after so long, for each thousand jobs begun.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Jobs to enqueue, at least 100.
    #[arg(long, value_name = "N", env = "SILO_DEMO_JOBS", default_value_t = 1000,
          value_parser = clap::value_parser!(u32).range(100..=100_000))]
    jobs: u32,

    /// Keep the demo's data in this folder, which must not exist; else it goes to a temporary one.
    #[arg(long, value_name = "DIR", env = "SILO_DEMO_DATA")]
    data: Option<PathBuf>,

    /// What to print besides what happens and the table.
    #[arg(long, value_enum, env = "SILO_DEMO_LOG", default_value_t = DemoLog::Quiet)]
    log: DemoLog,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DemoLog {
    /// Nothing.
    Quiet,
    /// The server's log, on standard error.
    Server,
}

/// Why the demo could not be shown.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum DemoError {
    #[error("cannot make a folder for the demo's data")]
    #[diagnostic(
        code(silo::demo::folder),
        help("--data names a folder that must not exist yet")
    )]
    Folder(#[source] std::io::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Server(#[from] ServeError),
    #[error("a call to the server failed")]
    #[diagnostic(code(silo::demo::call))]
    Call(#[from] ClientError),
    #[error("not every job ended within {} s", limit.as_secs())]
    #[diagnostic(
        code(silo::demo::late),
        help("run it again with --log server to see more")
    )]
    Late { limit: Duration },
    #[error("{signal}: the demo was not played to its end")]
    #[diagnostic(code(silo::demo::interrupted))]
    Interrupted { signal: &'static str },
}

/// Runs the demo, prints what happened, and exits with 0 only if all was as expected.
pub(crate) fn demo(options: &Demo, output: Output) -> miette::Result<ExitCode> {
    if options.log == DemoLog::Server {
        telemetry::install(LogFormat::Text);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(ServeError::System)?;
    runtime.block_on(async {
        let mut stop = Stop::listen().map_err(ServeError::System)?;
        tokio::select! {
            shown = show(options, output) => shown,
            // Its server and its temporary folder go with it.
            signal = stop.heard() => Err(DemoError::Interrupted { signal }.into()),
        }
    })
}

async fn show(options: &Demo, output: Output) -> miette::Result<ExitCode> {
    let progress = Progress::new(output, options.jobs.into());
    let stage = Stage::set(options.data.clone()).await?;
    progress.tell(format!(
        "a server listens on {}, its data is in {}",
        stage.address(),
        stage.folder().display()
    ));
    let client = Client::connect(ClientOptions::new([stage.address().to_string()]))
        .await
        .map_err(DemoError::Call)?;
    let limit = PATIENCE.saturating_mul(options.jobs.div_ceil(1000));
    let playing = script::play(stage, &client, options.jobs, now_ms(), &progress);
    let Ok(played) = timeout(limit, playing).await else {
        return Err(DemoError::Late { limit }.into());
    };
    let (stage, record) = played?;
    let verdict = verdict::judge(&client, &record, progress.finish())
        .await
        .map_err(DemoError::Call)?;
    let data = stage.is_kept().then(|| stage.folder().to_owned());
    stage.strike().await?;
    output.show(&verdict)?;
    if output == Output::Text {
        say(&next(data))?;
    }
    Ok(if verdict.is_good() {
        Exit::Done.into()
    } else {
        Exit::Failed.into()
    })
}

/// What to do next.
fn next(data: Option<PathBuf>) -> String {
    let (kept, dev) = match data {
        Some(data) => (
            "Its data is kept: the server below has all these jobs.\n".to_owned(),
            format!("silo dev --tenancy --data {}", data.display()),
        ),
        None => (String::new(), "silo dev".to_owned()),
    };
    format!(
        "\n{kept}To go on:\n\n  \
         {dev}\n  \
         silo job enqueue --task-group hello '{{\"name\": \"you\"}}'\n  \
         silo work --task-group hello --exec 'cat'\n"
    )
}

/// Milliseconds since the epoch. The server that the demo starts has the same clock.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}
