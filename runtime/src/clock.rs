//! The time that commands are stamped with.

use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use std::time::SystemTime;

use silo_core::types::time::{Now, Timestamp, Uptime};
use tokio::time::Instant;

use crate::storage::clock::WallClock;

/// Tells the time, by both clocks. Never runs backwards.
pub trait Clock: Debug + Send + Sync {
    /// Now.
    fn now(&self) -> Now;
}

/// The wall clock of this machine as it is set now: it may jump either way.
#[derive(Clone, Copy, Debug, Default)]
pub struct MachineClock;

impl WallClock for MachineClock {
    fn now_ms(&self) -> i64 {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        // A clock set before 1970 says nothing useful.
        since_epoch.map_or(0, |passed| {
            i64::try_from(passed.as_millis()).unwrap_or(i64::MAX)
        })
    }
}

/// The wall clock as it was when the process began, moved on by the monotonic clock and slewed
/// towards the wall clock. A wall clock that is set back or forward so never makes a day's jobs
/// due at
/// once or time run backwards: this clock catches up at [`FORWARD_PER_MILLE`] or waits at
/// [`BACKWARD_PER_MILLE`] of the time that passes. Leases last by the monotonic clock alone.
#[derive(Debug)]
pub struct SlewedClock<W> {
    wall: W,
    began: Instant,
    state: Mutex<State>,
}

/// How much faster than time this clock may run when it is behind, in thousandths.
pub const FORWARD_PER_MILLE: i64 = 500;
/// How much slower than time this clock may run when it is ahead, in thousandths.
pub const BACKWARD_PER_MILLE: i64 = 100;

#[derive(Debug)]
struct State {
    read_at: Instant,
    /// What this clock said then, in microseconds, so that slewing does not round to nothing.
    micros: i64,
}

impl<W: WallClock> SlewedClock<W> {
    /// Begins at what the wall clock says now.
    pub fn new(wall: W) -> Self {
        let micros = wall.now_ms().saturating_mul(1000);
        let began = Instant::now();
        Self {
            wall,
            began,
            state: Mutex::new(State {
                read_at: began,
                micros,
            }),
        }
    }
}

impl<W: WallClock> Clock for SlewedClock<W> {
    fn now(&self) -> Now {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let elapsed = now.saturating_duration_since(state.read_at);
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        // What is less than a microsecond is left for the next reading, however soon that comes.
        let whole = Duration::from_micros(micros);
        let read_at = state.read_at.checked_add(whole).unwrap_or(now);
        let passed = i64::try_from(micros).unwrap_or(i64::MAX);
        let expected = state.micros.saturating_add(passed);
        let behind = self
            .wall
            .now_ms()
            .saturating_mul(1000)
            .saturating_sub(expected);
        let forward = passed.saturating_mul(FORWARD_PER_MILLE) / 1000;
        let backward = passed.saturating_mul(BACKWARD_PER_MILLE) / 1000;
        let micros = expected.saturating_add(behind.clamp(backward.saturating_neg(), forward));
        *state = State { read_at, micros };
        let uptime = now.saturating_duration_since(self.began).as_millis();
        Now {
            wall: Timestamp::from_millis(micros.div_euclid(1000)),
            uptime: Uptime::from_millis(u64::try_from(uptime).unwrap_or(u64::MAX)),
        }
    }
}
