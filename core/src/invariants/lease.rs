//! SILO-LEASE-1.

use crate::invariants::Invariant;
use crate::invariants::image::{Image, name};

/// What finds a lease again says what the lease is.
pub const INVARIANT: Invariant = Invariant {
    sigil: "SILO-LEASE-1",
    statement: "A lease, its running row and the job's open attempt agree.",
    check,
};

fn check(image: &Image) -> Vec<String> {
    let mut violations = Vec::new();
    for (key, state) in &image.states {
        let Some(lease) = state.lease().filter(|_| image.is_sound(key)) else {
            continue;
        };
        let row = image.running.get(key);
        if !row.is_some_and(|row| {
            (row.attempt, row.nonce, row.duration) == (lease.attempt, lease.nonce, lease.duration)
        }) {
            violations.push(format!("{}: {lease:?}, its row is {row:?}", name(key)));
        }
        let last = state.last.as_ref();
        if !last.is_some_and(|last| {
            last.end.is_none()
                && (last.number, last.nonce) == (lease.attempt, lease.nonce)
                && last.worker == lease.worker
        }) {
            violations.push(format!("{}: {lease:?}, its attempt is {last:?}", name(key)));
        }
    }
    violations
}
