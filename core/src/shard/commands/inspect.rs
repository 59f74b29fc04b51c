//! Get and Result: look at a job; ListSetAside: look at those that were set aside. They change
//! nothing.

use crate::shard::draft::{Draft, Halt};
use crate::shard::refusal::Refusal;
use crate::shard::reply::{AttemptView, Content, JobView, Reply, ResultView, SetAsideView};
use crate::table::attempt::{Attempt, AttemptKey, Attempts};
use crate::table::job::JobKey;
use crate::table::key::{successor, whole};
use crate::table::payload::PAYLOAD_SLOT;
use crate::table::quarantine::Quarantines;
use crate::table::state::{Position, StateRow};
use crate::table::{Table, TableId};
use crate::types::tenant::Tenant;

/// Most attempts shown of one job: its latest.
pub const ATTEMPTS_SHOWN_MAX: u32 = 1000;

/// A request to see a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Get {
    /// Which job.
    pub key: JobKey,
    /// Whether to show its earlier attempts, at most [`ATTEMPTS_SHOWN_MAX`].
    pub earlier_attempts: bool,
}

/// Most jobs in one answer of those that were set aside.
pub const SET_ASIDE_SHOWN_MAX: u32 = 1000;
const UNREADABLE: &str = "the row that says why does not decode";

/// A request to see jobs that were set aside, in the order of their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListSetAside {
    /// Of this tenant only.
    pub tenant: Option<Tenant>,
    /// Those after this one.
    pub after: Option<JobKey>,
    /// At most so many, at most [`SET_ASIDE_SHOWN_MAX`].
    pub jobs_max: u32,
}

pub(crate) fn get(get: &Get, draft: &Draft<'_>) -> Result<Reply, Halt> {
    let key = &get.key;
    let Some((job, state)) = draft.job_and_state(key)? else {
        return Err(Refusal::JobNotFound(key.clone()).into());
    };
    if matches!(state.position, Position::Quarantined { .. }) {
        return Err(Refusal::Quarantined(key.clone()).into());
    }
    let mut attempts = Vec::new();
    if get.earlier_attempts {
        attempts = earlier(key, &state, draft)?;
    }
    attempts.extend(state.last.iter().map(|last| view(key, last.clone())));
    let payload = Content::of(&job.payload, key, PAYLOAD_SLOT);
    Ok(Reply::Job(Box::new(JobView {
        key: key.clone(),
        job,
        state,
        payload,
        attempts,
    })))
}

pub(crate) fn result(key: &JobKey, draft: &Draft<'_>) -> Result<Reply, Halt> {
    let Some(state) = draft.state(key)? else {
        return Err(Refusal::JobNotFound(key.clone()).into());
    };
    match state.position {
        Position::Ended { .. } => {}
        Position::Quarantined { .. } => return Err(Refusal::Quarantined(key.clone()).into()),
        Position::Due(_) | Position::Ready(_) | Position::Parked { .. } | Position::Leased(_) => {
            return Err(Refusal::NotTerminal(key.clone(), state.status()).into());
        }
    }
    // A job that ended without an attempt may have had earlier ones: theirs is not its result.
    let ended_by_attempt = matches!(state.position, Position::Ended { code: None, .. });
    let last = state.last.as_ref().filter(|_| ended_by_attempt);
    let data = last.and_then(|last| view(key, last.clone()).data);
    Ok(Reply::Result(Box::new(ResultView {
        key: key.clone(),
        state,
        data,
    })))
}

pub(crate) fn list_set_aside(list: &ListSetAside, draft: &Draft<'_>) -> Result<Reply, Halt> {
    let mut range = match &list.tenant {
        Some(tenant) => Quarantines::of_tenant(tenant),
        None => whole(TableId::Quarantine),
    };
    if let Some(after) = &list.after {
        range.start = range.start.max(successor(&Quarantines::key(after)));
    }
    let jobs_max = usize::try_from(list.jobs_max.min(SET_ASIDE_SHOWN_MAX)).unwrap_or(usize::MAX);
    let mut jobs = Vec::new();
    for (row_key, row) in draft.range(&range, jobs_max)? {
        let Ok(key) = Quarantines::read_key(&row_key) else {
            continue;
        };
        let row = Quarantines::read_row(&row).ok();
        jobs.push(SetAsideView {
            key,
            at: row.as_ref().map(|row| row.at),
            reason: row.map_or_else(|| UNREADABLE.to_owned(), |row| row.reason),
        });
    }
    Ok(Reply::SetAside(jobs))
}

/// Attempts before the one in the job's state.
fn earlier(key: &JobKey, state: &StateRow, draft: &Draft<'_>) -> Result<Vec<AttemptView>, Halt> {
    let end = state
        .last
        .as_ref()
        .map_or(state.attempts_ended.saturating_add(1), |last| last.number);
    let start = end
        .saturating_sub(ATTEMPTS_SHOWN_MAX)
        .max(state.attempts_from);
    let range =
        Attempts::key(&AttemptKey::of(key, start))..Attempts::key(&AttemptKey::of(key, end));
    let limit = usize::try_from(ATTEMPTS_SHOWN_MAX).unwrap_or(usize::MAX);
    let mut attempts = Vec::new();
    for (row_key, _) in draft.range(&range, limit)? {
        if let Ok(AttemptKey { number, .. }) = Attempts::read_key(&row_key)
            && let Some(attempt) = draft.attempt(key, number)?
        {
            attempts.push(view(key, attempt));
        }
    }
    Ok(attempts)
}

fn view(key: &JobKey, attempt: Attempt) -> AttemptView {
    let data = attempt
        .data()
        .map(|data| Content::of(data, key, attempt.number));
    AttemptView { attempt, data }
}
