//! SILO-DATA-1.

use std::collections::BTreeMap;

use crate::invariants::Invariant;
use crate::invariants::image::{Image, job_of_attempt, name};
use crate::table::job::JobKey;
use crate::table::payload::{PAYLOAD_SLOT, PayloadKey};
use crate::types::data::{DATA_INLINE_BYTES_MAX, Data, digest};

/// Large data is there as long as it is spoken of, and no longer.
pub const INVARIANT: Invariant = Invariant {
    sigil: "SILO-DATA-1",
    statement: "Payload rows are exactly those that jobs and attempts refer to, as long as said; a \
                state knows of its job's own.",
    check,
};

fn check(image: &Image) -> Vec<String> {
    let mut referred: BTreeMap<PayloadKey, &Data> = BTreeMap::new();
    let mut refer = |key: &JobKey, slot, data| {
        let job = key.clone();
        referred.insert(PayloadKey { job, slot }, data);
    };
    for (key, job) in &image.jobs {
        refer(key, PAYLOAD_SLOT, &job.payload);
    }
    for (key, attempt) in &image.attempts {
        if let Some(data) = attempt.data() {
            refer(&job_of_attempt(key.clone()), attempt.number, data);
        }
    }
    for (key, state) in &image.states {
        if let Some((last, data)) = state.last.as_ref().and_then(|a| Some((a, a.data()?))) {
            refer(key, last.number, data);
        }
    }
    let mut violations = Vec::new();
    for (key, state) in &image.states {
        let is_stored = image
            .jobs
            .get(key)
            .is_some_and(|job| job.payload.is_stored());
        if is_stored && !state.has_payload_row && image.is_sound(key) {
            violations.push(format!("{}: its state knows no payload row", name(key)));
        }
    }
    for (at, data) in &referred {
        let stored = image.payloads.get(at);
        if image.is_sound(&at.job)
            && let Some(why) = judge(data, stored.map(|bytes| &**bytes))
        {
            violations.push(format!("{} slot {}: {why}", name(&at.job), at.slot));
        }
    }
    for at in image.payloads.keys() {
        if !referred.contains_key(at) && image.is_sound(&at.job) {
            violations.push(format!("{} slot {}: nobody's", name(&at.job), at.slot));
        }
    }
    violations
}

fn judge(data: &Data, stored: Option<&[u8]>) -> Option<&'static str> {
    match (data, stored) {
        (Data::Inline(bytes), None) if bytes.len() <= DATA_INLINE_BYTES_MAX => None,
        (Data::Inline(_), None) => Some("too long to stand inline"),
        (Data::Inline(_), Some(_)) => Some("stands inline and in a row"),
        (Data::Stored { .. }, None) => Some("its row is missing"),
        (Data::Stored { len, digest: known }, Some(bytes)) => {
            let is_same = u64::try_from(bytes.len()) == Ok(*len) && digest(bytes) == *known;
            (!is_same).then_some("its row is other data")
        }
    }
}
