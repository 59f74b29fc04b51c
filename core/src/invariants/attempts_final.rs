//! SILO-ATT-2.

use crate::invariants::StepInvariant;
use crate::invariants::image::{Image, name};
use crate::shard::command::Command;
use crate::table::attempt::{Attempt, AttemptKey};
use crate::table::job::JobKey;
use crate::table::state::EARLIER_ATTEMPTS_MAX;
use crate::types::time::Timestamp;

/// One outcome ends an attempt.
pub const INVARIANT: StepInvariant = StepInvariant {
    sigil: "SILO-ATT-2",
    statement: "The number of ended attempts only grows, and an ended attempt never changes; the \
                oldest go when there are too many.",
    check,
};

fn check(
    before: &Image,
    after: &Image,
    _command: Option<&Command>,
    _now: Timestamp,
) -> Vec<String> {
    let mut violations = Vec::new();
    for (key, old) in &before.states {
        let Some(new) = after.states.get(key) else {
            continue;
        };
        if !before.is_sound(key) || !after.is_sound(key) {
            continue;
        }
        if new.attempts_ended < old.attempts_ended {
            let (was, is) = (old.attempts_ended, new.attempts_ended);
            violations.push(format!("{}: {was} attempts became {is}", name(key)));
        }
        // The latest stands in the state: one that has ended is among those counted, one that runs
        // or was given back is not.
        let is_latest_over = new.last.as_ref().is_some_and(|last| last.end.is_some());
        let ended = new
            .attempts_ended
            .saturating_add(u32::from(!is_latest_over));
        let earlier = ended.saturating_sub(new.attempts_from);
        if new.attempts_from > old.attempts_from && earlier < EARLIER_ATTEMPTS_MAX {
            let from = new.attempts_from;
            violations.push(format!(
                "{}: attempts before {from} were dropped",
                name(key)
            ));
        }
        if let Some(last) = old.last.as_ref().filter(|last| last.end.is_some()) {
            violations.extend(changed(after, key, last));
        }
    }
    for (place, old) in &before.attempts {
        let key = JobKey {
            tenant: place.tenant.clone(),
            job: place.job.clone(),
        };
        if after.states.contains_key(&key) && after.is_sound(&key) && before.is_sound(&key) {
            violations.extend(changed(after, &key, old));
        }
    }
    violations
}

fn changed(after: &Image, key: &JobKey, old: &Attempt) -> Option<String> {
    let state = after.states.get(key)?;
    if old.number < state.attempts_from {
        return None;
    }
    let new = state
        .last
        .as_ref()
        .filter(|last| last.number == old.number)
        .or_else(|| after.attempts.get(&AttemptKey::of(key, old.number)));
    (new != Some(old)).then(|| format!("{}: {old:?} became {new:?}", name(key)))
}
