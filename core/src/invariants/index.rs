//! SILO-IDX-1.

use crate::invariants::Invariant;
use crate::invariants::image::{Image, job_of_due, job_of_ready, job_of_waiter, name};
use crate::table::job::JobKey;
use crate::table::state::{Position, StateRow};

/// No index row speaks of something that is not so.
pub const INVARIANT: Invariant = Invariant {
    sigil: "SILO-IDX-1",
    statement: "Each ready, due, running, waiter or expiry row names a job whose position names \
                exactly that row.",
    check,
};

fn check(image: &Image) -> Vec<String> {
    let mut violations = Vec::new();
    for row in &image.ready {
        let key = job_of_ready(row);
        let named = |state: &StateRow| {
            state.position == Position::Ready(row.place) && state.queue == row.queue
        };
        if !agrees(image, &key, named) {
            violations.push(format!("a ready row at {:?}: {}", row.place, name(&key)));
        }
    }
    for row in &image.due {
        let key = job_of_due(row);
        if !agrees(image, &key, |state| {
            state.position == Position::Due(row.place)
        }) {
            violations.push(format!("a due row at {:?}: {}", row.place, name(&key)));
        }
    }
    for row in &image.expiry {
        let key = job_of_due(row);
        let named = |state: &StateRow| match &state.position {
            Position::Ended { expires, .. } => *expires == Some(row.place),
            Position::Due(_)
            | Position::Ready(_)
            | Position::Leased(_)
            | Position::Parked { .. }
            | Position::Quarantined { .. } => false,
        };
        if !agrees(image, &key, named) {
            violations.push(format!("an expiry row at {:?}: {}", row.place, name(&key)));
        }
    }
    for row in &image.waiters {
        let key = job_of_waiter(row);
        let (line, place) = (row.line.id, row.place);
        if !agrees(image, &key, |state| {
            state.position == Position::Parked { line, place }
        }) {
            violations.push(format!("a waiter row at {place:?}: {}", name(&key)));
        }
    }
    for (key, row) in &image.running {
        let named = |state: &StateRow| {
            state
                .lease()
                .is_some_and(|lease| (lease.attempt, lease.nonce) == (row.attempt, row.nonce))
        };
        if !agrees(image, key, named) {
            violations.push(format!("a running row: {}", name(key)));
        }
    }
    violations
}

/// Index rows of a job that was set aside stay until they are met.
fn agrees(image: &Image, key: &JobKey, named: impl Fn(&StateRow) -> bool) -> bool {
    !image.is_sound(key)
        || image.once_damaged.contains(key)
        || image.states.get(key).is_some_and(named)
}
