//! `DumpTasks`: what the server is doing right now, as JSON for people. Nobody is asked and nothing
//! waited for, so that it answers also when shards do not.

use std::collections::BTreeMap;

use serde::Serialize;
use tokio::runtime::Handle;

use crate::metrics::now::{state_name, status_name};
use crate::node::Node;
use crate::proto::DumpTasksResponse;
use crate::service::denial::Denial;

/// What the server is doing.
#[derive(Serialize)]
struct Dump {
    node: String,
    /// Tokio's tasks; what each of them does it does not tell.
    tasks: Tasks,
    /// Calls that were not answered yet, by method; this one among them.
    calls_in_flight: BTreeMap<&'static str, i64>,
    /// `LeaseTasks` calls that wait for work, and how many task groups they wait for.
    lease_waiters: usize,
    lease_waiter_groups: usize,
    shards: Vec<ShardDump>,
}

#[derive(Serialize)]
struct Tasks {
    alive: usize,
    ready: usize,
    workers: usize,
}

#[derive(Serialize)]
struct ShardDump {
    shard: String,
    state: &'static str,
    jobs: BTreeMap<&'static str, u64>,
    queued_commands: u64,
    queued_bytes: u64,
    unflushed_bytes: u64,
}

/// Writes down what a node is doing.
///
/// # Errors
/// [`Denial::Bug`] when that cannot be written.
pub(crate) fn dump_tasks(node: &Node) -> Result<DumpTasksResponse, Denial> {
    let tokio = Handle::current().metrics();
    let alive = tokio.num_alive_tasks();
    let shards = node.shards();
    let shards = shards.iter().map(|shard| {
        let now = shard.now();
        let jobs = now.jobs().map(|(status, jobs)| (status_name(status), jobs));
        ShardDump {
            shard: shard.entry().shard_id.to_string(),
            state: state_name(&shard.state().borrow()),
            jobs: jobs.collect(),
            queued_commands: now.commands(),
            queued_bytes: now.command_bytes(),
            unflushed_bytes: now.unflushed_bytes(),
        }
    });
    let calls = node.metrics().calls().in_flight().into_iter();
    let dump = Dump {
        node: node.options().node_id.clone(),
        tasks: Tasks {
            alive,
            ready: tokio.global_queue_depth(),
            workers: tokio.num_workers(),
        },
        calls_in_flight: calls.filter(|(_, count)| *count != 0).collect(),
        lease_waiters: *node.waiters().waiting().borrow(),
        lease_waiter_groups: node.waiters().groups(),
        shards: shards.collect(),
    };
    let dump = serde_json::to_string_pretty(&dump);
    Ok(DumpTasksResponse {
        dump: dump.map_err(|_| Denial::Bug("a dump could not be written"))?,
        task_count: u32::try_from(alive).unwrap_or(u32::MAX),
    })
}
