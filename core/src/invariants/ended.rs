//! SILO-JOB-4.

use crate::invariants::StepInvariant;
use crate::invariants::image::{Image, name};
use crate::table::state::Position;

/// The end is the end: late reports and duplicates change nothing.
pub const INVARIANT: StepInvariant = StepInvariant {
    sigil: "SILO-JOB-4",
    statement: "A job that has ended stays as it ended.",
    check,
};

fn check(before: &Image, after: &Image) -> Vec<String> {
    let mut violations = Vec::new();
    for (key, old) in &before.states {
        let has_ended = match &old.position {
            Position::Ended { .. } => true,
            Position::Due(_)
            | Position::Ready(_)
            | Position::Leased(_)
            | Position::Quarantined { .. } => false,
        };
        if !has_ended || !after.is_sound(key) {
            continue;
        }
        let new = after.states.get(key);
        if new.is_some_and(|new| new != old) {
            violations.push(format!("{}: {old:?} became {new:?}", name(key)));
        }
    }
    violations
}
