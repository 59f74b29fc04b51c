//! A retry policy.

use silo_core::types::Invalid;
use silo_core::types::retry::{Jitter, RetryPolicy};

use crate::proto;
use crate::service::parse::millis;

/// Takes a policy. Its other bounds are the core's to check.
///
/// # Errors
/// [`Invalid`] for a negative interval or an unknown jitter.
pub fn policy(policy: &proto::RetryPolicy) -> Result<RetryPolicy, Invalid> {
    Ok(RetryPolicy {
        retry_count: policy.retry_count,
        initial_interval: millis(
            "retry_policy.initial_interval_ms",
            policy.initial_interval_ms,
        )?,
        max_interval: millis("retry_policy.max_interval_ms", policy.max_interval_ms)?,
        backoff_factor: policy.backoff_factor,
        jitter: jitter(policy)?,
    })
}

/// `randomize_interval` means full jitter, unless the policy says it more precisely.
fn jitter(policy: &proto::RetryPolicy) -> Result<Jitter, Invalid> {
    let unknown = |_| Invalid::new("retry_policy.jitter", policy.jitter, "a known jitter");
    let jitter = proto::Jitter::try_from(policy.jitter).map_err(unknown)?;
    Ok(match jitter {
        proto::Jitter::Unspecified if policy.randomize_interval => Jitter::Full,
        proto::Jitter::Unspecified | proto::Jitter::None => Jitter::None,
        proto::Jitter::Full => Jitter::Full,
        proto::Jitter::Equal => Jitter::Equal,
        proto::Jitter::Decorrelated => Jitter::Decorrelated,
    })
}
