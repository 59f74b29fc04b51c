//! `silo shard compact`.

use clap::Parser;
use silo_runtime::client::Client;

use crate::connect::Connect;
use crate::exit::Exit;
use crate::output::Output;
use crate::shard::named::Shards;

/// Begin to merge the files of shards; reads get cheaper, and what was deleted goes.
#[derive(Clone, Debug, Parser)]
// A shard is that of many.
#[command(mut_arg("tenant", |arg| arg.hide(true)))]
pub(crate) struct Args {
    #[command(flatten)]
    shards: Shards,

    #[command(flatten)]
    pub(crate) connect: Connect,
}

impl Args {
    pub(crate) async fn run(self, client: Client, output: Output) -> miette::Result<Exit> {
        let act = async |shard: &str| client.compact_shard(shard).await;
        self.shards
            .each_status(&client, output, "compact", act)
            .await
    }
}
