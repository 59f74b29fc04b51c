//! SILO-QUAR-1.

use crate::invariants::Invariant;
use crate::invariants::image::{Image, name};
use crate::table::state::Status;

/// The operator's list is complete.
pub const INVARIANT: Invariant = Invariant {
    sigil: "SILO-QUAR-1",
    statement: "A job stands in the list of those set aside exactly when its state says so.",
    check,
};

fn check(image: &Image) -> Vec<String> {
    let mut violations = Vec::new();
    for (key, state) in &image.states {
        let is_listed = image.quarantine.contains_key(key);
        let is_set_aside = state.status() == Status::Quarantined;
        if is_listed != is_set_aside && !image.damaged_jobs.contains(key) {
            let position = &state.position;
            violations.push(format!("{}: {position:?}, listed: {is_listed}", name(key)));
        }
    }
    for key in image.quarantine.keys() {
        if !image.states.contains_key(key) && !image.damaged_jobs.contains(key) {
            violations.push(format!("{}: listed without a state", name(key)));
        }
    }
    violations
}
