//! SILO-LIMIT-3.

use std::collections::BTreeMap;

use crate::invariants::Invariant;
use crate::invariants::image::Image;
use crate::table::limit::LimitName;
use crate::table::line::{LineName, ParkedKey, ParkedRow, WaiterKey};
use crate::types::name::LimitKey;

/// Whoever waits stands in one line, and every line is where it is looked for.
pub const INVARIANT: Invariant = Invariant {
    sigil: "SILO-LIMIT-3",
    statement: "A line is parked on one of its limits exactly while it has jobs, under its first; \
                a job waits in one line, or runs, never both.",
    check,
};

fn check(image: &Image) -> Vec<String> {
    let mut violations = Vec::new();
    let mut waiters: BTreeMap<&LineName, Vec<&WaiterKey>> = BTreeMap::new();
    for row in &image.waiters {
        waiters.entry(&row.line).or_default().push(row);
    }
    let mut parked: BTreeMap<ParkedKey, ParkedRow> = image.parked.clone();
    for (name, line) in &image.lines {
        let rows = waiters.remove(name).unwrap_or_default();
        let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        let first = rows.first().map(|row| (row.place, &row.job));
        if count != line.count || first != Some((line.head, &line.first)) {
            violations.push(format!(
                "{name:?}: {line:?}, with {count} jobs from {first:?}"
            ));
        }
        if !line.wanted.contains(&line.at) || !line.wanted.is_sorted() {
            violations.push(format!("{name:?} is parked at {}", line.at));
        }
        if parked.remove(&name.parked_key(line)) != Some(line.into()) {
            violations.push(format!("{name:?} does not stand where it is parked"));
        }
    }
    let lost = waiters.keys().filter(|_| image.unreadable.is_empty());
    violations.extend(lost.map(|name| format!("{name:?} has jobs and no row")));
    let left = parked.keys().filter(|_| image.unreadable.is_empty());
    violations.extend(left.map(|row| format!("{row:?}: there is no such line")));
    for ((key, state), job) in image
        .states
        .iter()
        .filter_map(|(key, state)| Some(((key, state), image.jobs.get(key)?)))
    {
        let crate::table::state::Position::Parked { line, .. } = &state.position else {
            continue;
        };
        let name = LineName {
            tenant: key.tenant.clone(),
            id: *line,
        };
        let wanted: Vec<&LimitKey> = state.slots.iter().map(|slot| &slot.key).collect();
        let of_line = image
            .lines
            .get(&name)
            .map(|row| row.wanted.iter().collect());
        if image.is_sound(key) && image.unreadable.is_empty() && of_line != Some(wanted) {
            violations.push(format!(
                "{key:?} wants {:?}, and waits elsewhere",
                job.limits
            ));
        }
    }
    violations.extend(marks(image));
    violations
}

/// Limits know how many lines are parked on them, and none stands below the mark.
fn marks(image: &Image) -> Vec<String> {
    let mut counts: BTreeMap<&LimitName, Vec<&ParkedKey>> = BTreeMap::new();
    for row in image.parked.keys() {
        counts.entry(&row.limit).or_default().push(row);
    }
    let mut wanted: BTreeMap<LimitName, u32> = BTreeMap::new();
    for (name, line) in &image.lines {
        for key in &line.wanted {
            let limit = LimitName {
                tenant: name.tenant.clone(),
                key: key.clone(),
            };
            let count = wanted.entry(limit).or_default();
            *count = count.saturating_add(1);
        }
    }
    let mut violations = Vec::new();
    for (name, row) in &image.limits {
        let lines = wanted.remove(name).unwrap_or(0);
        if lines != row.lines && image.unreadable.is_empty() {
            violations.push(format!("{name:?}: {} lines counted of {lines}", row.lines));
        }
        let rows = counts.remove(name).unwrap_or_default();
        let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        let known = row.parked.map_or(0, |head| head.count);
        let is_below = row
            .parked
            .zip(rows.first())
            .is_some_and(|(head, first)| first.head < head.low);
        if count != known || is_below {
            violations.push(format!("{name:?}: {:?}, with {count} lines", row.parked));
        }
        if !row.is_used() {
            violations.push(format!("{name:?} is not in use and has a row"));
        }
    }
    let lost = counts.keys().filter(|_| image.unreadable.is_empty());
    violations.extend(lost.map(|name| format!("{name:?} has lines and no row")));
    violations
}
