//! Straight on the shards of a node in this process, without gRPC.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::{Enqueue, MAX_CRASHES_DEFAULT};
use silo_core::shard::commands::lease::{Grantee, Lease};
use silo_core::shard::commands::report::{Outcome, Report};
use silo_core::shard::reply::{Content, Reply};
use silo_core::table::tenant::Queue;
use silo_core::types::name::{Priority, TaskGroup, WorkerId};
use silo_core::types::retention::Retention;
use silo_core::types::task::TaskId;
use silo_core::types::tenant::Tenant;
use silo_core::types::time::Millis;
use silo_core::types::weight::Weights;
use silo_runtime::client::payload::NIL;
use silo_runtime::executor::shard::Shard;
use silo_runtime::node::Node;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::bench::faults::Fault;
use crate::bench::loader::{LEASE_MS, Orders, Totals};

/// Commands with shards at once, as the gRPC service bounds its own.
const IN_FLIGHT_MAX: usize = 1024;
/// Bytes of one lease.
const LEASE_BYTES_MAX: u64 = 64 << 20;

/// A node in this process.
#[derive(Debug)]
pub(crate) struct Direct {
    node: Arc<Node>,
    in_flight: Semaphore,
}

/// A leased task, and the shard it comes from.
#[derive(Clone, Debug)]
pub(crate) struct DirectTask {
    shard: Arc<Shard>,
    id: TaskId,
}

