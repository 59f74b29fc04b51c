//! SILO-SOFT-1 and SILO-SOFT-2.

use std::collections::BTreeSet;

use crate::invariants::SoftInvariant;
use crate::invariants::image::{Image, name};
use crate::shard::soft::Soft;
use crate::table::tenant::Tallies;
use crate::types::name::TaskGroup;
use crate::types::tenant::Tenant;
use crate::types::time::{Millis, Now};

/// Whoever has work has a turn.
pub const TENANTS: SoftInvariant = SoftInvariant {
    sigil: "SILO-SOFT-1",
    statement: "The ring of a task group has exactly the tenants with ready jobs in it that are \
                not paused, no task group is held to be paused that is not, no tenant's due or \
                ended jobs are looked at later than the first of them is due, and limits that are \
                to be searched have their turn.",
    check: check_tenants,
};

/// Whoever is leased is watched.
pub const LEASES: SoftInvariant = SoftInvariant {
    sigil: "SILO-SOFT-2",
    statement: "Exactly the leased jobs have a deadline, at most one lease's duration ahead; those \
                of a tenant whose row does not decode have none until it is mended.",
    check: check_leases,
};

fn check_tenants(image: &Image, soft: &Soft, now: Now) -> Vec<String> {
    let mut violations = Vec::new();
    let mut expected: BTreeSet<(TaskGroup, &Tenant)> = BTreeSet::new();
    for (tenant, row) in &image.tenants {
        expected.extend(row.groups().into_iter().map(|group| (group, tenant)));
        let Some(wake) = row.wake() else { continue };
        match soft.due(tenant) {
            Some(at) if at <= wake => {}
            known => violations.push(format!("{tenant}: due {wake}, known {known:?}")),
        }
        if wakes_later(soft, now, wake.since(now.wall)) {
            violations.push(format!("{tenant}: nobody wakes at {wake}"));
        }
    }
    let in_ring: BTreeSet<(TaskGroup, &Tenant)> = soft
        .turns()
        .filter(|(_, tenant)| !image.damaged_tenants.contains(tenant))
        .map(|(group, tenant)| (group.clone(), tenant))
        .collect();
    let missing = expected.difference(&in_ring);
    violations.extend(missing.map(|(group, tenant)| format!("{tenant} has no turn in {group}")));
    let extra = in_ring.difference(&expected);
    violations.extend(extra.map(|(group, tenant)| format!("{tenant} has no work in {group}")));
    for name in &image.admits {
        if !soft.to_search().any(|known| known == name)
            && !image.damaged_tenants.contains(&name.tenant)
        {
            violations.push(format!("{name:?} has no turn to be searched"));
        }
    }
    for group in soft.paused() {
        if !image.paused_queues.contains_key(group) {
            violations.push(format!("{group} is held to be paused"));
        }
    }
    let rows = image.tenants.values();
    let totals = rows.fold(Tallies::default(), |sum, row| sum.with(&row.tallies));
    if image.damaged_tenants.is_empty() && totals != soft.totals() {
        violations.push(format!(
            "there are {totals:?}, known are {:?}",
            soft.totals()
        ));
    }
    violations
}

fn wakes_later(soft: &Soft, now: Now, wait: Millis) -> bool {
    soft.next_wake(now).is_none_or(|until| until > wait)
}

fn check_leases(image: &Image, soft: &Soft, now: Now) -> Vec<String> {
    let mut violations = Vec::new();
    for (key, row) in &image.running {
        if !image.is_sound(key) || image.damaged_tenants.contains(&key.tenant) {
            continue;
        }
        match soft.lease(key) {
            Some(known) if known.nonce != row.nonce => {
                violations.push(format!("{}: another lease is watched", name(key)));
            }
            Some(known) if known.deadline > now.uptime.after(row.duration) => {
                let ahead = known.deadline.since(now.uptime);
                violations.push(format!("{}: it ends only in {ahead}", name(key)));
            }
            Some(known) if wakes_later(soft, now, known.deadline.since(now.uptime)) => {
                violations.push(format!("{}: nobody wakes for its end", name(key)));
            }
            Some(_) => {}
            None => violations.push(format!("{}: its lease is not watched", name(key))),
        }
    }
    let unknown = soft
        .leases()
        .filter(|key| image.is_sound(key) && !image.running.contains_key(key));
    violations.extend(unknown.map(|key| format!("{}: watched, not leased", name(key))));
    violations
}
