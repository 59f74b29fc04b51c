//! SILO-JOB-2.

use crate::invariants::Invariant;
use crate::invariants::image::{Image, name};

/// A job has both of its rows.
pub const INVARIANT: Invariant = Invariant {
    sigil: "SILO-JOB-2",
    statement: "A job has a description exactly when it has a state, and waits where it says.",
    check,
};

fn check(image: &Image) -> Vec<String> {
    let mut violations = Vec::new();
    for (key, job) in &image.jobs {
        match image.states.get(key) {
            Some(state) if image.is_sound(key) && state.queue != job.queue => {
                violations.push(format!("{} waits in another queue", name(key)));
            }
            Some(_) => {}
            None if image.is_sound(key) => {
                violations.push(format!("{} has no state", name(key)));
            }
            None => {}
        }
    }
    for key in image.states.keys() {
        if image.is_sound(key) && !image.jobs.contains_key(key) {
            violations.push(format!("{} has no description", name(key)));
        }
    }
    violations
}
