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
use crate::table::table;

/// List the jobs that were set aside because a row of theirs is damaged: of all tenants, unless
/// one is named.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Args {
    /// Only jobs of this shard.
    #[arg(long, value_name = "SHARD", env = "SILO_SHARD")]
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
        let failed = || CallFailed::of("list quarantined jobs");
        let jobs = client.quarantined(self.shard.as_deref()).await;
        let jobs = jobs.map_err(failed())?.into_iter().map(Quarantined::new);
        let jobs: Vec<_> = jobs.collect();
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
