//! SILO-LIMIT-2.

use crate::invariants::StepInvariant;
use crate::invariants::image::Image;
use crate::shard::command::Command;
use crate::types::time::Timestamp;

/// No limit is exceeded, and lowering one takes nothing from anybody.
pub const INVARIANT: StepInvariant = StepInvariant {
    sigil: "SILO-LIMIT-2",
    statement: "A slot is given out only while fewer are held than the maximum; after it was \
                lowered none is until then.",
    check,
};

fn check(before: &Image, after: &Image, command: Option<&Command>, _now: Timestamp) -> Vec<String> {
    // Each of several jobs may say another maximum, and hold for those after it.
    let says_many = command
        .is_none_or(|command| matches!(command, Command::EnqueueAll(_) | Command::Import(_)));
    let mut violations = Vec::new();
    for (name, row) in &after.limits {
        let old = before.limits.get(name);
        let held = old.map_or(0, |row| row.held);
        let is_other = old.is_some_and(|old| old.slots() != row.slots());
        if row.held > held && row.held > row.slots() && !(says_many && (is_other || old.is_none()))
        {
            let slots = row.slots();
            violations.push(format!(
                "{name:?}: {held} held, then {}, of {slots}",
                row.held
            ));
        }
    }
    violations
}
