//! Over gRPC, with the client that everybody has.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use silo_runtime::client::Client;
use silo_runtime::client::enqueue::Enqueue;
use silo_runtime::client::error::Error;
use silo_runtime::client::payload;
use silo_runtime::client::task::{Outcome, TaskRef};
use silo_runtime::proto::silo_client::SiloClient;
use silo_runtime::proto::{
    FlushShardRequest, GetNodeInfoRequest, LeaseTasksRequest, Retention, Task,
};
use tonic::Status;
use tonic::transport::Channel;

use crate::bench::faults::Fault;
use crate::bench::loader::{LEASE_MS, Orders, Totals};

/// A leased task.
pub(crate) type WireTask = TaskRef;

/// Clients, each with a connection of its own.
#[derive(Debug)]
pub(crate) struct Wire {
    clients: Vec<Client>,
    /// To what operators ask, of a server that is the benchmark's own.
    operator: Option<SiloClient<Channel>>,
}

impl Wire {
    /// # Errors
    /// [`Fault`] if there is no client.
    pub(crate) fn new(
        clients: Vec<Client>,
        operator: Option<SiloClient<Channel>>,
    ) -> Result<Self, Fault> {
        if clients.is_empty() {
            return Err(Fault::Strange("there is no connection"));
        }
        Ok(Self { clients, operator })
    }

    pub(crate) async fn enqueue(
        &self,
        orders: &Orders,
        turn: u64,
        numbers: Range<u64>,
    ) -> Vec<Result<(), Fault>> {
        let client = match self.client(turn) {
            Ok(client) => client,
            Err(fault) => return vec![Err(fault)],
        };
        let client = match orders.tenant(turn) {
            Some(tenant) => client.with_tenant(tenant),
            None => client.clone(),
        };
        let mut jobs: Vec<_> = numbers.map(|number| job(orders, number)).collect();
        let results = match (jobs.len(), jobs.pop()) {
            (1, Some(job)) => vec![client.enqueue(job).await],
            (_, last) => {
                jobs.extend(last);
                client.enqueue_batch(jobs).await
            }
        };
        let results = results.into_iter();
        results.map(|id| Ok(id.map(drop)?)).collect()
    }

    pub(crate) async fn lease(
        &self,
        orders: &Orders,
        worker: u64,
        tasks_max: u32,
        wait: Duration,
    ) -> Result<Vec<(Bytes, WireTask)>, Fault> {
        let request = LeaseTasksRequest {
            worker_id: format!("bench-{worker}"),
            max_tasks: tasks_max,
            task_group: orders.group.clone(),
            wait_ms: u32::try_from(wait.as_millis()).unwrap_or(u32::MAX),
            lease_ms: Some(LEASE_MS),
            ..LeaseTasksRequest::default()
        };
        let leased = self.client(worker)?.lease_tasks(request).await?;
        let task = |task: Task| {
            let reference = TaskRef::from(&task);
            (payload::unpack(task.payload), reference)
        };
        Ok(leased.response.tasks.into_iter().map(task).collect())
    }

    pub(crate) async fn report(&self, worker: u64, tasks: Vec<WireTask>) -> Vec<Result<(), Fault>> {
        let client = match self.client(worker) {
            Ok(client) => client,
            Err(fault) => return vec![Err(fault)],
        };
        let outcomes = tasks
            .into_iter()
            .map(|task| (task, Outcome::Success(payload::NIL)))
            .collect();
        let results = client.report_all(outcomes).await.into_iter();
        results.map(|result| Ok(result?)).collect()
    }

    pub(crate) async fn flush_tables(&self) -> Result<(), Fault> {
        let Some(mut operator) = self.operator.clone() else {
            return Ok(());
        };
        for shard in self.shards().await? {
            let request = FlushShardRequest {
                shard: shard.shard_id,
            };
            operator.flush_shard(request).await.map_err(failed)?;
        }
        Ok(())
    }

    pub(crate) async fn totals(&self) -> Result<Option<Totals>, Fault> {
        if self.operator.is_none() {
            return Ok(None);
        }
        let mut totals = Totals::default();
        for shard in self.shards().await? {
            let count = |jobs: i64| u64::try_from(jobs).unwrap_or(0);
            totals.jobs = totals.jobs.saturating_add(count(shard.total_jobs));
            totals.ended = totals.ended.saturating_add(count(shard.completed_jobs));
        }
        Ok(Some(totals))
    }

    async fn shards(&self) -> Result<Vec<silo_runtime::proto::OwnedShardInfo>, Fault> {
        let Some(mut operator) = self.operator.clone() else {
            return Ok(Vec::new());
        };
        let info = operator.get_node_info(GetNodeInfoRequest {}).await;
        Ok(info.map_err(failed)?.into_inner().owned_shards)
    }

    /// Connections take turns.
    fn client(&self, turn: u64) -> Result<&Client, Fault> {
        let count = u64::try_from(self.clients.len()).unwrap_or(u64::MAX);
        let index = turn.checked_rem(count).unwrap_or(0);
        let client = self.clients.get(usize::try_from(index).unwrap_or(0));
        client.ok_or(Fault::Strange("there is no connection"))
    }
}

fn job(orders: &Orders, number: u64) -> Enqueue {
    let retention = orders.kept_ms.map(|kept| {
        let kept = i64::try_from(kept).ok();
        Retention {
            succeeded_ms: kept,
            failed_ms: kept,
            cancelled_ms: kept,
        }
    });
    Enqueue {
        retention,
        limits: orders.limits.on_wire(number),
        ..Enqueue::new(orders.group.clone(), orders.payloads.of(number))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn failed(status: Status) -> Fault {
    Fault::Call(Error::Unavailable(status.to_string()))
}
