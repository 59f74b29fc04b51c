//! `silo shard compact`.

use clap::Parser;
use serde::Serialize;
use silo_runtime::client::Client;

use crate::connect::Connect;
use crate::exit::Exit;
use crate::failure::CallFailed;
use crate::output::{Output, Show};
use crate::shard::named::Shards;

/// Begin to merge the files of shards; reads get cheaper, and what was deleted goes.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Args {
    #[command(flatten)]
    shards: Shards,

    #[command(flatten)]
    pub(crate) connect: Connect,
}

#[derive(Serialize)]
struct Done {
    shard: String,
    status: String,
}

impl Args {
    pub(crate) async fn run(self, client: Client, output: Output) -> miette::Result<Exit> {
        let act = async |shard: &silo_runtime::proto::ShardOwner| {
            let shard = shard.shard_id.clone();
            let status = client.compact_shard(&shard).await;
            let status = status.map_err(CallFailed::of(format!("compact shard {shard}")))?;
            output.show(&Done { shard, status })?;
            Ok(())
        };
        self.shards.each(&client, output, act).await
    }
}

impl Show for Done {
    fn text(&self) -> String {
        format!("{}: {}", self.shard, self.status)
    }
}
