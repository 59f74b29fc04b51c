//! SILO-JOB-1.

use std::collections::BTreeMap;

use crate::invariants::Invariant;
use crate::invariants::image::{Image, job_of_due, job_of_ready, job_of_waiter, name};
use crate::table::job::JobKey;
use crate::table::state::Position;

/// A job is represented by exactly what its position names, and by nothing else.
pub const INVARIANT: Invariant = Invariant {
    sigil: "SILO-JOB-1",
    statement: "Exactly one index row represents a job that has not ended; one that has ended has \
                an expiry row exactly when it is to be removed at a time, and no other.",
    check,
};

#[derive(Default)]
struct Rows {
    due: usize,
    ready: usize,
    running: usize,
    expiry: usize,
    waiter: usize,
}

fn check(image: &Image) -> Vec<String> {
    let mut found: BTreeMap<JobKey, Rows> = BTreeMap::new();
    for row in &image.due {
        let rows = found.entry(job_of_due(row)).or_default();
        rows.due = rows.due.saturating_add(1);
    }
    for row in &image.ready {
        let rows = found.entry(job_of_ready(row)).or_default();
        rows.ready = rows.ready.saturating_add(1);
    }
    for row in &image.expiry {
        let rows = found.entry(job_of_due(row)).or_default();
        rows.expiry = rows.expiry.saturating_add(1);
    }
    for row in &image.waiters {
        let rows = found.entry(job_of_waiter(row)).or_default();
        rows.waiter = rows.waiter.saturating_add(1);
    }
    for key in image.running.keys() {
        found.entry(key.clone()).or_default().running = 1;
    }
    let mut violations = Vec::new();
    for (key, state) in &image.states {
        if image.damaged_jobs.contains(key) {
            continue;
        }
        let rows = found.remove(key).unwrap_or_default();
        let counts = [rows.due, rows.ready, rows.running, rows.waiter, rows.expiry];
        if image.once_damaged.contains(key) {
            continue;
        }
        let is_right = match &state.position {
            Position::Due(_) => counts == [1, 0, 0, 0, 0],
            Position::Ready(_) => counts == [0, 1, 0, 0, 0],
            Position::Leased(_) => counts == [0, 0, 1, 0, 0],
            Position::Parked { .. } => counts == [0, 0, 0, 1, 0],
            Position::Ended { expires, .. } => {
                counts == [0, 0, 0, 0, usize::from(expires.is_some())]
            }
            // What represented it may be left for whoever meets it; a lease may not.
            Position::Quarantined { .. } => rows.running == 0,
        };
        if !is_right {
            violations.push(format!(
                "{} stands at {:?}, with {} due, {} ready, {} running, {} waiter and {} \
                 expiry rows",
                name(key),
                state.position,
                rows.due,
                rows.ready,
                rows.running,
                rows.waiter,
                rows.expiry,
            ));
        }
    }
    violations
}
