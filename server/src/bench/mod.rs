//! `silo bench`: how fast, and at what cost.
//!
//! * [`args`]: its flags
//! * [`enqueue`], [`lifecycle`], [`latency`], [`claim`], [`limits`], [`noisy`], [`idle`]: the
//!   benchmarks, each on a server of its own
//! * [`handover`]: a part of [`limits`]: a slot goes from one job to the next
//! * [`site`], [`own`]: that server, and [`probe`]: what it costs
//! * [`loader`]: calls, over gRPC or without; [`crew`]: who makes them
//! * [`ledger`]: that no job is lost or runs twice
//! * [`tally`], [`faults`]: what is counted meanwhile
//! * [`stop`]: why all ends early
//! * [`machine`], [`report`]: what is shown

pub(crate) mod args;
mod claim;
mod crew;
mod enqueue;
mod faults;
mod handover;
mod idle;
mod latency;
mod ledger;
mod lifecycle;
mod limits;
mod loader;
mod machine;
mod noisy;
mod own;
mod probe;
mod report;
mod site;
mod stop;
mod tally;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use miette::Diagnostic;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::bench::args::{
    AmountArgs, Bench, ClaimArgs, EnqueueArgs, IdleArgs, LatencyArgs, LifecycleArgs, LoadArgs,
    PaceArgs, QueueArgs, TASKS, WORKERS, What, WorkerArgs,
};
use crate::bench::crew::{Crew, Shift};
use crate::bench::faults::Fault;
use crate::bench::machine::{Machine, Setting};
use crate::bench::report::{Measured, Report};
use crate::bench::site::Site;
use crate::bench::stop::Stop;
use crate::config::problem::ConfigError;
use crate::connect::ConnectError;
use crate::exit::Exit;
use crate::output::Output;
use crate::serve::ServeError;

/// The standard set stops after so long, whatever it has got to.
const STANDARD_MAX: Duration = Duration::from_secs(170);

/// Workers that end what a benchmark has left behind.
const WORK_OFF_WORKERS: u32 = 16;

/// Why nothing could be measured.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum BenchError {
    #[error("cannot make a folder for the data of the server that is measured")]
    #[diagnostic(
        code(silo::bench::folder),
        help("--data names the folder to make it in")
    )]
    Folder(#[source] std::io::Error),
    #[error("cannot start the runtime, listen for signals, or start a process")]
    #[diagnostic(code(silo::bench::system))]
    System(#[source] std::io::Error),
    #[error("the server that was to be measured ended before it answered; it said:\n{said}")]
    #[diagnostic(code(silo::bench::ended))]
    Ended { said: String },
    #[error("the server that was to be measured was not ready in time; it said:\n{said}")]
    #[diagnostic(code(silo::bench::late))]
    Late { said: String },
    #[error("only a store in memory of this process can be made slower")]
    #[diagnostic(
        code(silo::bench::not_slow),
        help("--read-delay and --write-delay need --target in-process and --store memory")
    )]
    NotSlow,
    #[error("cannot read the server's metrics at {url}")]
    #[diagnostic(
        code(silo::bench::metrics),
        help("--metrics names where a server of --server tells them; leave it out to do without")
    )]
    Metrics {
        url: String,
        #[source]
        cause: reqwest::Error,
    },
    #[error("cannot put load on the server")]
    #[diagnostic(code(silo::bench::load))]
    Load(#[source] Fault),
    #[error("interrupted twice: nothing is shown")]
    #[diagnostic(code(silo::bench::interrupted))]
    Interrupted,
    #[error("interrupted before anything was measured")]
    #[diagnostic(code(silo::bench::interrupted))]
    NotBegun,
    #[error(transparent)]
    #[diagnostic(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Server(#[from] ServeError),
}

impl BenchError {
    fn metrics(url: &str, cause: reqwest::Error) -> Self {
        let url = url.to_owned();
        Self::Metrics { url, cause }
    }

    fn no_log() -> Self {
        Self::System(std::io::Error::other("a process has no standard error"))
    }
}

