//! How long a call may wait, and how it does: without its place among the calls in flight.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::service::gate::place::Place;

/// Longest wait. A longer one is cut.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How long before its deadline a call that waits is answered: a tenth of what was left, within
/// these bounds.
const MARGIN_MIN: Duration = Duration::from_millis(20);
const MARGIN_MAX: Duration = Duration::from_secs(1);

/// The time that a call may wait.
pub(crate) struct WaitLimit {
    /// When it began.
    pub(crate) began: Instant,
    until: Instant,
    /// The call's place, when it came through the gate.
    place: Option<Place>,
}

impl WaitLimit {
    /// Begins now, and lasts as long as was asked, but not to the call's deadline.
    pub(crate) fn begin(asked: Duration, place: Option<Place>) -> Self {
        let began = Instant::now();
        let wait = asked.min(WAIT_MAX);
        let mut until = began.checked_add(wait).unwrap_or(began);
        if let Some(place) = &place {
            let left = place.deadline.saturating_duration_since(began);
            let margin = left.div_f64(10.0).clamp(MARGIN_MIN, MARGIN_MAX);
            let latest = place.deadline.checked_sub(margin).unwrap_or(began);
            until = until.min(latest);
        }
        Self {
            began,
            until,
            place,
        }
    }

    /// Whether the call must be answered now: its time is over, or the server shuts down.
    pub(crate) fn is_over(&self) -> bool {
        let is_draining = |place: &Place| place.draining.is_cancelled();
        Instant::now() >= self.until || self.place.as_ref().is_some_and(is_draining)
    }

    /// Sleeps until it is woken, or `retry` or the limit has come.
    pub(crate) async fn sleep(&self, woken: impl Future<Output = ()>, retry: Option<Instant>) {
        let wake = retry.map_or(self.until, |retry| retry.min(self.until));
        let Some(place) = &self.place else {
            let _ = timeout_at(wake, woken).await;
            return;
        };
        place.leave();
        tokio::select! {
            () = woken => {}
            () = sleep_until(wake) => {}
            () = place.draining.cancelled() => {}
        }
        place.come_back().await;
    }
}
