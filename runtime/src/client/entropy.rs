//! The client's only source of randomness.

use uuid::Uuid;

/// 16 random bytes that name one call, however often it is repeated.
pub(crate) fn request_id() -> [u8; 16] {
    Uuid::new_v4().into_bytes()
}

/// Any of `0..=bound`, nearly uniformly.
pub(crate) fn up_to(bound: u64) -> u64 {
    let (_, low) = Uuid::new_v4().as_u64_pair();
    // The two highest bits of this half tell the variant of the UUID.
    let random = low & (u64::MAX >> 2);
    match bound.checked_add(1) {
        Some(choices) => random.checked_rem(choices).unwrap_or_default(),
        None => random,
    }
}
