//! How a worker works.

use std::time::Duration;

/// What a worker is told at its start.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// Whose tasks it takes.
    pub task_group: String,
    /// Its name, not empty, and not that of another living worker.
    pub worker_id: String,
    /// How many tasks it holds at once; 0 counts as 1. Default 10.
    pub concurrency: usize,
    /// How many tasks it takes in all, before it ends once they have; `None`: no bound.
    pub tasks_max: Option<u64>,
    /// Whether it ends once nothing of it runs and every node has said since then that there is no
    /// work.
    pub ends_when_idle: bool,
    /// How long its leases are; `None`: as the job or the server says.
    pub lease_ms: Option<u32>,
    /// How long a node may wait for work before it answers that there is none; default 2 s, at most
    /// 60 s, and 0 asks again and again. A shutdown waits for the answer. With several nodes it is
    /// no longer than `idle_max`: there may be work elsewhere.
    pub wait: Duration,
    /// The first pause when a node that does not wait had nothing to lease; default 5 ms. It
    /// doubles up to `idle_max`.
    pub idle_min: Duration,
    /// The longest pause when there was nothing to lease; default 250 ms.
    pub idle_max: Duration,
    /// How long a shutdown lets running tasks end by themselves; default 30 s.
    pub drain_timeout: Duration,
    /// How long a handler that is told to stop may take before its future is dropped; default 5 s.
    pub stop_grace: Duration,
}

impl WorkerOptions {
    /// The defaults, for this task group and under this name.
    pub fn new(task_group: impl Into<String>, worker_id: impl Into<String>) -> Self {
        Self {
            task_group: task_group.into(),
            worker_id: worker_id.into(),
            concurrency: 10,
            tasks_max: None,
            ends_when_idle: false,
            lease_ms: None,
            wait: Duration::from_secs(2),
            idle_min: Duration::from_millis(5),
            idle_max: Duration::from_millis(250),
            drain_timeout: Duration::from_secs(30),
            stop_grace: Duration::from_secs(5),
        }
    }
}
