//! The bytes that all calls in flight may take together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A shared number of bytes, of which calls take their part before they take the memory.
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
        let free = Arc::clone(&self.free);
        let mut reserved = Reserved { free, bytes: 0 };
        reserved.grow_to(bytes).then_some(reserved)
    }
}

impl Reserved {
    /// How many bytes these are.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives back what is more than so many bytes.
    pub fn shrink_to(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        self.bytes = self.bytes.saturating_sub(less);
        self.free.fetch_add(less, Ordering::AcqRel);
    }

    /// Takes more, so that it is so many bytes in all. False, and nothing taken, when there are not
    /// so many.
    #[must_use]
    pub fn grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let take = |free: usize| free.checked_sub(more);
        let taken = self
            .free
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, take);
        if taken.is_ok() {
            self.bytes = self.bytes.max(bytes);
        }
        taken.is_ok()
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.free.fetch_add(self.bytes, Ordering::AcqRel);
    }
}
