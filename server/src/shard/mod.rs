//! `silo shard`: what operators ask of shards. One file for each command, and [`named`]: which
//! shards a command is about.

mod compact;
mod flush;
mod info;
mod list;
pub(crate) mod named;

use clap::Subcommand;

use crate::exit::Exit;
use crate::output::Output;

/// See the shards and their storage, and look after it.
#[derive(Debug, Subcommand)]
pub(crate) enum Shard {
    List(list::Args),
    Info(info::Args),
    Flush(flush::Args),
    Compact(compact::Args),
}

/// Runs one of these commands.
pub(crate) fn run(shard: Shard, output: Output) -> miette::Result<Exit> {
    match shard {
        Shard::List(args) => args
            .connect
            .clone()
            .run(async |it| args.run(it, output).await),
        Shard::Info(args) => args
            .connect
            .clone()
            .run(async |it| args.run(it, output).await),
        Shard::Flush(args) => args
            .connect
            .clone()
            .run(async |it| args.run(it, output).await),
        Shard::Compact(args) => args
            .connect
            .clone()
            .run(async |it| args.run(it, output).await),
    }
}