impl Direct {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self {
            node,
            in_flight: Semaphore::new(IN_FLIGHT_MAX),
        }
    }

    pub(crate) async fn enqueue(
        &self,
        orders: &Orders,
        turn: u64,
        numbers: Range<u64>,
    ) -> Vec<Result<(), Fault>> {
        let tenant = match orders.tenant(turn) {
            Some(name) => Tenant::parse(name),
            None => Ok(Tenant::single()),
        };
        let (Ok(tenant), Ok(group)) = (tenant, TaskGroup::parse(&orders.group)) else {
            return vec![Err(Fault::Strange("a name is out of its bounds"))];
        };
        let Some(shard) = self.node.shard_of(&tenant) else {
            return vec![Err(Fault::Strange("no shard holds the tenant"))];
        };
        let calls = numbers.map(|number| {
            let payload = orders.payloads.of(number);
            let mut job = job(tenant.clone(), group.clone(), payload, orders.kept_ms);
            job.limits = orders.limits.direct(number);
            let shard = &shard;
            async move {
                let reply = self.call(shard, Command::Enqueue(Box::new(job))).await?;
                let Reply::Enqueued(_) = reply else {
                    return Err(Fault::Strange(
                        "an enqueue was answered with something else",
                    ));
                };
                Ok(())
            }
        });
        join_all(calls).await
    }

    pub(crate) async fn lease(
        &self,
        orders: &Orders,
        worker: u64,
        tasks_max: u32,
        wait: Duration,
    ) -> Result<Vec<(Bytes, DirectTask)>, Fault> {
        let name = WorkerId::parse(&format!("bench-{worker}"));
        let (Ok(name), Ok(group)) = (name, TaskGroup::parse(&orders.group)) else {
            return Err(Fault::Strange("a name is out of its bounds"));
        };
        let grantee = Grantee {
            worker: name,
            lease: Some(Millis::new(LEASE_MS.into())),
            lease_default: Millis::new(LEASE_MS.into()),
        };
        let until = Instant::now().checked_add(wait);
        let shards = self.node.shards();
        // As the service does it: whoever waits has a place in the line before it looks.
        let waiter = match wait.is_zero() {
            true => None,
            false => self.node.waiters().line_up(&group, None),
        };
        loop {
            if let Some(waiter) = &waiter {
                waiter.tries();
            }
            let tasks = self
                .gather(&shards, &group, &grantee, worker, tasks_max)
                .await?;
            let (Some(line), Some(until)) = (waiter.as_ref(), until) else {
                return Ok(tasks);
            };
            if !tasks.is_empty() {
                let more = shards.iter().filter(|shard| shard.may_have(&group));
                let more: Vec<_> = more.map(|shard| shard.entry().shard_id).collect();
                if let Some(waiter) = waiter {
                    waiter.had_tasks(more);
                }
                return Ok(tasks);
            }
            line.found_nothing();
            if timeout_at(until, line.woken()).await.is_err() {
                return Ok(Vec::new());
            }
        }
    }

    /// Asks one shard after the other, each worker beginning with another.
    async fn gather(
        &self,
        shards: &[Arc<Shard>],
        group: &TaskGroup,
        grantee: &Grantee,
        worker: u64,
        tasks_max: u32,
    ) -> Result<Vec<(Bytes, DirectTask)>, Fault> {
        let mut tasks = Vec::new();
        let skip = usize::try_from(worker).unwrap_or(0);
        let skip = skip.checked_rem(shards.len()).unwrap_or(0);
        for shard in shards.iter().cycle().skip(skip).take(shards.len()) {
            let have = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
            let room = tasks_max.saturating_sub(have);
            if room == 0 || !shard.may_have(group) {
                continue;
            }
            let lease = Lease {
                group: group.clone(),
                grantee: grantee.clone(),
                tasks_max: room,
                bytes_max: LEASE_BYTES_MAX,
                weights: Weights::default(),
            };
            let Reply::Leased(leased) = self.call(shard, Command::Lease(lease)).await? else {
                return Err(Fault::Strange("a lease was answered with something else"));
            };
            tasks.extend(leased.into_iter().map(|task| {
                let payload = match task.payload {
                    Content::Inline(bytes) => bytes,
                    // The driver has read it, or there would be no reply.
                    Content::Stored { .. } => Bytes::new(),
                };
                let (shard, id) = (Arc::clone(shard), task.id);
                (payload, DirectTask { shard, id })
            }));
        }
        Ok(tasks)
    }

    pub(crate) async fn report(&self, tasks: Vec<DirectTask>) -> Vec<Result<(), Fault>> {
        let reports = tasks
            .into_iter()
            .map(|DirectTask { shard, id }| async move {
                let outcome = Outcome::Success { data: NIL };
                let report = Report { task: id, outcome };
                let Reply::Reported = self.call(&shard, Command::Report(report)).await? else {
                    return Err(Fault::Strange("a report was answered with something else"));
                };
                Ok(())
            });
        join_all(reports).await
    }

    pub(crate) async fn flush_tables(&self) -> Result<(), Fault> {
        for shard in self.node.shards().iter() {
            shard.flush_tables().await?;
        }
        Ok(())
    }

    pub(crate) async fn totals(&self) -> Result<Totals, Fault> {
        let mut totals = Totals::default();
        for shard in self.node.shards().iter() {
            let tallies = shard.totals().await?;
            totals.jobs = totals.jobs.saturating_add(tallies.total());
            for ended in [tallies.succeeded, tallies.failed, tallies.cancelled] {
                totals.ended = totals.ended.saturating_add(ended);
            }
        }
        Ok(totals)
    }

    async fn call(&self, shard: &Shard, command: Command) -> Result<Reply, Fault> {
        // Nobody closes it; without a permit there would be no bound.
        let _permit = self.in_flight.acquire().await.ok();
        let reply = shard.call(command).await?;
        if let Reply::Refused(refusal) = reply {
            return Err(Fault::Refused(refusal));
        }
        Ok(reply)
    }
}

fn job(tenant: Tenant, group: TaskGroup, payload: Bytes, kept_ms: Option<u64>) -> Enqueue {
    let kept = kept_ms.map(Millis::new);
    Enqueue {
        tenant,
        id: None,
        request: None,
        queue: Queue {
            group,
            priority: Priority::default(),
        },
        start_at: None,
        retry: None,
        max_crashes: MAX_CRASHES_DEFAULT,
        limits: Vec::new(),
        lease: None,
        retention: Retention {
            succeeded: kept,
            failed: kept,
            cancelled: kept,
        },
        metadata: BTreeMap::new(),
        payload,
    }
}
