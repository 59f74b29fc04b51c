//! `silo job`: what is asked of single jobs. One file for each command, and these for several:
//!
//! * [`shape`]: how a job, its attempts and its retry policy look as JSON, read and written
//! * [`view`]: a job and its end as they are shown
//! * [`each`]: the same for several jobs
//! * [`lines`]: many jobs to enqueue, one a line

mod cancel;
mod delete;
mod each;
mod enqueue;
mod expedite;
mod explain;
mod get;
pub(crate) mod import;
mod lines;
mod list;
mod quarantined;
mod restart;
mod result;
mod shape;
pub(crate) mod view;
mod wait;

use clap::Subcommand;

use crate::exit::Exit;
use crate::output::Output;

/// Enqueue jobs, see what became of them, and change it.
#[derive(Debug, Subcommand)]
pub(crate) enum Job {
    Enqueue(Box<enqueue::Args>),
    Get(get::Args),
    Explain(explain::Args),
    List(list::Args),
    Result(result::Args),
    Wait(wait::Args),
    Cancel(cancel::Args),
    Restart(restart::Args),
    Expedite(expedite::Args),
    Delete(delete::Args),
    Import(import::Args),
    Quarantined(quarantined::Args),
}

/// Runs one of these commands.
pub(crate) fn run(job: Job, output: Output) -> miette::Result<Exit> {
    match job {
        Job::Enqueue(args) => args
            .connect
            .clone()
            .run(async |it| args.run(it, output).await),
        Job::Get(args) => args
            .connect
            .clone()
            .run(async |it| args.run(it, output).await),
        Job::Explain(args) => args
            .connect
            .clone()
            .run(async |it| args.run(it, output).await),
        Job::List(args) => args
            .connect
            .clone()
            .run(async |it| args.run(it, output).await),
        Job::Result(args) => args
            .connect
            .clone()
            .run(async |it| args.run(it, output).await),
        Job::Wait(args) => args
            .connect
            .clone()
            .run(async |it| args.run(it, output).await),
        Job::Cancel(args) => args
            .connect
            .clone()
            .run(async |it| args.run(it, output).await),
        Job::Restart(args) => args
            .connect
            .clone()
            .run(async |it| args.run(it, output).await),
        Job::Expedite(args) => args
            .connect
            .clone()
            .run(async |it| args.run(it, output).await),
        Job::Delete(args) => args
            .connect
            .clone()
            .run(async |it| args.run(it, output).await),
        Job::Import(args) => args
            .connect
            .clone()
            .run(async |it| args.run(it, output).await),
        Job::Quarantined(args) => args
            .connect
            .clone()
            .run(async |it| args.run(it, output).await),
    }
}
