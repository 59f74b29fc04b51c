//! `silo queue`: task groups that are paused.

use clap::{Args, Subcommand};
use serde::Serialize;
use silo_runtime::client::Client;

use crate::connect::Connect;
use crate::exit::Exit;
use crate::failure::CallFailed;
use crate::moment::shown;
use crate::output::{Output, Show, say};
use crate::table::table;
use crate::tenant::PausedView;

/// Pause task groups, of all tenants or of one.
#[derive(Debug, Subcommand)]
pub(crate) enum Queue {
    /// Lease nothing more of a task group: of all tenants, unless one is named. What is leased goes
    /// on, jobs are taken as ever, and those that are ready keep their slots of limits.
    Pause(PauseArgs),
    /// Lease its jobs again. What was paused for one tenant is resumed for that tenant.
    Resume(ResumeArgs),
    /// List the task groups that are paused: for all tenants, and for one if it is named.
    List(ListArgs),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct PauseArgs {
    /// The task group.
    #[arg(value_name = "TASK_GROUP")]
    task_group: String,

    #[command(flatten)]
    connect: Connect,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The task group.
    #[arg(value_name = "TASK_GROUP")]
    task_group: String,

    #[command(flatten)]
    connect: Connect,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    connect: Connect,
}

/// Runs one of these commands.
pub(crate) fn run(queue: Queue, output: Output) -> miette::Result<Exit> {
    match queue {
        Queue::Pause(args) => {
            let of = tenant(&args.connect);
            args.connect
                .run(async |client| set(&client, output, args.task_group.clone(), of, true).await)
        }
        Queue::Resume(args) => {
            let of = tenant(&args.connect);
            args.connect
                .run(async |client| set(&client, output, args.task_group.clone(), of, false).await)
        }
        Queue::List(args) => {
            let of = tenant(&args.connect);
            args.connect
                .run(async |client| list(&client, output, of).await)
        }
    }
}

fn tenant(connect: &Connect) -> Option<String> {
    connect.tenant.clone().filter(|name| !name.is_empty())
}

/// What became of it.
#[derive(Serialize)]
struct Done {
    task_group: String,
    tenant: Option<String>,
    is_paused: bool,
    /// On so many.
    shards: usize,
}

impl Show for Done {
    fn text(&self) -> String {
        let how = if self.is_paused { "paused" } else { "resumed" };
        match &self.tenant {
            Some(tenant) => format!("{} is {how} for tenant {tenant}", self.task_group),
            None => format!("{} is {how} on {} shards", self.task_group, self.shards),
        }
    }
}

/// On the tenant's shard, or on all: each is asked, and the first that fails ends it.
async fn set(
    client: &Client,
    output: Output,
    task_group: String,
    tenant: Option<String>,
    is_paused: bool,
) -> miette::Result<Exit> {
    let shards = shards(client, tenant.is_some()).await?;
    let verb = if is_paused { "pause" } else { "resume" };
    for shard in &shards {
        let answer = if is_paused {
            client.pause_queue(shard, &task_group).await
        } else {
            client.resume_queue(shard, &task_group).await
        };
        let what = format!("{verb} task group {task_group} on shard {shard}");
        answer.map_err(CallFailed::of(what))?;
    }
    output.show(&Done {
        task_group,
        tenant,
        is_paused,
        shards: shards.len(),
    })?;
    Ok(Exit::Done)
}

/// A task group that is paused.
#[derive(Serialize)]
struct Paused {
    task_group: String,
    /// Null: of all.
    tenant: Option<String>,
    shard: String,
    paused_at_ms: i64,
}

impl Paused {
    fn row(&self) -> [String; 4] {
        [
            self.task_group.clone(),
            self.tenant.clone().unwrap_or_else(|| "all".to_owned()),
            self.shard.clone(),
            shown(self.paused_at_ms),
        ]
    }
}

impl Show for Paused {
    fn text(&self) -> String {
        self.row().join(" ")
    }
}

async fn list(client: &Client, output: Output, tenant: Option<String>) -> miette::Result<Exit> {
    let mut queues = Vec::new();
    for shard in shards(client, false).await? {
        let found = client.paused_queues(&shard).await;
        let what = format!("list paused task groups of shard {shard}");
        for queue in found.map_err(CallFailed::of(what))? {
            queues.push(Paused {
                task_group: queue.task_group,
                tenant: None,
                shard: shard.clone(),
                paused_at_ms: queue.paused_at_ms,
            });
        }
    }
    if tenant.is_some() {
        let info = client.tenant_info().await;
        let info = info.map_err(CallFailed::of("show the tenant"))?;
        let shard = &info.shard;
        queues.extend(info.paused_queues.into_iter().map(|queue| {
            let PausedView {
                task_group,
                paused_at_ms,
            } = PausedView::new(queue);
            Paused {
                task_group,
                tenant: tenant.clone(),
                shard: shard.clone(),
                paused_at_ms,
            }
        }));
    }
    match output {
        Output::Json => queues.iter().try_for_each(|queue| output.show(queue))?,
        Output::Text if queues.is_empty() => say("no task group is paused")?,
        Output::Text => {
            let header = ["TASK GROUP", "TENANT", "SHARD", "SINCE"];
            say(&table(header, queues.iter().map(Paused::row)))?;
        }
    }
    Ok(Exit::Done)
}

/// The tenant's shard, or all.
async fn shards(client: &Client, of_tenant: bool) -> miette::Result<Vec<String>> {
    let info = client.cluster_info().await;
    let all = info
        .map_err(CallFailed::of("list the shards"))?
        .shard_owners;
    if of_tenant && let Some(shard) = client.shard_of_tenant() {
        return Ok(vec![shard]);
    }
    Ok(all.into_iter().map(|shard| shard.shard_id).collect())
}
