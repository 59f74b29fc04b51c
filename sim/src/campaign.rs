//! Many seeds, on several threads, each world in one of them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::check::{Counts, Violation};
use crate::clock::At;
use crate::cover::Cover;
use crate::plan::Plan;
use crate::plan::profile::Profile;
use crate::trace::Trace;
use crate::world::{Ran, World};

/// What is to be run.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    /// The first seed.
    pub first: u64,
    /// The last seed.
    pub last: u64,
    /// What kind of worlds.
    pub profile: Profile,
    /// Threads.
    pub jobs: u32,
    /// No seed is begun after so long.
    pub time_max: Option<Duration>,
}

/// What a campaign has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Worlds.
    pub worlds: u64,
    /// Events.
    pub events: u64,
    /// Time in the worlds, in microseconds.
    pub lasted: At,
    /// The hashes of all worlds together, whatever order they were run in.
    pub hash: u64,
    /// What was seen.
    pub cover: Cover,
    /// What was checked.
    pub checked: Counts,
    /// Seeds that are wrong, by number.
    pub wrong: Vec<(u64, Violation)>,
}

/// Runs the plan of a seed.
pub fn run(seed: u64, profile: Profile) -> Ran {
    let plan = Plan::of(seed, profile);
    World::new(&plan, Trace::default()).run().0
}

impl Seen {
    fn take(&mut self, seed: u64, ran: Ran) {
        self.worlds += 1;
        self.events += ran.events;
        self.lasted += ran.lasted;
        self.hash ^= ran.hash.rotate_left((seed % 61) as u32);
        self.cover.add(&ran.cover);
        self.checked.add(&ran.checked);
        if let Some(violation) = ran.violation {
            self.wrong.push((seed, violation));
        }
    }

    fn add(&mut self, other: Self) {
        self.worlds += other.worlds;
        self.events += other.events;
        self.lasted += other.lasted;
        self.hash ^= other.hash;
        self.cover.add(&other.cover);
        self.checked.add(&other.checked);
        self.wrong.extend(other.wrong);
        self.wrong.sort_by_key(|(seed, _)| *seed);
    }
}

impl Campaign {
    /// Runs it. Stops early once `wrong_max` worlds were found wrong.
    pub fn run(&self, wrong_max: usize) -> Seen {
        let next = AtomicU64::new(self.first);
        let is_over = AtomicBool::new(false);
        let seen = Mutex::new(Seen::default());
        let began = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(|| {
                    let mut mine = Seen::default();
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        let is_late = self.time_max.is_some_and(|max| began.elapsed() > max);
                        if seed > self.last || is_late || is_over.load(Ordering::Relaxed) {
                            break;
                        }
                        mine.take(seed, run(seed, self.profile));
                        if mine.wrong.len() >= wrong_max {
                            is_over.store(true, Ordering::Relaxed);
                        }
                    }
                    if let Ok(mut seen) = seen.lock() {
                        seen.add(mine);
                    }
                });
            }
        });
        seen.into_inner().unwrap_or_default()
    }
}
