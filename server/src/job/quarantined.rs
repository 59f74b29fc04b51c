//! `silo job quarantined`.

use clap::Parser;
use serde::Serialize;
use silo_runtime::client::Client;
use silo_runtime::proto::QuarantinedJob;

use crate::connect::Connect;
use crate::exit::Exit;
use crate::failure::CallFailed;
use crate::moment::shown;
use crate::output::{Output, Show, say};
use crate::shard::named::find;
use crate::table::table;

/// List the jobs that were set aside because a row of theirs is damaged: of all tenants, unless
/// one is named.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Args {
    /// Only jobs of this shard: its id, or as much of it as no other begins with.
    #[arg(long, value_name = "SHARD", env = "SILO_QUARANTINED_SHARD")]
    shard: Option<String>,

    #[command(flatten)]
    pub(crate) connect: Connect,
}

#[derive(Serialize)]
struct Quarantined {
    id: String,
    tenant: Option<String>,
    shard: String,
    quarantined_at_ms: Option<i64>,
    reason: String,
}

impl Args {
    pub(crate) async fn run(self, client: Client, output: Output) -> miette::Result<Exit> {
        let mut jobs = Vec::new();
        for shard in self.shards(&client).await? {
            let page = client.quarantined(&shard).await;
            let what = format!("list quarantined jobs of shard {shard}");
            let page = page.map_err(CallFailed::of(what))?;
            jobs.extend(page.into_iter().map(Quarantined::new));
        }
        match output {
            Output::Json => jobs.iter().try_for_each(|job| output.show(job))?,
            Output::Text if jobs.is_empty() => say("no job is quarantined")?,
            Output::Text => {
                let header = ["ID", "TENANT", "SHARD", "SINCE", "REASON"];
                say(&table(header, jobs.iter().map(Quarantined::row)))?;
            }
        }
        Ok(Exit::Done)
    }

    /// The one that was named, or that of the tenant, or all.
    async fn shards(&self, client: &Client) -> miette::Result<Vec<String>> {
        let info = client.cluster_info().await;
        let all = info
            .map_err(CallFailed::of("list the shards"))?
            .shard_owners;
        if let Some(name) = &self.shard {
            return Ok(vec![find(&all, name)?.shard_id.clone()]);
        }
        let has_tenant = self
            .connect
            .tenant
            .as_ref()
            .is_some_and(|name| !name.is_empty());
        let of_tenant = client.shard_of_tenant().filter(|_| has_tenant);
        let of_all = || all.into_iter().map(|shard| shard.shard_id).collect();
        Ok(of_tenant.map_or_else(of_all, |shard| vec![shard]))
    }
}

impl Quarantined {
    fn new(job: QuarantinedJob) -> Self {
        Self {
            id: job.id,
            tenant: job.tenant,
            shard: job.shard,
            quarantined_at_ms: job.quarantined_at_ms,
            reason: job.reason,
        }
    }

    fn row(&self) -> [String; 5] {
        [
            self.id.clone(),
            self.tenant.clone().unwrap_or_else(|| "-".to_owned()),
            self.shard.clone(),
            self.quarantined_at_ms.map(shown).unwrap_or_default(),
            self.reason.clone(),
        ]
    }
}

impl Show for Quarantined {
    fn text(&self) -> String {
        self.row().join(" ")
    }
}
