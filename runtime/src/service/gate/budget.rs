//! The bytes that all requests in flight may take together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A shared number of bytes, of which requests take their part before they are received.
#[derive(Clone, Debug)]
pub struct Budget {
    free: Arc<AtomicUsize>,
    bytes_max: usize,
}

/// Bytes taken from a budget; given back on drop.
#[derive(Debug)]
pub struct Reserved {
    free: Arc<AtomicUsize>,
    bytes: usize,
}

impl Budget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            free: Arc::new(AtomicUsize::new(bytes_max)),
            bytes_max,
        }
    }

    /// All there is when nothing is taken.
    #[must_use]
    pub const fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// What nobody has taken.
    #[must_use]
    pub fn free(&self) -> usize {
        self.free.load(Ordering::Acquire)
    }

    /// Takes bytes, if there are so many.
    #[must_use]
    pub fn reserve(&self, bytes: usize) -> Option<Reserved> {
        let take = |free: usize| free.checked_sub(bytes);
        self.free
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, take)
            .ok()?;
        Some(Reserved {
            free: Arc::clone(&self.free),
            bytes,
        })
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.free.fetch_add(self.bytes, Ordering::AcqRel);
    }
}
