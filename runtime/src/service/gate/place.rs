//! A call's place among those in flight, which a call that only waits gives back meanwhile.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::service::gate::metered::Held;

/// What a call holds, and when it must end. Clones are the same call's.
#[derive(Clone, Debug)]
pub struct Place {
    calls: Arc<Semaphore>,
    permit: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
    held: Held,
    /// When the caller's deadline, or the server's, has passed.
    pub deadline: Instant,
    /// Set when shutdown begins.
    pub draining: CancellationToken,
}

impl Place {
    /// The place of a call that was let in.
    #[must_use]
    pub fn new(
        calls: Arc<Semaphore>,
        permit: OwnedSemaphorePermit,
        held: Held,
        deadline: Instant,
        draining: CancellationToken,
    ) -> Self {
        Self {
            calls,
            permit: Arc::new(Mutex::new(Some(permit))),
            held,
            deadline,
            draining,
        }
    }

    /// Takes the permit out, for whoever goes on with the call.
    #[must_use]
    pub fn take(&self) -> Option<OwnedSemaphorePermit> {
        let mut permit = self.permit.lock().unwrap_or_else(PoisonError::into_inner);
        permit.take()
    }

    /// Gives back the place and the request's memory: the call waits, and has read its request.
    pub fn leave(&self) {
        drop(self.take());
        self.held.give_back();
    }

    /// Takes a place again, as soon as there is one.
    pub async fn come_back(&self) {
        // Nobody closes the semaphore; without a place the call goes on all the same.
        let permit = Arc::clone(&self.calls).acquire_owned().await.ok();
        *self.permit.lock().unwrap_or_else(PoisonError::into_inner) = permit;
    }
}
