//! The clocks of a machine: what its wall clock says, and the clock that a server stamps commands
//! with, slewed as production slews it.

use silo_core::types::time::{Now, Timestamp, Uptime};
use silo_runtime::clock::{BACKWARD_PER_MILLE, FORWARD_PER_MILLE};

/// Time in a world, in microseconds since it began.
pub type At = u64;

/// What every wall clock says when a world begins, in milliseconds.
pub const START_MS: i64 = 1_700_000_000_000;
/// Microseconds in a millisecond.
pub const MS: At = 1_000;

/// What the wall clock of a machine says that was set by `offset_ms`, in microseconds.
pub const fn wall_micros(now: At, offset_ms: i64) -> i64 {
    (now as i64)
        .saturating_add(START_MS.saturating_mul(1000))
        .saturating_add(offset_ms.saturating_mul(1000))
}

/// The clock of one process.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: At,
    read_at: At,
    micros: i64,
}

impl Clock {
    /// Begins at what the wall clock says.
    pub const fn new(now: At, offset_ms: i64) -> Self {
        Self {
            began: now,
            read_at: now,
            micros: wall_micros(now, offset_ms),
        }
    }

    /// What it says now. Never less than before.
    pub fn read(&mut self, now: At, offset_ms: i64) -> Now {
        let passed = i64::try_from(now.saturating_sub(self.read_at)).unwrap_or(i64::MAX);
        let expected = self.micros.saturating_add(passed);
        let behind = wall_micros(now, offset_ms).saturating_sub(expected);
        let forward = passed.saturating_mul(FORWARD_PER_MILLE) / 1000;
        let backward = passed.saturating_mul(BACKWARD_PER_MILLE) / 1000;
        self.micros = expected.saturating_add(behind.clamp(backward.saturating_neg(), forward));
        self.read_at = self.read_at.max(now);
        Now {
            wall: Timestamp::from_millis(self.micros.div_euclid(1000)),
            uptime: Uptime::from_millis(now.saturating_sub(self.began) / MS),
        }
    }
}
