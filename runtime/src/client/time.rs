//! Arithmetic on the monotonic clock.

use std::time::Duration;

use tokio::time::Instant;

/// A time so much later; never earlier.
pub(crate) fn later(from: Instant, by: Duration) -> Instant {
    from.checked_add(by).unwrap_or(from)
}
