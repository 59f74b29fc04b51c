//! SILO-IDX-2.

use std::collections::{BTreeMap, BTreeSet};

use crate::invariants::Invariant;
use crate::invariants::image::Image;
use crate::table::due::DueKey;
use crate::table::place::{Head, Place};
use crate::table::tenant::Queue;
use crate::types::tenant::Tenant;

/// A tenant's row knows the front and the length of each of its queues.
pub const INVARIANT: Invariant = Invariant {
    sigil: "SILO-IDX-2",
    statement: "No row of a queue stands below its low-water mark, and heads count rows exactly.",
    check,
};

/// The first place of a queue's rows, and how many there are.
type Front = (Place, u64);

fn check(image: &Image) -> Vec<String> {
    let mut ready: BTreeMap<(&Tenant, &Queue), Front> = BTreeMap::new();
    for row in &image.ready {
        count(
            ready
                .entry((&row.tenant, &row.queue))
                .or_insert((row.place, 0)),
            row.place,
        );
    }
    let mut due = by_tenant(&image.due);
    let mut expiry = by_tenant(&image.expiry);
    let mut violations = Vec::new();
    for (tenant, row) in &image.tenants {
        for (queue, head) in &row.ready {
            let front = ready.remove(&(tenant, queue));
            violations.extend(judge(*head, front).map(|why| format!("{tenant} {queue:?}: {why}")));
        }
        if let Some(head) = row.due {
            let front = due.remove(tenant);
            violations.extend(judge(head, front).map(|why| format!("{tenant} due: {why}")));
        }
        if let Some(head) = row.expiry {
            let front = expiry.remove(tenant);
            violations.extend(judge(head, front).map(|why| format!("{tenant} expiry: {why}")));
        }
    }
    let without_ready = ready
        .keys()
        .filter(|(tenant, _)| !image.damaged_tenants.contains(tenant))
        .map(|(tenant, queue)| format!("{tenant} {queue:?}: rows and no head"));
    let without_due = due
        .keys()
        .chain(expiry.keys())
        .filter(|tenant| !image.damaged_tenants.contains(tenant))
        .map(|tenant| format!("{tenant} due or expiry: rows and no head"));
    violations.extend(without_ready.chain(without_due));
    violations
}

fn by_tenant(rows: &BTreeSet<DueKey>) -> BTreeMap<&Tenant, Front> {
    let mut fronts = BTreeMap::new();
    for row in rows {
        let front = fronts.entry(&row.tenant).or_insert((row.place, 0));
        count(front, row.place);
    }
    fronts
}

fn count(front: &mut Front, place: Place) {
    *front = (front.0.min(place), front.1.saturating_add(1));
}

fn judge(head: Head, front: Option<Front>) -> Option<String> {
    match front {
        None => Some(format!(
            "the head counts {} rows, there are none",
            head.count
        )),
        Some((_, rows)) if rows != head.count => Some(format!(
            "the head counts {} rows, there are {rows}",
            head.count
        )),
        Some((first, _)) if first < head.low => {
            Some(format!("{first:?} stands below the mark {:?}", head.low))
        }
        Some(_) => None,
    }
}
