//! SILO-JOB-3.

use crate::invariants::StepInvariant;
use crate::invariants::image::{Image, name};
use crate::shard::command::Command;
use crate::table::job::JobKey;
use crate::table::state::{Position, StateRow};
use crate::types::time::Timestamp;

/// A job is what it was when it was taken, and stays until it is let go.
pub const INVARIANT: StepInvariant = StepInvariant {
    sigil: "SILO-JOB-3",
    statement: "What was asked for never changes, and no job vanishes but by a delete while it \
                does not run, or by a tick once its retention is over.",
    check,
};

fn check(before: &Image, after: &Image, command: Option<&Command>, now: Timestamp) -> Vec<String> {
    let mut violations = Vec::new();
    for (key, old) in &before.jobs {
        match after.jobs.get(key) {
            Some(new) if new == old => {}
            Some(_) => violations.push(format!("{} is another job now", name(key))),
            None if after.damaged_jobs.contains(key) => {}
            None if may_go(before.states.get(key), key, command, now) => {}
            None => violations.push(format!("{} is gone", name(key))),
        }
    }
    violations
}

/// Whether a job may be let go in this step. Of steps whose command is not known only what is true
/// of all is checked: it was not leased.
fn may_go(
    state: Option<&StateRow>,
    key: &JobKey,
    command: Option<&Command>,
    now: Timestamp,
) -> bool {
    // What a damaged state said is not known.
    let Some(state) = state else { return true };
    let is_over = match &state.position {
        Position::Leased(_) => return false,
        Position::Ended { expires, .. } => expires.is_some_and(|place| place.at <= now),
        Position::Due(_)
        | Position::Ready(_)
        | Position::Parked { .. }
        | Position::Quarantined { .. } => false,
    };
    match command {
        None => true,
        Some(Command::Delete(deleted)) => deleted == key,
        Some(Command::Tick) => is_over,
        Some(
            Command::Enqueue(_)
            | Command::EnqueueAll(_)
            | Command::Import(_)
            | Command::Lease(_)
            | Command::LeaseJob(_)
            | Command::Heartbeat(_)
            | Command::Report(_)
            | Command::Cancel(_)
            | Command::Restart(_)
            | Command::Expedite(_)
            | Command::Get(_)
            | Command::Result(_)
            | Command::List(_)
            | Command::ListSetAside(_)
            | Command::Explain(_)
            | Command::ListLimits(_)
            | Command::ShowLimit(_)
            | Command::SetLimit(_)
            | Command::RecountLimits(_)
            | Command::SetTenant(_)
            | Command::GetTenant(_)
            | Command::SetQueue(_)
            | Command::ListPaused
            | Command::SetAside(_),
        ) => false,
    }
}
