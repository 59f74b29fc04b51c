//! SILO-LIMIT-6.

use std::collections::{BTreeMap, BTreeSet};

use crate::invariants::Invariant;
use crate::invariants::image::Image;
use crate::table::limit::{LimitName, TicketKey};
use crate::types::tenant::Tenant;

/// Tickets are a total order of lines that wait.
pub const INVARIANT: Invariant = Invariant {
    sigil: "SILO-LIMIT-6",
    statement: "Tickets belong to lines with jobs, each number to one; a paused limit is wanted by \
                none, unless it is to be searched.",
    check,
};

fn check(image: &Image) -> Vec<String> {
    let mut violations = Vec::new();
    let mut expected: BTreeSet<TicketKey> = BTreeSet::new();
    let mut numbers: BTreeSet<(&Tenant, u64)> = BTreeSet::new();
    for (name, line) in &image.lines {
        let Some(ticket) = line.ticket else { continue };
        if !numbers.insert((&name.tenant, ticket)) {
            violations.push(format!("{name:?}: ticket {ticket} has two lines"));
        }
        expected.extend(line.wanted.iter().map(|key| name.ticket_key(key, ticket)));
    }
    if expected != image.tickets && image.unreadable.is_empty() {
        violations.push(format!("tickets are {:?}, not {expected:?}", image.tickets));
    }
    let mut of_limit: BTreeMap<&LimitName, Vec<&TicketKey>> = BTreeMap::new();
    for row in &image.tickets {
        of_limit.entry(&row.limit).or_default().push(row);
    }
    for (name, row) in &image.limits {
        let rows = of_limit.remove(name).unwrap_or_default();
        let lowest = rows.first().map(|row| (row.ticket, row.line));
        if u32::try_from(rows.len()) != Ok(row.tickets) || lowest != row.lowest {
            violations.push(format!("{name:?}: {row:?}, with {rows:?}"));
        }
        if row.slots() == 0 && row.tickets > 0 && !image.admits.contains(name) {
            violations.push(format!(
                "{name:?} is paused, and slots are kept for its lines"
            ));
        }
    }
    let lost = of_limit.keys().filter(|_| image.unreadable.is_empty());
    violations.extend(lost.map(|name| format!("{name:?} has tickets and no row")));
    violations
}
