//! SILO-JOB-3.

use crate::invariants::StepInvariant;
use crate::invariants::image::{Image, name};

/// A job is what it was when it was taken.
pub const INVARIANT: StepInvariant = StepInvariant {
    sigil: "SILO-JOB-3",
    statement: "What was asked for never changes, and no job vanishes.",
    check,
};

fn check(before: &Image, after: &Image) -> Vec<String> {
    let mut violations = Vec::new();
    for (key, old) in &before.jobs {
        match after.jobs.get(key) {
            Some(new) if new == old => {}
            Some(_) => violations.push(format!("{} is another job now", name(key))),
            None if after.damaged_jobs.contains(key) => {}
            None => violations.push(format!("{} is gone", name(key))),
        }
    }
    violations
}
