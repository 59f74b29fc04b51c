//! Arithmetic on the monotonic clock.

use std::time::Duration;

use tokio::time::Instant;

/// Nobody waits longer: a year. Clocks do not count to the longest duration that there is.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// A time so much later, at most a year; never earlier.
pub(crate) fn later(from: Instant, by: Duration) -> Instant {
    from.checked_add(by.min(FAR)).unwrap_or(from)
}
