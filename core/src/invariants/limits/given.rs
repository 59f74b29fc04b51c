//! SILO-LIMIT-2.

use crate::invariants::StepInvariant;
use crate::invariants::image::Image;
use crate::shard::command::Command;
use crate::table::limit::{LimitName, LimitRow};
use crate::types::limit::{Limit, slots_of};
use crate::types::tenant::Tenant;
use crate::types::time::Timestamp;

/// No limit is exceeded, and lowering one takes nothing from anybody.
pub const INVARIANT: StepInvariant = StepInvariant {
    sigil: "SILO-LIMIT-2",
    statement: "A slot is given out only while fewer are held than the maximum; after it was \
                lowered none is until then.",
    check,
};

fn check(before: &Image, after: &Image, command: Option<&Command>, _now: Timestamp) -> Vec<String> {
    // Which one has said the maximum in between nobody knows.
    let Some(command) = command else {
        return Vec::new();
    };
    let mut violations = Vec::new();
    for (name, row) in &after.limits {
        let was = before.limits.get(name);
        let held = was.map_or(0, |row| row.held);
        // What an operator has set goes before what any job says. A job that was here before comes
        // in under what was said before, whoever comes after it in the same import.
        let is_import = matches!(command, Command::Import(_));
        let had = was.filter(|_| is_import).map_or(0, LimitRow::slots);
        let slots = if row.is_set() {
            row.slots()
        } else {
            row.slots().max(most_said(command, name)).max(had)
        };
        if row.held > held && row.held > slots {
            violations.push(format!(
                "{name:?}: {held} held, then {}, of {slots}",
                row.held
            ));
        }
    }
    violations
}

/// The highest maximum that any of several jobs says which are taken together: it holds for those
/// that come before the next one says another.
fn most_said(command: &Command, name: &LimitName) -> u32 {
    let most = |tenant: &Tenant, limits: &[Limit]| {
        let slots = slots_of(limits).into_iter();
        let of_key = slots.filter(|slot| slot.key == name.key && *tenant == name.tenant);
        of_key.map(|slot| slot.maximum).max().unwrap_or(0)
    };
    let said = if let Command::EnqueueAll(all) = command {
        let jobs = all.jobs.iter();
        jobs.map(|job| most(&job.tenant, &job.limits)).max()
    } else if let Command::Import(import) = command {
        let jobs = import.jobs.iter();
        jobs.map(|job| most(&job.tenant, &job.limits)).max()
    } else {
        None
    };
    said.unwrap_or(0)
}
