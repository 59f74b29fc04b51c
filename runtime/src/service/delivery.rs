//! Tasks on their way to a worker. What does not get there is handed back at once, instead of
//! waiting for its lease to expire.

use std::sync::{Arc, Mutex, PoisonError};

use silo_core::shard::command::Command;
use silo_core::shard::commands::report::{Outcome, Report};
use silo_core::types::task::TaskId;
use tokio::runtime::Handle;
use tracing::debug;

use crate::executor::shard::Shard;

/// Tasks in one answer. When its last clone is dropped unconfirmed (the caller went away, the
/// deadline passed, the answer was too large), the tasks are handed back.
#[derive(Clone, Debug, Default)]
pub struct Delivery(Arc<InTransit>);

#[derive(Debug, Default)]
struct InTransit(Mutex<Vec<(Arc<Shard>, TaskId)>>);

impl Delivery {
    /// Takes care of another task.
    pub fn add(&self, shard: &Arc<Shard>, task: TaskId) {
        self.0.lock().push((Arc::clone(shard), task));
    }

    /// The tasks have left for their worker.
    pub fn confirm(&self) {
        self.0.lock().clear();
    }

    /// Hands one task back now.
    pub fn return_one(&self, task: &TaskId) {
        let mut tasks = self.0.lock();
        if let Some(index) = tasks.iter().position(|(_, known)| known == task) {
            hand_back(vec![tasks.swap_remove(index)]);
        }
    }
}

impl InTransit {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Arc<Shard>, TaskId)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InTransit {
    fn drop(&mut self) {
        let tasks = std::mem::take(&mut *self.lock());
        if !tasks.is_empty() {
            hand_back(tasks);
        }
    }
}

fn hand_back(tasks: Vec<(Arc<Shard>, TaskId)>) {
    // Without a runtime the process ends, and the leases expire.
    let Ok(runtime) = Handle::try_current() else {
        return;
    };
    debug!(count = tasks.len(), "tasks did not reach their worker");
    runtime.spawn(async move {
        for (shard, task) in tasks {
            let outcome = Outcome::Release;
            // If this fails, the lease expires.
            let _ = shard.call(Command::Report(Report { task, outcome })).await;
        }
    });
}
