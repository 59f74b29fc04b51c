//! SILO-LIMIT-1.

use std::collections::{BTreeMap, BTreeSet};

use crate::invariants::Invariant;
use crate::invariants::image::Image;
use crate::table::limit::LimitName;
use crate::table::state::Position;
use crate::types::limit::slots_of;
use crate::types::tenant::Tenant;

/// Slots are counted exactly, and nobody who waits holds any.
pub const INVARIANT: Invariant = Invariant {
    sigil: "SILO-LIMIT-1",
    statement: "What a limit counts as held is the ready and leased jobs that want it; a job holds \
                a slot of all its limits or of none.",
    check,
};

fn check(image: &Image) -> Vec<String> {
    let mut held: BTreeMap<LimitName, u32> = BTreeMap::new();
    let mut violations = Vec::new();
    for (key, state) in &image.states {
        if let Some(job) = image.jobs.get(key)
            && image.is_sound(key)
            && slots_of(&job.limits) != state.slots
        {
            violations.push(format!(
                "{key:?} wants {:?}, its state says otherwise",
                job.limits
            ));
        }
        let holds = match &state.position {
            Position::Ready(_) | Position::Leased(_) => true,
            Position::Due(_)
            | Position::Parked { .. }
            | Position::Ended { .. }
            | Position::Quarantined { .. } => false,
        };
        for slot in state.slots.iter().filter(|_| holds) {
            let name = LimitName {
                tenant: key.tenant.clone(),
                key: slot.key.clone(),
            };
            let count = held.entry(name).or_default();
            *count = count.saturating_add(1);
        }
    }
    let unknown = unknown(image);
    let counted: BTreeMap<&LimitName, u32> =
        image.limits.iter().map(|(k, v)| (k, v.held)).collect();
    let names: BTreeSet<&LimitName> = held.keys().chain(counted.keys().copied()).collect();
    for name in names {
        let true_count = held.get(name).copied().unwrap_or(0);
        let count = counted.get(name).copied().unwrap_or(0);
        let is_damaged = !image.limits.contains_key(name) && !image.unreadable.is_empty();
        if count != true_count && !is_damaged && !unknown.contains(&name.tenant) {
            violations.push(format!("{name:?}: {count} counted, {true_count} held"));
        }
    }
    violations
}

/// Tenants with jobs of which nobody can say what they hold.
fn unknown(image: &Image) -> BTreeSet<Tenant> {
    let damaged = image.damaged_states.keys().chain(&image.once_damaged);
    damaged.map(|key| key.tenant.clone()).collect()
}
