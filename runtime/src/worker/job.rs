//! What a handler is given.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::client::payload;
use crate::proto::Task;

/// A leased task, as its handler sees it.
#[derive(Clone, Debug)]
pub struct Job {
    /// The task as the server told it.
    pub task: Arc<Task>,
    stop: Stop,
}

/// Why a handler should stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// Cancellation was asked for. What the handler answers is reported, whenever it answers.
    Cancelled,
    /// The lease is over: another worker may be running the job. What the handler answers counts
    /// for nothing.
    LeaseLost,
    /// The worker shuts down and cannot wait any longer. Only a success is still reported; else the
    /// job goes back to its place.
    Shutdown,
}

impl Job {
    pub(crate) fn new(task: Arc<Task>, stop: Stop) -> Self {
        Self { task, stop }
    }

    /// The job's payload, MessagePack; nil if it has none.
    pub fn payload(&self) -> Bytes {
        payload::unpack(self.task.payload.clone())
    }

    /// Cancelled once the handler should stop, for whatever cause.
    pub fn stop_token(&self) -> &CancellationToken {
        &self.stop.token
    }

    /// Why the handler should stop; `None` as long as it should not.
    pub fn stop_cause(&self) -> Option<StopCause> {
        *self
            .stop
            .cause
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells a handler to stop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop {
    token: CancellationToken,
    cause: Arc<Mutex<Option<StopCause>>>,
}

impl Stop {
    /// Tells it; the first cause stays.
    pub(crate) fn ask(&self, cause: StopCause) {
        let mut first = self.cause.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(cause);
        drop(first);
        self.token.cancel();
    }
}