/// Measures, shows what was measured, and ends with 1 if anything went wrong.
pub(crate) fn bench(bench: &Bench, output: Output) -> miette::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(BenchError::System)?;
    runtime.block_on(async {
        let total = bench.what.is_none().then_some(STANDARD_MAX);
        let stop = Stop::listen(total).map_err(BenchError::System)?;
        let machine = Machine::look();
        let plan = match &bench.what {
            Some(what) => vec![what.clone()],
            None => standard(bench),
        };
        let place = plan.first().map_or(&bench.place, What::place);
        let setting = Setting::of(place);
        let mut results = Vec::new();
        let ended = tokio::select! {
            ended = run_all(&plan, &stop, &mut results) => ended,
            () = stop.at_once() => return Err(BenchError::Interrupted.into()),
        };
        // What was measured before something went wrong is shown all the same.
        if ended.is_ok() || !results.is_empty() {
            let report = Report::new(machine, setting, results);
            output.show(&report)?;
            ended?;
            return Ok(if report.is_good() {
                Exit::Done.into()
            } else {
                Exit::Failed.into()
            });
        }
        ended?;
        Ok(Exit::Failed.into())
    })
}

async fn run_all(
    plan: &[What],
    stop: &Stop,
    results: &mut Vec<Measured>,
) -> Result<(), BenchError> {
    for what in plan {
        if stop.is_over() {
            break;
        }
        say_what(what);
        let measured = match what {
            What::Enqueue(args) => enqueue::run(args, stop).await,
            What::Lifecycle(args) => lifecycle::run(args, stop).await,
            What::Latency(args) => latency::run(args, stop).await,
            What::Claim(args) => claim::run(args, stop).await,
            What::Limits(args) => limits::run(args, stop).await,
            What::Noisy(args) => noisy::run(args, stop).await,
            What::Idle(args) => idle::run(args, stop).await,
        };
        match measured {
            Err(BenchError::NotBegun) if !results.is_empty() => break,
            measured => results.push(measured?),
        }
    }
    Ok(())
}

/// Tells whoever waits at a terminal what is going on.
fn say_what(what: &What) {
    let mut terminal = std::io::stderr();
    if terminal.is_terminal() {
        // It is only a hint.
        let _ = writeln!(terminal, "measuring {} …", what.name());
    }
}

/// What is measured without a name: about two minutes on a small machine.
fn standard(bench: &Bench) -> Vec<What> {
    let Bench {
        place,
        callers,
        payload,
        what: _,
    } = bench;
    let workers = WorkerArgs {
        workers: WORKERS,
        tasks: TASKS,
    };
    let amount = |batch| AmountArgs {
        batch,
        duration: 10,
        jobs: None,
    };
    let enqueue = |batch| {
        What::Enqueue(EnqueueArgs {
            amount: amount(batch),
            callers: callers.clone(),
            payload: payload.clone(),
            place: place.clone(),
        })
    };
    vec![
        enqueue(1),
        enqueue(100),
        What::Lifecycle(LifecycleArgs {
            amount: amount(10),
            load: LoadArgs {
                callers: callers.clone(),
                workers: workers.clone(),
                payload: payload.clone(),
            },
            place: place.clone(),
        }),
        What::Latency(LatencyArgs {
            pace: PaceArgs {
                rate: 500,
                duration: 10,
            },
            workers,
            payload: payload.clone(),
            place: place.clone(),
        }),
        What::Claim(ClaimArgs {
            queue: QueueArgs {
                depth: 100_000,
                consumed: 100_000,
                samples: 1000,
                fill: 60,
            },
            payload: payload.clone(),
            place: place.clone(),
        }),
        What::Idle(IdleArgs {
            duration: 20,
            place: place.clone(),
        }),
    ]
}

/// Ends the jobs that a benchmark has left on a server that is not its own.
async fn work_off(site: &Site, crew: &Crew) {
    if !site.is_elsewhere() {
        return;
    }
    let shift = Shift {
        workers: WORK_OFF_WORKERS,
        tasks: 1000,
        left: None,
        done: CancellationToken::new(),
        room: None,
        schedule: None,
    };
    let workers = crew.work(&shift);
    crew.drained().await;
    shift.done.cancel();
    crew.board.join(workers).await;
}
