//! `silo shard info`.

use std::collections::BTreeMap;

use clap::Parser;
use serde::Serialize;
use silo_runtime::client::Client;
use silo_runtime::proto::{OwnedShardInfo, ShardOwner, SortedRunInfo};

use crate::connect::Connect;
use crate::exit::Exit;
use crate::failure::CallFailed;
use crate::moment::shown;
use crate::output::{Output, Show, say};
use crate::shard::named::Shards;
use crate::table::facts;

/// Show how many jobs shards hold, and how their storage is laid out.
#[derive(Clone, Debug, Parser)]
// A shard is that of many.
#[command(mut_arg("tenant", |arg| arg.hide(true)))]
pub(crate) struct Args {
    #[command(flatten)]
    shards: Shards,

    #[command(flatten)]
    pub(crate) connect: Connect,
}

#[derive(Serialize)]
struct Info {
    shard: String,
    node: String,
    created_at_ms: i64,
    total_jobs: i64,
    /// Jobs that have ended.
    completed_jobs: i64,
    /// Files that were flushed and not yet merged.
    l0_files: u64,
    l0_bytes: u64,
    sorted_runs: Vec<Run>,
    sorted_run_bytes: u64,
}

#[derive(Serialize)]
struct Run {
    id: u32,
    files: u64,
    bytes: u64,
}

impl Args {
    pub(crate) async fn run(self, client: Client, output: Output) -> miette::Result<Exit> {
        let owners = self.shards.owners(&client).await?;
        let owned = jobs_by_shard(&client, &owners).await?;
        let is_first = std::cell::Cell::new(true);
        let act = async |owner: &ShardOwner| {
            let info = info(&client, owner, owned.get(&owner.shard_id)).await?;
            if !is_first.replace(false) && output == Output::Text {
                say("")?;
            }
            Ok(output.show(&info)?)
        };
        self.shards.each(&client, output, act).await
    }
}

/// What nodes say of their shards: each is asked once.
async fn jobs_by_shard(
    client: &Client,
    owners: &[ShardOwner],
) -> miette::Result<BTreeMap<String, OwnedShardInfo>> {
    let mut nodes = BTreeMap::new();
    for owner in owners {
        nodes.entry(&owner.grpc_addr).or_insert(owner);
    }
    let mut owned = BTreeMap::new();
    for owner in nodes.into_values() {
        let node = client.node_info(&owner.shard_id).await;
        let what = format!("ask node {} for its shards", owner.node_id);
        let shards = node.map_err(CallFailed::of(what))?.owned_shards;
        owned.extend(
            shards
                .into_iter()
                .map(|shard| (shard.shard_id.clone(), shard)),
        );
    }
    Ok(owned)
}

async fn info(
    client: &Client,
    owner: &ShardOwner,
    owned: Option<&OwnedShardInfo>,
) -> Result<Info, CallFailed> {
    let shard = owner.shard_id.clone();
    let storage = client.storage_info(&shard).await;
    let storage = storage.map_err(CallFailed::of(format!("look at shard {shard}")))?;
    let owned = owned.cloned().unwrap_or_default();
    Ok(Info {
        shard,
        node: owner.node_id.clone(),
        created_at_ms: owned.created_at_ms,
        total_jobs: owned.total_jobs,
        completed_jobs: owned.completed_jobs,
        l0_files: storage.l0_sst_count,
        l0_bytes: storage.total_l0_size,
        sorted_runs: storage.sorted_runs.iter().map(Run::new).collect(),
        sorted_run_bytes: storage.total_sorted_run_size,
    })
}

impl Run {
    const fn new(run: &SortedRunInfo) -> Self {
        Self {
            id: run.id,
            files: run.sst_count,
            bytes: run.estimated_size,
        }
    }
}

impl Show for Info {
    fn text(&self) -> String {
        let runs = self.sorted_runs.iter();
        let files = runs.fold(0_u64, |files, run| files.saturating_add(run.files));
        let jobs = format!("{}, {} of them ended", self.total_jobs, self.completed_jobs);
        let level0 = format!("{} files, {} bytes", self.l0_files, self.l0_bytes);
        let runs = format!(
            "{} of {files} files, {} bytes",
            self.sorted_runs.len(),
            self.sorted_run_bytes
        );
        facts(&[
            ("shard", Some(self.shard.clone())),
            ("node", Some(self.node.clone())),
            ("created", Some(shown(self.created_at_ms))),
            ("jobs", Some(jobs)),
            ("level 0", Some(level0)),
            ("sorted runs", Some(runs)),
        ])
    }
}
