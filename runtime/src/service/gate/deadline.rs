//! When a call is over, answered or not.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::HeaderMap;
use tokio::time::{Instant, Sleep, sleep_until};

const HEADER: &str = "grpc-timeout";
/// Longest number in the header, by gRPC's specification.
const DIGITS_MAX: usize = 8;
/// Nobody waits longer: a year.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Completes when a call's time is over.
///
/// tonic watches the caller's timeout as well, further out, and would answer `CANCELLED`. Its timer
/// starts later than this one and it asks the inner service first, so looking at the clock, and not
/// only at a timer that may not have fired yet, is always the first to know.
#[derive(Debug)]
pub struct Deadline {
    at: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Deadline {
    /// The caller's deadline or the server's, whichever is earlier.
    #[must_use]
    pub fn of(headers: &HeaderMap, max: Duration) -> Self {
        let left = timeout(headers).map_or(max, |timeout| timeout.min(max));
        let now = Instant::now();
        // A deadline beyond what a clock can say is none.
        let at = now.checked_add(left.min(FAR)).unwrap_or(now);
        Self {
            at,
            sleep: Box::pin(sleep_until(at)),
        }
    }

    /// When that is.
    #[must_use]
    pub const fn at(&self) -> Instant {
        self.at
    }
}

impl Future for Deadline {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.at {
            return Poll::Ready(());
        }
        self.sleep.as_mut().poll(context)
    }
}

/// The caller's timeout. One that cannot be read is none, as in other servers.
pub fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(HEADER)?.to_str().ok()?;
    let unit = text.chars().next_back()?;
    let digits = text.strip_suffix(unit)?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    if digits.is_empty() || digits.len() > DIGITS_MAX || !is_number {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        'H' => Some(Duration::from_secs(number.saturating_mul(3600))),
        'M' => Some(Duration::from_secs(number.saturating_mul(60))),
        'S' => Some(Duration::from_secs(number)),
        'm' => Some(Duration::from_millis(number)),
        'u' => Some(Duration::from_micros(number)),
        'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}
