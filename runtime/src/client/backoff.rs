//! How long to wait before the next try.

use std::time::Duration;

use crate::client::entropy;

/// Pauses that double up to a cap, half of each random, so that many who failed together do not
/// come back together.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    initial: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(initial: Duration, max: Duration) -> Self {
        Self {
            initial,
            max,
            next: initial.min(max),
        }
    }

    /// The pause to make now: between a half and the whole of what this step allows.
    pub(crate) fn pause(&mut self) -> Duration {
        let whole = self.next;
        self.next = whole.saturating_mul(2).min(self.max);
        let half = whole.checked_div(2).unwrap_or_default();
        let random = entropy::up_to(u64::try_from(half.as_micros()).unwrap_or(u64::MAX));
        half.saturating_add(Duration::from_micros(random))
    }

    /// Starts again with the shortest pause.
    pub(crate) fn reset(&mut self) {
        self.next = self.initial.min(self.max);
    }
}
