//! The clock that commands are stamped with never runs backwards and slews as it says.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use silo_runtime::clock::{BACKWARD_PER_MILLE, Clock as _, FORWARD_PER_MILLE, SlewedClock};
use silo_runtime::storage::clock::WallClock;
use tokio::time::{Instant, advance};

const START: i64 = 1_700_000_000_000;

/// A wall clock that goes with tokio's clock until it is set otherwise.
#[derive(Debug)]
struct Wall {
    began: Instant,
    offset_ms: AtomicI64,
}

impl Wall {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            offset_ms: AtomicI64::new(0),
        })
    }

    fn set_by(&self, millis: i64) {
        self.offset_ms.fetch_add(millis, Ordering::SeqCst);
    }
}

#[derive(Debug)]
struct Shared(Arc<Wall>);

impl WallClock for Shared {
    fn now_ms(&self) -> i64 {
        let passed = i64::try_from(self.0.began.elapsed().as_millis()).unwrap();
        START + passed + self.0.offset_ms.load(Ordering::SeqCst)
    }
}

struct Pair {
    wall: Arc<Wall>,
    clock: SlewedClock<Shared>,
}

impl Pair {
    fn new() -> Self {
        let wall = Wall::new();
        let clock = SlewedClock::new(Shared(Arc::clone(&wall)));
        Self { wall, clock }
    }

    fn now(&self) -> i64 {
        self.clock.now().wall.as_millis()
    }

    /// How far the clock moves while so much time passes, read every `step`.
    async fn moves(&self, millis: u64, step: u64) -> i64 {
        let before = self.now();
        let mut last = before;
        for _ in 0..millis / step {
            advance(Duration::from_millis(step)).await;
            let now = self.now();
            assert!(now >= last, "it ran backwards: {now} after {last}");
            last = now;
        }
        last - before
    }
}

fn is_near(found: i64, right: i64) -> bool {
    (found - right).abs() <= 2
}

#[silo::test(start_paused = true)]
async fn it_goes_with_the_wall_clock() {
    let pair = Pair::new();
    assert_eq!(pair.now(), START);
    let moved = pair.moves(60_000, 10).await;
    assert!(is_near(moved, 60_000), "{moved}");
}

#[silo::test(start_paused = true)]
async fn it_catches_up_at_the_stated_rate() {
    let pair = Pair::new();
    pair.wall.set_by(3_600_000);
    assert!(
        is_near(pair.now(), START),
        "a leap of the wall clock is no leap of this one"
    );
    let moved = pair.moves(10_000, 100).await;
    assert!(is_near(moved, 10_000 + 10 * FORWARD_PER_MILLE), "{moved}");
    // An hour takes two to catch up.
    pair.moves(7_200_000, 1_000).await;
    assert!(is_near(pair.now(), START + 3_600_000 + 7_210_000));
    let moved = pair.moves(10_000, 100).await;
    assert!(is_near(moved, 10_000), "{moved}");
}

#[silo::test(start_paused = true)]
async fn it_waits_at_the_stated_rate_and_never_runs_backwards() {
    let pair = Pair::new();
    pair.wall.set_by(-60_000);
    let moved = pair.moves(10_000, 100).await;
    assert!(is_near(moved, 10_000 - 10 * BACKWARD_PER_MILLE), "{moved}");
    // A minute takes ten to wait for.
    pair.moves(600_000, 1_000).await;
    assert!(is_near(pair.now(), START - 60_000 + 610_000));
    let moved = pair.moves(10_000, 100).await;
    assert!(is_near(moved, 10_000), "{moved}");
}

#[silo::test(start_paused = true)]
async fn a_wall_clock_that_jumps_about_does_not_stop_it() {
    let pair = Pair::new();
    for jump in [86_400_000, -172_800_000, 5, -5, 1_000_000, -900_000] {
        pair.wall.set_by(jump);
        let moved = pair.moves(5_000, 7).await;
        assert!((4_450..=7_550).contains(&moved), "{moved} after {jump}");
    }
}

#[silo::test(start_paused = true)]
async fn being_read_all_the_time_does_not_hold_it_up() {
    let pair = Pair::new();
    for _ in 0..200_000 {
        advance(Duration::from_nanos(900)).await;
        pair.now();
    }
    let now = pair.now();
    assert!(is_near(now, START + 180), "{}", now - START);
}
