//! `silo tenant`: what is set of a tenant.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde::Serialize;
use silo_runtime::client::Client;
use silo_runtime::proto::{PausedQueue, TenantInfo};

use crate::connect::Connect;
use crate::exit::Exit;
use crate::failure::CallFailed;
use crate::moment::shown;
use crate::output::{Output, Show};
use crate::table::facts;

/// See how a tenant stands, give it more or less of the workers than others get, and pause it.
#[derive(Debug, Subcommand)]
pub(crate) enum Tenant {
    /// Show a tenant's weight, what is paused of it, and how many jobs it has.
    Show(ShowArgs),
    /// Set a tenant's weight: it gets so many tasks in its turn, where others get one. Counts until
    /// it is cleared, also before the configuration.
    Set(SetArgs),
    /// Let the configuration say the tenant's weight again.
    Clear(ClearArgs),
    /// Lease nothing more of a tenant. What is leased goes on, jobs are taken as ever, and those
    /// that are ready keep their slots of limits.
    Pause(PauseArgs),
    /// Lease its jobs again.
    Resume(ResumeArgs),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    connect: Connect,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct SetArgs {
    /// Tasks in each turn, 1 to 1000.
    #[arg(long, value_name = "N", env = "SILO_TENANT_WEIGHT",
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    weight: u32,

    #[command(flatten)]
    connect: Connect,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ClearArgs {
    #[command(flatten)]
    connect: Connect,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    connect: Connect,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    connect: Connect,
}

/// What is to be done.
enum Wish {
    Look,
    Weigh(u32),
    Pause(bool),
}

/// Runs one of these commands.
pub(crate) fn run(tenant: Tenant, output: Output) -> miette::Result<Exit> {
    let (connect, wish) = match tenant {
        Tenant::Show(args) => (args.connect, Wish::Look),
        Tenant::Set(args) => (args.connect, Wish::Weigh(args.weight)),
        Tenant::Clear(args) => (args.connect, Wish::Weigh(0)),
        Tenant::Pause(args) => (args.connect, Wish::Pause(true)),
        Tenant::Resume(args) => (args.connect, Wish::Pause(false)),
    };
    connect.run(async |client| {
        let info = ask(&client, wish).await?;
        output.show(&TenantView::new(info))?;
        Ok(Exit::Done)
    })
}

async fn ask(client: &Client, wish: Wish) -> Result<TenantInfo, CallFailed> {
    let (what, answer) = match wish {
        Wish::Look => ("show the tenant", client.tenant_info().await),
        Wish::Weigh(weight) => (
            "set the tenant's weight",
            client.set_tenant(Some(weight), None).await,
        ),
        Wish::Pause(true) => (
            "pause the tenant",
            client.set_tenant(None, Some(true)).await,
        ),
        Wish::Pause(false) => (
            "resume the tenant",
            client.set_tenant(None, Some(false)).await,
        ),
    };
    answer.map_err(CallFailed::of(what))
}

/// A tenant as it stands. Absent values are null.
#[derive(Debug, Serialize)]
struct TenantView {
    tenant: Option<String>,
    shard: String,
    /// What counts.
    weight: u32,
    /// Null: none was set at run time.
    weight_set: Option<u32>,
    paused_at_ms: Option<i64>,
    paused_queues: Vec<PausedView>,
    jobs: BTreeMap<&'static str, u64>,
}

/// A task group that is paused.
#[derive(Debug, Serialize)]
pub(crate) struct PausedView {
    pub(crate) task_group: String,
    pub(crate) paused_at_ms: i64,
}

impl PausedView {
    pub(crate) fn new(queue: PausedQueue) -> Self {
        Self {
            task_group: queue.task_group,
            paused_at_ms: queue.paused_at_ms,
        }
    }
}

impl TenantView {
    fn new(info: TenantInfo) -> Self {
        let counts = info.counts.unwrap_or_default();
        let jobs = [
            ("scheduled", counts.scheduled),
            ("running", counts.running),
            ("succeeded", counts.succeeded),
            ("failed", counts.failed),
            ("cancelled", counts.cancelled),
            ("quarantined", counts.quarantined),
        ];
        Self {
            tenant: info.tenant,
            shard: info.shard,
            weight: info.weight,
            weight_set: info.weight_set,
            paused_at_ms: info.paused_at_ms,
            paused_queues: info
                .paused_queues
                .into_iter()
                .map(PausedView::new)
                .collect(),
            jobs: jobs.into(),
        }
    }
}

impl Show for TenantView {
    fn text(&self) -> String {
        let by = match self.weight_set {
            Some(_) => "set at run time",
            None => "as the configuration says",
        };
        let queue = |queue: &PausedView| {
            format!("{} since {}", queue.task_group, shown(queue.paused_at_ms))
        };
        let queues: Vec<_> = self.paused_queues.iter().map(queue).collect();
        let jobs = self.jobs.iter().filter(|(_, count)| **count > 0);
        let jobs: Vec<_> = jobs
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        let list = |items: Vec<String>| (!items.is_empty()).then(|| items.join(", "));
        let since = |ms| format!("since {}", shown(ms));
        facts(&[
            ("tenant", self.tenant.clone()),
            ("shard", Some(self.shard.clone())),
            ("weight", Some(format!("{}, {by}", self.weight))),
            (
                "paused",
                Some(self.paused_at_ms.map_or_else(|| "no".to_owned(), since)),
            ),
            ("paused queues", list(queues)),
            (
                "jobs",
                Some(list(jobs).unwrap_or_else(|| "none".to_owned())),
            ),
        ])
    }
}
