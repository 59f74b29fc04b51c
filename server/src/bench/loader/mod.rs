//! Enqueues, leases and reports, over gRPC or straight on a node in this process.
//!
//! * [`wire`]: over gRPC, with the client that everybody has
//! * [`direct`]: on the shards of this process
//! * [`payload`], [`limits`]: what jobs carry

pub(crate) mod direct;
pub(crate) mod limits;
pub(crate) mod payload;
pub(crate) mod wire;

use std::ops::Range;
use std::time::Duration;

use crate::bench::faults::Fault;
use crate::bench::loader::direct::{Direct, DirectTask};
use crate::bench::loader::limits::Limits;
use crate::bench::loader::payload::Payloads;
use crate::bench::loader::wire::{Wire, WireTask};

/// How long leases last: longer than any benchmark waits for a job to end, so that none is leased
/// twice but by a bug.
pub(crate) const LEASE_MS: u32 = 3_600_000;

/// Who puts load on a server.
#[derive(Debug)]
pub(crate) struct Loader {
    way: Way,
    orders: Orders,
}

/// What jobs look like.
#[derive(Clone, Debug)]
pub(crate) struct Orders {
    /// The queue of this benchmark, and nobody else's.
    pub(crate) group: String,
    /// Whose jobs; nobody's where tenancy is off.
    pub(crate) tenants: Vec<String>,
    pub(crate) payloads: Payloads,
    pub(crate) limits: Limits,
    /// How long jobs that have ended are kept. None: as the server says.
    pub(crate) kept_ms: Option<u64>,
}

impl Orders {
    /// Tenants take turns.
    fn tenant(&self, turn: u64) -> Option<&str> {
        let count = u64::try_from(self.tenants.len()).ok()?;
        let index = usize::try_from(turn.checked_rem(count)?).ok()?;
        self.tenants.get(index).map(String::as_str)
    }
}

#[derive(Debug)]
enum Way {
    Wire(Wire),
    Direct(Direct),
}

/// A leased task.
#[derive(Debug)]
pub(crate) struct Leased {
    /// Its job's number. None: its payload is not what was sent.
    pub(crate) number: Option<u64>,
    handle: Handle,
}

#[derive(Debug)]
enum Handle {
    Wire(WireTask),
    Direct(DirectTask),
}

impl Loader {
    pub(crate) const fn over_wire(wire: Wire, orders: Orders) -> Self {
        let way = Way::Wire(wire);
        Self { way, orders }
    }

    pub(crate) const fn direct(direct: Direct, orders: Orders) -> Self {
        let way = Way::Direct(direct);
        Self { way, orders }
    }

    /// Enqueues the jobs of these numbers, all of the tenant whose turn it is.
    pub(crate) async fn enqueue(&self, turn: u64, numbers: Range<u64>) -> Vec<Result<(), Fault>> {
        match &self.way {
            Way::Wire(wire) => wire.enqueue(&self.orders, turn, numbers).await,
            Way::Direct(direct) => direct.enqueue(&self.orders, turn, numbers).await,
        }
    }

    /// Leases at most so many tasks; waits for the first one.
    pub(crate) async fn lease(
        &self,
        worker: u64,
        tasks_max: u32,
        wait: Duration,
    ) -> Result<Vec<Leased>, Fault> {
        match &self.way {
            Way::Wire(wire) => {
                let tasks = wire.lease(&self.orders, worker, tasks_max, wait).await?;
                let leased = |(payload, task): (bytes::Bytes, WireTask)| Leased {
                    number: self.orders.payloads.number(&payload),
                    handle: Handle::Wire(task),
                };
                Ok(tasks.into_iter().map(leased).collect())
            }
            Way::Direct(direct) => {
                let tasks = direct.lease(&self.orders, worker, tasks_max, wait).await?;
                let leased = |(payload, task): (bytes::Bytes, DirectTask)| Leased {
                    number: self.orders.payloads.number(&payload),
                    handle: Handle::Direct(task),
                };
                Ok(tasks.into_iter().map(leased).collect())
            }
        }
    }

    /// Reports success of all of these, in their order.
    pub(crate) async fn report(&self, worker: u64, tasks: &[Leased]) -> Vec<Result<(), Fault>> {
        let handles = tasks.iter().map(|task| &task.handle);
        match &self.way {
            Way::Wire(wire) => {
                let wire_task = |handle: &Handle| match handle {
                    Handle::Wire(task) => Some(task.clone()),
                    Handle::Direct(_) => None,
                };
                wire.report(worker, handles.filter_map(wire_task).collect())
                    .await
            }
            Way::Direct(direct) => {
                let direct_task = |handle: &Handle| match handle {
                    Handle::Direct(task) => Some(task.clone()),
                    Handle::Wire(_) => None,
                };
                direct
                    .report(handles.filter_map(direct_task).collect())
                    .await
            }
        }
    }

    /// Writes everything out to tables, where that can be asked for.
    pub(crate) async fn flush_tables(&self) -> Result<(), Fault> {
        match &self.way {
            Way::Wire(wire) => wire.flush_tables().await,
            Way::Direct(direct) => direct.flush_tables().await,
        }
    }

    /// How many jobs the server has, and how many of them have ended. None when it has others too.
    pub(crate) async fn totals(&self) -> Result<Option<Totals>, Fault> {
        match &self.way {
            Way::Wire(wire) => wire.totals().await,
            Way::Direct(direct) => direct.totals().await.map(Some),
        }
    }
}

/// What a server says of all its jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) jobs: u64,
    pub(crate) ended: u64,
}
