//! `silo limit`: what operators ask of limits. One file for each command, but [`one`] for those
//! that say one word of a limit, and [`view`]: a limit and its jobs as they are shown.

mod list;
mod one;
mod recount;
mod set;
mod show;
pub(crate) mod view;

use clap::Subcommand;
use serde::Serialize;
use silo_runtime::client::Client;
use silo_runtime::client::limits::LimitChange;

use crate::exit::Exit;
use crate::failure::CallFailed;
use crate::output::{Output, Show};

/// See limits, who holds their slots and who waits, and change how many slots there are.
#[derive(Debug, Subcommand)]
pub(crate) enum Limit {
    List(list::Args),
    Show(show::Args),
    Set(set::Args),
    /// Give a limit as many slots again as enqueues say.
    Clear(one::Args),
    /// Give nobody a slot of a limit until it is resumed; what holds one goes on.
    Pause(one::Args),
    /// Give out slots again of a limit that was paused.
    Resume(one::Args),
    Recount(recount::Args),
}

/// Runs one of these commands.
pub(crate) fn run(limit: Limit, output: Output) -> miette::Result<Exit> {
    match limit {
        Limit::List(args) => args
            .connect
            .clone()
            .run(async |it| args.run(it, output).await),
        Limit::Show(args) => args
            .connect
            .clone()
            .run(async |it| args.run(it, output).await),
        Limit::Set(args) => args
            .connect
            .clone()
            .run(async |it| args.run(it, output).await),
        Limit::Clear(args) => args.run(output, (LimitChange::Clear, "clear", "cleared")),
        Limit::Pause(args) => args.run(output, (LimitChange::Pause, "pause", "paused")),
        Limit::Resume(args) => args.run(output, (LimitChange::Resume, "resume", "resumed")),
        Limit::Recount(args) => args
            .connect
            .clone()
            .run(async |it| args.run(it, output).await),
    }
}

#[derive(Serialize)]
struct Done {
    key: String,
    done: &'static str,
}

/// Says something of a limit, and that it was said.
async fn change(
    client: &Client,
    output: Output,
    key: &str,
    (change, verb, done): (LimitChange, &str, &'static str),
) -> miette::Result<Exit> {
    let set = client.set_limit(key, change).await;
    set.map_err(CallFailed::of(format!("{verb} limit {key}")))?;
    let key = key.to_owned();
    output.show(&Done { key, done })?;
    Ok(Exit::Done)
}

impl Show for Done {
    fn text(&self) -> String {
        format!("{} {}", self.done, self.key)
    }
}
