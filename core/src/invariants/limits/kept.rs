//! SILO-LIMIT-5.

use crate::invariants::StepInvariant;
use crate::invariants::image::Image;
use crate::shard::command::Command;
use crate::types::time::Timestamp;

/// Whoever has the lowest ticket loses nothing that is free for it.
pub const INVARIANT: StepInvariant = StepInvariant {
    sigil: "SILO-LIMIT-5",
    statement: "A limit that has a slot for the line with the lowest ticket keeps it until that \
                line is served, ends or is paused.",
    check,
};

fn check(before: &Image, after: &Image, _: Option<&Command>, _now: Timestamp) -> Vec<String> {
    let mut violations = Vec::new();
    for (name, old) in &before.limits {
        let Some(new) = after.limits.get(name) else {
            continue;
        };
        let is_same = old.lowest.is_some() && old.lowest == new.lowest;
        if is_same && old.free() > 0 && new.free() == 0 && new.slots() >= old.slots() {
            violations.push(format!(
                "{name:?}: the slot kept for {:?} is taken",
                old.lowest
            ));
        }
    }
    violations
}
