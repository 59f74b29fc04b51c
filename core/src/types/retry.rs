//! Retry policy and the arithmetic of back-off.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::types::Invalid;
use crate::types::time::Millis;

/// How often and when a failed job runs again.
#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct RetryPolicy {
    /// Retries after the first attempt.
    pub retry_count: u32,
    /// Delay before the first retry.
    pub initial_interval: Millis,
    /// Longest delay; [`Millis::ZERO`] means no cap.
    pub max_interval: Millis,
    /// What each further delay is multiplied with; finite and not negative, 0 means 1.
    pub backoff_factor: f64,
    /// How the delay is spread.
    pub jitter: Jitter,
}

/// How a delay `d` is spread, so that jobs that failed together do not come back together.
/// Names and formulas as in "Exponential Backoff And Jitter" (Brooker, 2015).
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Jitter {
    /// Exactly `d`.
    None = 0,
    /// Uniform in `[0, d]`.
    Full = 1,
    /// `d/2` and uniform in `[0, d/2]` on top.
    Equal = 2,
    /// Uniform in `[initial, 3 × previous delay]`, capped by the longest delay.
    Decorrelated = 3,
}

impl RetryPolicy {
    /// Most retries a policy may ask for.
    pub const RETRY_COUNT_MAX: u32 = 10_000;

    /// Checks the policy's bounds.
    ///
    /// # Errors
    /// [`Invalid`] for a factor that is negative or not finite, or for too many retries.
    pub fn check(&self) -> Result<(), Invalid> {
        if !self.backoff_factor.is_finite() || self.backoff_factor < 0.0 {
            let value = self.backoff_factor;
            return Err(Invalid::new(
                "retry_policy.backoff_factor",
                value,
                "finite and at least 0",
            ));
        }
        if self.retry_count > Self::RETRY_COUNT_MAX {
            let bound = format!("at most {}", Self::RETRY_COUNT_MAX);
            return Err(Invalid::new(
                "retry_policy.retry_count",
                self.retry_count,
                bound,
            ));
        }
        Ok(())
    }

    /// The delay before retry `n` (1 for the first), spread by `random`; `previous` is the delay
    /// before the last retry, which only [`Jitter::Decorrelated`] looks at.
    pub fn delay(&self, n: u32, previous: Millis, random: u64) -> Millis {
        let plain = self.capped(exponential(self.initial_interval, self.backoff_factor, n));
        match self.jitter {
            Jitter::None => plain,
            Jitter::Full => uniform(0, plain.get(), random),
            Jitter::Equal => uniform(plain.get() / 2, plain.get(), random),
            Jitter::Decorrelated => {
                let first = self.initial_interval.get();
                let last = if n <= 1 { first } else { previous.get() };
                self.capped(uniform(first, last.saturating_mul(3).max(first), random))
            }
        }
    }

    fn capped(&self, delay: Millis) -> Millis {
        if self.max_interval == Millis::ZERO {
            delay
        } else {
            delay.min(self.max_interval)
        }
    }
}

/// The delay before a job runs again after its `n`-th crash in a row: 1 s, doubling to 30 s.
pub fn crash_delay(n: u32) -> Millis {
    exponential(Millis::from_secs(1), 2.0, n).min(Millis::from_secs(30))
}

/// `initial × factor^(n-1)`, saturating. Computed in `f64`, exact up to 2^53 ms (285,000 years), by
/// repeated multiplication: the precision of a power function differs between machines.
fn exponential(initial: Millis, factor: f64, n: u32) -> Millis {
    let factor = if factor == 0.0 { 1.0 } else { factor };
    #[expect(
        clippy::cast_precision_loss,
        reason = "beyond 2^53 ms nobody counts milliseconds"
    )]
    let mut delay = initial.get() as f64;
    for _ in 1..n {
        let next = delay * factor;
        // Once a delay stays what it is (0, or infinite, or the factor is 1) it does so for ever.
        if next.to_bits() == delay.to_bits() {
            break;
        }
        delay = next;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast from float to integer saturates, and the factor is not negative"
    )]
    Millis::new(delay.round() as u64)
}

/// A number in `low..=high`, uniform up to a bias below 2^-64 × the width (Lemire 2019).
fn uniform(low: u64, high: u64, random: u64) -> Millis {
    let width = u128::from(high.saturating_sub(low)).saturating_add(1);
    let offset = u128::from(random).saturating_mul(width) >> 64;
    Millis::new(low.saturating_add(u64::try_from(offset).unwrap_or(u64::MAX)))
}
