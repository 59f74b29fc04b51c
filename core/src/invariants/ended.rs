//! SILO-JOB-4.

use crate::invariants::StepInvariant;
use crate::invariants::image::{Image, name};
use crate::shard::command::Command;
use crate::table::job::JobKey;
use crate::table::state::{Ended, Position};
use crate::types::time::Timestamp;

/// The end is the end: late reports and duplicates change nothing.
pub const INVARIANT: StepInvariant = StepInvariant {
    sigil: "SILO-JOB-4",
    statement: "A job that has ended stays as it ended, unless it failed or was cancelled and is \
                restarted or imported again.",
    check,
};

fn check(before: &Image, after: &Image, command: Option<&Command>, _now: Timestamp) -> Vec<String> {
    let mut violations = Vec::new();
    for (key, old) in &before.states {
        let status = match &old.position {
            Position::Ended { status, .. } => *status,
            Position::Due(_)
            | Position::Ready(_)
            | Position::Leased(_)
            | Position::Parked { .. }
            | Position::Quarantined { .. } => continue,
        };
        if !after.is_sound(key) {
            continue;
        }
        let may_change = match status {
            Ended::Succeeded => false,
            Ended::Failed | Ended::Cancelled => command.is_none_or(|c| revives(c, key)),
        };
        let new = after.states.get(key);
        if new.is_some_and(|new| new != old) && !may_change {
            violations.push(format!("{}: {old:?} became {new:?}", name(key)));
        }
    }
    violations
}

/// Whether a command may bring this job back.
fn revives(command: &Command, key: &JobKey) -> bool {
    match command {
        Command::Restart(restarted) => restarted == key,
        Command::Import(import) => import
            .jobs
            .iter()
            .any(|job| (&job.tenant, &job.id) == (&key.tenant, &key.job)),
        Command::Enqueue(_)
        | Command::EnqueueAll(_)
        | Command::Lease(_)
        | Command::LeaseJob(_)
        | Command::Heartbeat(_)
        | Command::Report(_)
        | Command::Cancel(_)
        | Command::Delete(_)
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
        | Command::SetAside(_)
        | Command::Tick => false,
    }
}
