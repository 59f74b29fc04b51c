//! SILO-TEN-2.

use std::collections::BTreeSet;

use crate::invariants::Invariant;
use crate::invariants::image::Image;
use crate::types::tenant::Tenant;

/// A tenant's row comes with its first job and goes with its last, unless something is set.
pub const INVARIANT: Invariant = Invariant {
    sigil: "SILO-TEN-2",
    statement: "A tenant has a row exactly when it has jobs, rows in a queue, or something set \
                by an operator.",
    check,
};

fn check(image: &Image) -> Vec<String> {
    let states = image.states.keys().chain(image.damaged_states.keys());
    let mut with_jobs: BTreeSet<&Tenant> = states.map(|key| &key.tenant).collect();
    with_jobs.extend(image.ready.iter().map(|row| &row.tenant));
    with_jobs.extend(image.due.iter().chain(&image.expiry).map(|row| &row.tenant));
    let with_row: BTreeSet<&Tenant> = image.tenants.keys().chain(&image.damaged_tenants).collect();
    let no_row = with_jobs
        .difference(&with_row)
        .map(|tenant| format!("{tenant} has jobs and no row"));
    let is_set = |tenant: &Tenant| {
        let row = image.tenants.get(tenant);
        row.is_some_and(|row| {
            row.weight.is_some() || row.paused.is_some() || !row.paused_queues.is_empty()
        })
    };
    let no_jobs = with_row
        .difference(&with_jobs)
        .filter(|tenant| !is_set(tenant))
        .map(|tenant| format!("{tenant} has a row and no jobs"));
    no_row.chain(no_jobs).collect()
}
