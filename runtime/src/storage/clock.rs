//! Wall clocks: the one that is injected, and what SlateDB is given instead of it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use slatedb_common::clock::{DefaultSystemClock, SystemClock, SystemClockTicker};

/// The wall clock that storage is given.
pub trait WallClock: fmt::Debug + Send + Sync {
    /// Milliseconds since the epoch.
    fn now_ms(&self) -> i64;
}

/// The wall clock as it was when this value was made, advanced by the monotonic clock since.
#[derive(Debug, Default)]
pub struct SystemWallClock(DefaultSystemClock);

impl WallClock for SystemWallClock {
    fn now_ms(&self) -> i64 {
        self.0.now().timestamp_millis()
    }
}

/// The clock that one shard's database runs on: the injected clock, moved ahead as far as needed
/// to be no earlier than what the database has stored, and never running backwards.
///
/// SlateDB stamps rows, L0 files and compactions, and refuses stamps older than those stored: a
/// write waits for twice the difference (10 s at most) and then closes the database, and a flush or
/// a compaction closes it at once. After a fail-over the stored stamps are another machine's, so
/// its clock being ahead of ours must not cost more than a warning.
#[derive(Debug)]
pub(crate) struct ShardClock {
    wall: Arc<dyn WallClock>,
    ahead_ms: AtomicI64,
    last_ms: AtomicI64,
}

impl ShardClock {
    pub(crate) fn new(wall: Arc<dyn WallClock>) -> Self {
        Self {
            wall,
            ahead_ms: AtomicI64::new(0),
            last_ms: AtomicI64::new(i64::MIN),
        }
    }

    /// Moves the clock ahead so that it reads at least `floor_ms`.
    pub(crate) fn raise_to(&self, floor_ms: i64) {
        let behind_ms = floor_ms.saturating_sub(self.now_ms());
        if behind_ms > 0 {
            self.ahead_ms.fetch_add(behind_ms, Ordering::SeqCst);
        }
    }

    /// How far this clock runs ahead of the injected one, in milliseconds.
    pub(crate) fn skew_ms(&self) -> i64 {
        self.ahead_ms.load(Ordering::SeqCst)
    }

    fn now_ms(&self) -> i64 {
        let reading = self.wall.now_ms().saturating_add(self.skew_ms());
        self.last_ms
            .fetch_max(reading, Ordering::SeqCst)
            .max(reading)
    }
}

impl SystemClock for ShardClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.now_ms()).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    fn sleep<'a>(&'a self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn ticker<'a>(&'a self, duration: Duration) -> SystemClockTicker<'a> {
        SystemClockTicker::new(self, duration)
    }
}
