//! SILO-TEN-1.

use std::collections::BTreeMap;

use crate::invariants::Invariant;
use crate::invariants::image::Image;
use crate::table::state::Status;
use crate::table::tenant::Tallies;
use crate::types::tenant::Tenant;

/// Tallies are exact.
pub const INVARIANT: Invariant = Invariant {
    sigil: "SILO-TEN-1",
    statement: "A tenant's tallies count its jobs by where their states say that they stand.",
    check,
};

fn check(image: &Image) -> Vec<String> {
    let mut counted: BTreeMap<&Tenant, Tallies> = BTreeMap::new();
    let mut count = |tenant, status: Status| {
        counted.entry(tenant).or_default().shift(None, Some(status));
    };
    for (key, state) in &image.states {
        count(&key.tenant, state.status());
    }
    for (key, status) in &image.damaged_states {
        count(&key.tenant, status.unwrap_or(Status::Scheduled));
    }
    let mut violations = Vec::new();
    for (tenant, row) in &image.tenants {
        let jobs = counted.remove(tenant).unwrap_or_default();
        if jobs != row.tallies {
            violations.push(format!("{tenant}: {:?} for {jobs:?}", row.tallies));
        }
    }
    violations
}
