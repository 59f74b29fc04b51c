//! SILO-ATT-1.

use std::collections::BTreeMap;

use crate::invariants::Invariant;
use crate::invariants::image::{Image, job_of_attempt, name};
use crate::table::attempt::Attempt;
use crate::table::job::JobKey;
use crate::table::state::{EARLIER_ATTEMPTS_MAX, StateRow};

/// A job's history has no gap.
pub const INVARIANT: Invariant = Invariant {
    sigil: "SILO-ATT-1",
    statement: "A job's attempts are numbered without a gap from the first that is kept, at most \
                1000 beside the latest; all ended but a leased one.",
    check,
};

const EARLIER_MAX: usize = EARLIER_ATTEMPTS_MAX as usize;

fn check(image: &Image) -> Vec<String> {
    let mut earlier: BTreeMap<JobKey, Vec<(u32, &Attempt)>> = BTreeMap::new();
    for (key, attempt) in &image.attempts {
        let attempts = earlier.entry(job_of_attempt(key.clone())).or_default();
        attempts.push((key.number, attempt));
    }
    let mut violations = Vec::new();
    for (key, state) in &image.states {
        let earlier = earlier.remove(key).unwrap_or_default();
        if image.is_sound(key)
            && let Some(why) = judge(&earlier, state)
        {
            violations.push(format!("{}: {why}", name(key)));
        }
    }
    let of_none = earlier.keys().filter(|key| image.is_sound(key));
    violations.extend(of_none.map(|key| format!("{}: attempts and no job", name(key))));
    violations
}

fn judge(earlier: &[(u32, &Attempt)], state: &StateRow) -> Option<String> {
    if earlier.len() > EARLIER_MAX {
        return Some(format!("{} earlier attempts are kept", earlier.len()));
    }
    let mut next = state.attempts_from;
    for (number, attempt) in earlier {
        if *number != next || attempt.number != next {
            return Some(format!("attempt {next} is missing before {number}"));
        }
        if attempt.end.is_none() {
            return Some(format!("attempt {number} has not ended"));
        }
        next = next.saturating_add(1);
    }
    if let Some(last) = &state.last {
        if last.number != next {
            return Some(format!("attempt {next} is missing before {}", last.number));
        }
        if last.end.is_some() {
            next = next.saturating_add(1);
        } else if state.lease().is_none() {
            return Some(format!("attempt {} is open and not leased", last.number));
        }
    }
    if state.attempts_ended != next.saturating_sub(1) {
        let ended = state.attempts_ended;
        return Some(format!(
            "{ended} attempts are said to have ended before {next}"
        ));
    }
    (state.attempts_before > state.attempts_ended)
        .then(|| "earlier runs had more attempts than there were".to_owned())
}
