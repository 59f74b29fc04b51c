//! `silo shard list`.

use clap::Parser;
use serde::Serialize;
use silo_runtime::client::Client;
use silo_runtime::proto::ShardOwner;

use crate::connect::Connect;
use crate::exit::Exit;
use crate::output::{Output, Show, say};
use crate::shard::named::Shards;
use crate::table::table;

/// List the shards, who serves them, and which tenants they hold.
#[derive(Clone, Debug, Parser)]
// A shard is that of many.
#[command(mut_arg("tenant", |arg| arg.hide(true)))]
pub(crate) struct Args {
    #[command(flatten)]
    shards: Shards,

    #[command(flatten)]
    pub(crate) connect: Connect,
}

/// A shard and who serves it. It holds the tenants whose hash is at least `range_start` and below
/// `range_end`; an empty one is no bound.
#[derive(Serialize)]
struct Listed {
    shard: String,
    node: String,
    addr: String,
    range_start: String,
    range_end: String,
}

impl Args {
    pub(crate) async fn run(self, client: Client, output: Output) -> miette::Result<Exit> {
        let owners = self.shards.owners(&client).await?;
        let listed: Vec<_> = owners.into_iter().map(Listed::new).collect();
        match output {
            Output::Json => listed.iter().try_for_each(|shard| output.show(shard))?,
            Output::Text => {
                let header = ["SHARD", "NODE", "ADDRESS", "HASHES FROM", "TO"];
                say(&table(header, listed.iter().map(Listed::row)))?;
            }
        }
        Ok(Exit::Done)
    }
}

impl Listed {
    fn new(owner: ShardOwner) -> Self {
        Self {
            shard: owner.shard_id,
            node: owner.node_id,
            addr: owner.grpc_addr,
            range_start: owner.range_start,
            range_end: owner.range_end,
        }
    }

    fn row(&self) -> [String; 5] {
        let or_dash = |text: &String| {
            if text.is_empty() {
                "-".to_owned()
            } else {
                text.clone()
            }
        };
        [
            &self.shard,
            &self.node,
            &self.addr,
            &self.range_start,
            &self.range_end,
        ]
        .map(or_dash)
    }
}

impl Show for Listed {
    fn text(&self) -> String {
        self.row().join(" ")
    }
}
