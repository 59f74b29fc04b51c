//! `silo demo`: a server in a fresh folder, reached through its real port, with workers and a few
//! hundred jobs of several tenants. One job fails once, one worker dies in the middle. At the end
//! every job is looked at: the demo succeeds only if all was as it should be.
//!
//! * [`stage`]: the server that the demo runs on
//! * [`script`]: what happens, in order
//! * [`verdict`]: what must be true at the end, and the table

mod script;
mod stage;
mod verdict;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use miette::Diagnostic;
use silo_runtime::client::error::Error as ClientError;
use thiserror::Error;
use tokio::time::timeout;

use crate::cli::{Demo, DemoLog};
use crate::config::LogFormat;
use crate::demo::script::Script;
use crate::demo::stage::Stage;
use crate::output::say;
use crate::serve::ServeError;
use crate::telemetry;

/// The demo gives up after so long, for each thousand jobs begun.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why the demo could not be shown.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum DemoError {
    #[error("cannot make a folder for the demo's data")]
    #[diagnostic(code(silo::demo::folder))]
    Folder(#[source] std::io::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Server(#[from] ServeError),
    #[error("a call to the server failed")]
    #[diagnostic(code(silo::demo::call))]
    Call(#[from] ClientError),
    #[error("not every job ended in time: {left} are left")]
    #[diagnostic(
        code(silo::demo::late),
        help("run it again with --log server to see more")
    )]
    Late { left: u32 },
}

/// Runs the demo, prints what happened, and exits with 0 only if all was as expected.
pub(crate) fn demo(options: &Demo) -> miette::Result<ExitCode> {
    if options.log == DemoLog::Server {
        telemetry::install(LogFormat::Text);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(ServeError::System)?;
    runtime.block_on(play(options))
}

async fn play(options: &Demo) -> miette::Result<ExitCode> {
    let began = Instant::now();
    let stage = Stage::set(options.data.clone()).await?;
    say(&format!(
        "A server listens on {}; its data is in {}.\n\
         {} jobs of {} tenants go in; worker A takes some and is killed, worker B does the rest.\n",
        stage.address(),
        stage.folder().display(),
        options.jobs,
        script::TENANTS.len(),
    ))?;
    let script = Script::new(stage.client().clone(), options.jobs);
    let thousands = options.jobs.div_ceil(1000);
    let played = timeout(PATIENCE.saturating_mul(thousands), script.play()).await;
    let record = match played {
        Ok(record) => record.map_err(DemoError::Call)?,
        Err(_) => {
            return Err(DemoError::Late {
                left: script.left(),
            }
            .into());
        }
    };
    let verdict = verdict::judge(stage.client(), &record)
        .await
        .map_err(DemoError::Call)?;
    stage.strike().await?;
    say(&verdict.table())?;
    say(&format!("Done in {:.1} s.", began.elapsed().as_secs_f64()))?;
    Ok(if verdict.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
