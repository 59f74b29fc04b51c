//! Keeping one lease.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::client::Client;
use crate::client::error::Error;
use crate::client::task::TaskRef;
use crate::client::time::later;

/// The length of a lease whose length the server does not tell.
const LEASE_DEFAULT: Duration = Duration::from_secs(10);
/// No try to extend a lease is given less than this.
const TRY_MIN: Duration = Duration::from_millis(20);
/// The pause after a try that failed with an answer.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// Why a lease is over.
#[derive(Debug)]
pub(crate) enum Lost {
    /// Its time passed, as measured here, and no extension was confirmed.
    Expired,
    /// The server said so.
    Told(Error),
}

/// A lease as this side may count on it: from before the request was sent that began or extended
/// it.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) task: TaskRef,
    pub(crate) worker_id: Arc<str>,
    pub(crate) length: Duration,
    confirmed: watch::Sender<Instant>,
}

impl Lease {
    pub(crate) fn new(task: TaskRef, worker_id: Arc<str>, lease_ms: i64, sent: Instant) -> Self {
        let length = match u64::try_from(lease_ms) {
            Ok(0) | Err(_) => LEASE_DEFAULT,
            Ok(ms) => Duration::from_millis(ms),
        };
        Self {
            task,
            worker_id,
            length,
            confirmed: watch::Sender::new(sent),
        }
    }

    /// When the lease is over unless it is extended.
    pub(crate) fn end(&self) -> Instant {
        later(self.confirmed(), self.length)
    }

    fn confirmed(&self) -> Instant {
        *self.confirmed.borrow()
    }

    /// Extends the lease at a third of its length, again and again, and at once after a try that
    /// failed. Calls `on_cancel` with every extension that says so. Ends when the lease is over.
    pub(crate) async fn keep(&self, client: &Client, on_cancel: impl Fn()) -> Lost {
        loop {
            let third = self.length.checked_div(3).unwrap_or_default();
            sleep_until(later(self.confirmed(), third)).await;
            if let Some(lost) = self.extend(client, &on_cancel).await {
                return lost;
            }
        }
    }

    /// Tries until one extension is confirmed.
    async fn extend(&self, client: &Client, on_cancel: &impl Fn()) -> Option<Lost> {
        loop {
            let left = self.end().saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Some(Lost::Expired);
            }
            // Half of what is left: a try that hangs leaves time for others, and the first has
            // long.
            let limit = left.checked_div(2).unwrap_or(left).max(TRY_MIN);
            let bounded = client.with_deadline(limit);
            let told = timeout_at(self.end(), bounded.heartbeat(&self.task, &self.worker_id)).await;
            match told {
                Ok(Ok(extended)) => {
                    self.confirmed
                        .send_modify(|at| *at = extended.sent.max(*at));
                    if extended.response.cancelled {
                        on_cancel();
                    }
                    return None;
                }
                Ok(Err(error)) if error.is_lease_lost() => return Some(Lost::Told(error)),
                Ok(Err(error)) => {
                    tracing::debug!(task = %self.task.id, %error, "a heartbeat failed");
                    sleep(TRY_AGAIN_AFTER.min(left)).await;
                }
                Err(_) => return Some(Lost::Expired),
            }
        }
    }
}
