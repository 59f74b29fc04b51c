//! One fault at work.

use std::sync::{Arc, Mutex, PoisonError};

use object_store::path::Path;
use object_store::{Error, Result};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::fault::{Fault, Operation, Requests};

/// A fault that was injected. It ends when this is dropped.
#[derive(Debug)]
#[must_use = "the fault ends when this is dropped"]
pub struct Injected {
    strike: Arc<Strike>,
}

impl Injected {
    pub(crate) fn new(strike: Arc<Strike>) -> Self {
        Self { strike }
    }

    /// How many requests it has struck.
    #[must_use]
    pub fn hits(&self) -> u64 {
        *self.strike.hits.borrow()
    }

    /// Waits until it has struck so many requests.
    pub async fn struck(&self, hits: u64) {
        // The sender is in our hands.
        let _ = self
            .strike
            .hits
            .subscribe()
            .wait_for(|struck| *struck >= hits)
            .await;
    }

    /// Ends it. Dropping does the same.
    pub fn end(self) {}
}

impl Drop for Injected {
    fn drop(&mut self) {
        self.strike.over.send_replace(true);
    }
}

/// What a store knows of a fault.
#[derive(Debug)]
pub(crate) struct Strike {
    fault: Fault,
    requests: Requests,
    hits: watch::Sender<u64>,
    over: watch::Sender<bool>,
    chance: Mutex<ChaCha8Rng>,
}

impl Strike {
    pub(crate) fn new(fault: Fault, requests: Requests) -> Arc<Self> {
        Arc::new(Self {
            fault,
            requests,
            hits: watch::channel(0).0,
            over: watch::channel(false).0,
            chance: Mutex::new(ChaCha8Rng::seed_from_u64(0)),
        })
    }

    pub(crate) fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// Whether this strikes the request, which is counted then.
    pub(crate) fn meets(&self, operation: Operation, location: &Path) -> bool {
        if self.is_over() || !self.requests.include(operation, location) || !self.is_drawn() {
            return false;
        }
        self.hits.send_if_modified(|hits| {
            let strikes = *hits < self.requests.times_max();
            *hits = hits.saturating_add(u64::from(strikes));
            strikes
        })
    }

    /// What happens before the request would be done. Yields the error to report once it is done.
    pub(crate) async fn befall(&self, location: &Path) -> Result<Option<Error>> {
        match self.fault {
            Fault::Fails(trouble) => Err(trouble.error(location)),
            Fault::LosesAnswer(trouble) => Ok(Some(trouble.error(location))),
            Fault::Hangs => std::future::pending().await,
            Fault::Waits => {
                // The sender is in our hands.
                let _ = self.over.subscribe().wait_for(|over| *over).await;
                Ok(None)
            }
            Fault::Delays(delay) => {
                sleep(delay).await;
                Ok(None)
            }
        }
    }

    fn is_drawn(&self) -> bool {
        let chance = self.requests.chance();
        let mut random = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        chance >= 1000 || random.next_u32() % 1000 < chance
    }
}
