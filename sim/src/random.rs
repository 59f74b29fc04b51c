//! Chance. [`Draw`] makes plans: one stream, in order. [`Noise`] is for runs: each number is drawn
//! by name, so that leaving a step out of a plan changes no number of another.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// A stream of numbers from a seed.
#[derive(Debug)]
pub struct Draw(ChaCha8Rng);

impl Draw {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        spread(self.number(), low, high)
    }

    /// True so many times in a million.
    pub fn chance(&mut self, per_million: u32) -> bool {
        is_hit(self.number(), per_million)
    }

    /// One of these.
    pub fn one<T: Copy>(&mut self, of: &[T], or: T) -> T {
        let last = u64::try_from(of.len()).unwrap_or(0).saturating_sub(1);
        let index = usize::try_from(self.between(0, last)).unwrap_or(0);
        of.get(index).copied().unwrap_or(or)
    }

    /// A number that is small more often than large: every order of magnitude is as likely.
    pub fn skewed(&mut self, low: u64, high: u64) -> u64 {
        let width = high.saturating_sub(low).saturating_add(1);
        let bits = u64::from(width.ilog2());
        let top = 1_u64 << self.between(0, bits).min(63);
        low.saturating_add(self.between(0, top).min(high.saturating_sub(low)))
    }
}

/// Numbers by name.
#[derive(Clone, Copy, Debug)]
pub struct Noise(u64);

/// What a number is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Of {
    /// A request on its way.
    Request = 1,
    /// An answer on its way.
    Answer = 2,
    /// Whether an endpoint looks for another server.
    Route = 3,
    /// Reading rows.
    Load = 4,
    /// Taking in a batch.
    Write = 5,
    /// Making an object of the log.
    Put = 6,
    /// Reading or writing the manifest.
    Manifest = 7,
    /// The stage getting its turn.
    Turn = 8,
    /// What a worker does with a task.
    Work = 9,
    /// When a worker asks again.
    Poll = 10,
    /// Entropy of stamps.
    Stamp = 11,
    /// What a client does after an answer.
    Client = 12,
    /// Faults that need a number.
    Fault = 13,
}

impl Noise {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Self {
        Self(Draw::new(seed ^ 0x006e_6f69_7365).number())
    }

    /// The number of this name.
    pub const fn number(self, of: Of, first: u64, second: u64) -> u64 {
        let named = mix(self.0 ^ (of as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mix(mix(named.wrapping_add(first)).wrapping_add(second))
    }
}

/// A number from `low` to `high`, both included, out of any number.
pub fn spread(number: u64, low: u64, high: u64) -> u64 {
    let width = u128::from(high.saturating_sub(low)).saturating_add(1);
    let offset = u128::from(number).saturating_mul(width) >> 64;
    low.saturating_add(u64::try_from(offset).unwrap_or(0))
}

/// Whether any number is one of so many in a million.
pub const fn is_hit(number: u64, per_million: u32) -> bool {
    // The low half: the high one may serve for how much.
    (number & 0xffff_ffff).wrapping_mul(1_000_000) >> 32 < per_million as u64
}

const fn mix(state: u64) -> u64 {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}
