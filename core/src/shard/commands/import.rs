//! Import: take jobs that were run elsewhere, with their history; or take in more history of one
//! that was imported before. Each job stands for itself, but while any of them runs here nothing
//! is imported. (SILO-JOB-T6)

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::shard::commands::enqueue::{check_metadata, check_queues};
use crate::shard::draft::{Draft, Halt};
use crate::shard::limits::newest;
use crate::shard::moves::{Entry, end_as_of, enter, keep_earlier, leave};
use crate::shard::refusal::{ImportFault, Refusal};
use crate::shard::reply::{Imported, Reply};
use crate::shard::view::Need;
use crate::table::attempt::{Attempt, AttemptEnd, Ending};
use crate::table::job::{JobKey, JobRow, Jobs};
use crate::table::payload::PAYLOAD_SLOT;
use crate::table::state::{EARLIER_ATTEMPTS_MAX, Ended, Position, StateRow, Status};
use crate::table::tenant::Queue;
use crate::types::Invalid;
use crate::types::data::Data;
use crate::types::limit::{Limit, check_limits, slots_of};
use crate::types::name::{JobId, WorkerId};
use crate::types::retry::RetryPolicy;
use crate::types::tenant::Tenant;
use crate::types::time::Timestamp;

/// Most jobs in one import: they are judged together.
pub const IMPORT_JOBS_MAX: usize = 1000;
/// Attempts of all jobs of one command: each is a row to compare with or to write.
pub const IMPORT_ATTEMPTS_TOTAL_MAX: usize = 10_000;
/// Most attempts of one imported job.
pub const IMPORT_ATTEMPTS_MAX: usize = 1000;
const _: () = assert!(IMPORT_ATTEMPTS_MAX <= EARLIER_ATTEMPTS_MAX as usize);

/// Jobs to import: at most [`IMPORT_JOBS_MAX`], with at most [`IMPORT_ATTEMPTS_TOTAL_MAX`]
/// attempts.
#[derive(Clone, Debug, PartialEq)]
pub struct Import {
    /// The jobs.
    pub jobs: Vec<ImportJob>,
}

/// A job with its history. [`ImportJob::check`] holds.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportJob {
    /// Whose job.
    pub tenant: Tenant,
    /// Its id.
    pub id: JobId,
    /// Task group and priority.
    pub queue: Queue,
    /// When it was first taken, wherever that was; none means now.
    pub enqueued_at: Option<Timestamp>,
    /// Not before this, if it is still to run; none means now, or after the back-off.
    pub start_at: Option<Timestamp>,
    /// None: a failure is final.
    pub retry: Option<RetryPolicy>,
    /// Crashes in a row that the job survives.
    pub max_crashes: u32,
    /// What must have room before it runs.
    pub limits: Vec<Limit>,
    /// The caller's own pairs.
    pub metadata: BTreeMap<String, String>,
    /// What the worker is given.
    pub payload: Bytes,
    /// Its attempts so far, all ended, in order.
    pub attempts: Vec<ImportAttempt>,
}

/// An attempt that ended elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportAttempt {
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// How.
    pub how: ImportEnding,
}

/// How an attempt ended elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportEnding {
    /// With a result.
    Succeeded {
        /// The result.
        data: Bytes,
    },
    /// With an error.
    Failed {
        /// The worker's code.
        code: String,
        /// The worker's data.
        data: Bytes,
    },
    /// It stopped because it was asked to.
    Cancelled,
}

impl ImportJob {
    /// Checks the bounds that no type checks.
    ///
    /// # Errors
    /// [`Invalid`] with the field that is out of its bounds.
    pub fn check(&self) -> Result<(), Invalid> {
        if let Some(retry) = &self.retry {
            retry.check()?;
        }
        if self.attempts.len() > IMPORT_ATTEMPTS_MAX {
            let value = format!("{} attempts", self.attempts.len());
            let bound = format!("at most {IMPORT_ATTEMPTS_MAX} attempts");
            return Err(Invalid::new("attempts", value, bound));
        }
        let earlier = self.attempts.len().saturating_sub(1);
        let is_failure = |a: &ImportAttempt| matches!(a.how, ImportEnding::Failed { .. });
        if !self.attempts.iter().take(earlier).all(is_failure) {
            let value = "an attempt that did not fail, before another";
            return Err(Invalid::new("attempts", value, "failures but the last"));
        }
        check_limits(&self.limits)?;
        check_metadata(&self.metadata)
    }

    fn key(&self) -> JobKey {
        JobKey {
            tenant: self.tenant.clone(),
            job: self.id.clone(),
        }
    }
}

pub(crate) fn decide(import: &Import, draft: &mut Draft<'_>) -> Result<Reply, Halt> {
    let known = find(import, draft)?;
    let running = known.iter().find(|(_, known)| known.is_running());
    if let Some((key, _)) = running {
        return Err(Refusal::JobRunning(key.clone()).into());
    }
    let mut seen = BTreeSet::new();
    let mut results = Vec::with_capacity(import.jobs.len());
    let mut need = Need::default();
    for job in &import.jobs {
        let key = job.key();
        let taken = if seen.insert(key.clone()) {
            match known.get(&key) {
                Some(Known::Job(rows)) => go_on(draft, &key, rows, job),
                Some(Known::SetAside) => Err(Refusal::Quarantined(key.clone()).into()),
                None => begin(draft, &key, job),
            }
        } else {
            Err(Refusal::NotImportable(key.clone(), ImportFault::Twice).into())
        };
        let outcome = match taken {
            Ok(status) => Ok(status),
            // Refused before anything of it was written: the others stand for themselves.
            Err(Halt::Refused(refusal)) => Err(*refusal),
            Err(Halt::Need(missing)) => {
                need.add(missing);
                continue;
            }
            Err(other) => return Err(other),
        };
        let job = key.job;
        results.push(Imported { job, outcome });
    }
    need.settled()?;
    Ok(Reply::Imported(results))
}

/// A job that is here.
enum Known {
    /// As it stands.
    Job(Box<(JobRow, StateRow)>),
    /// Its rows cannot be relied on, and are not read.
    SetAside,
}

impl Known {
    const fn is_running(&self) -> bool {
        match self {
            Self::Job(rows) => rows.1.lease().is_some(),
            Self::SetAside => false,
        }
    }
}

/// Those of the jobs that are here, all loaded at once, with their tenants.
fn find(import: &Import, draft: &mut Draft<'_>) -> Result<BTreeMap<JobKey, Known>, Halt> {
    let mut known = BTreeMap::new();
    let mut need = Need::default();
    for job in &import.jobs {
        let key = job.key();
        if let Err(Halt::Need(missing)) = draft.tenant(&key.tenant).map(|_| ()) {
            need.add(missing);
        }
        match look_up(draft, &key) {
            Ok(Some(found)) => {
                known.insert(key, found);
            }
            Ok(None) => {}
            Err(Halt::Need(missing)) => need.add(missing),
            Err(other) => return Err(other),
        }
    }
    need.settled()?;
    Ok(known)
}

fn look_up(draft: &Draft<'_>, key: &JobKey) -> Result<Option<Known>, Halt> {
    if let Ok(Some(state)) = draft.state(key)
        && matches!(state.position, Position::Quarantined { .. })
    {
        return Ok(Some(Known::SetAside));
    }
    let rows = draft.job_and_state(key)?;
    Ok(rows.map(|rows| Known::Job(Box::new(rows))))
}

/// A job that is not here.
fn begin(draft: &mut Draft<'_>, key: &JobKey, job: &ImportJob) -> Result<Status, Halt> {
    check_queues(draft, key, &job.queue)?;
    let now = draft.now();
    let row = JobRow {
        queue: job.queue.clone(),
        enqueued_at: job.enqueued_at.unwrap_or(now),
        start_at: job.start_at,
        retry: job.retry.clone(),
        max_crashes: job.max_crashes,
        lease: None,
        metadata: job.metadata.clone(),
        payload: draft.keep_data(key, PAYLOAD_SLOT, &job.payload),
        request: None,
        limits: job.limits.clone(),
    };
    let position = Position::Quarantined { at: now };
    let mut state = StateRow::new(position, job.queue.clone(), now);
    state.has_payload_row = row.payload.is_stored();
    state.slots = slots_of(&row.limits);
    draft.put::<Jobs>(key, &row);
    settle(draft, key, &row, state, None, job, &job.attempts)
}

/// A job that is here: the attempts given must begin with those that it has had.
fn go_on(
    draft: &mut Draft<'_>,
    key: &JobKey,
    (row, state): &(JobRow, StateRow),
    job: &ImportJob,
) -> Result<Status, Halt> {
    let not = |fault| Err(Refusal::NotImportable(key.clone(), fault).into());
    match &state.position {
        Position::Ended {
            status: Ended::Succeeded,
            ..
        } => return not(ImportFault::Succeeded),
        Position::Quarantined { .. } => return Err(Refusal::Quarantined(key.clone()).into()),
        Position::Leased(_) => return Err(Refusal::JobRunning(key.clone()).into()),
        Position::Due(_)
        | Position::Ready(_)
        | Position::Parked { .. }
        | Position::Ended { .. } => {}
    }
    let ended = usize::try_from(state.attempts_ended).unwrap_or(usize::MAX);
    let Some((old, new)) = job.attempts.split_at_checked(ended) else {
        return not(ImportFault::Differs);
    };
    let mut need = Need::default();
    for (number, given) in (1_u32..).zip(old) {
        let kept = match &state.last {
            Some(last) if last.number == number => Some(last.clone()),
            // Too long ago to be kept: it is not compared.
            _ if number < state.attempts_from => continue,
            _ => match draft.attempt(key, number) {
                Err(Halt::Need(missing)) => {
                    need.add(missing);
                    continue;
                }
                other => other?,
            },
        };
        if !kept.is_some_and(|kept| is_same(&kept, given)) {
            return not(ImportFault::Differs);
        }
    }
    need.settled()?;
    if new.is_empty() {
        return not(ImportFault::NothingNew);
    }
    check_queues(draft, key, &state.queue)?;
    let before = state.status();
    leave(draft, key, state)?;
    settle(draft, key, row, state.clone(), Some(before), job, new)
}

/// Writes down the new attempts, and puts the job where they leave it.
fn settle(
    draft: &mut Draft<'_>,
    key: &JobKey,
    row: &JobRow,
    mut state: StateRow,
    before: Option<Status>,
    job: &ImportJob,
    attempts: &[ImportAttempt],
) -> Result<Status, Halt> {
    state.cancel_asked_at = None;
    state.returned = None;
    state.crashes = 0;
    state.losses = 0;
    for given in attempts {
        if let Some(last) = state.last.take() {
            keep_earlier(draft, key, &mut state, &last);
        }
        let number = state.attempts_ended.saturating_add(1);
        state.attempts_ended = number;
        state.last = Some(taken_in(draft, key, number, given));
    }
    let failures = failures(&state, job);
    let retries_max = row.retry.as_ref().map_or(0, |retry| retry.retry_count);
    state.retries_used = failures.min(retries_max);
    let now = draft.now();
    match job
        .attempts
        .last()
        .map(|last| (last.finished_at, &last.how))
    {
        None => start(draft, key, &mut state, before, job.start_at.unwrap_or(now))?,
        Some((at, ImportEnding::Succeeded { .. })) => {
            end_as_of(draft, key, &mut state, Ended::Succeeded, None, at)?;
        }
        Some((at, ImportEnding::Cancelled)) => {
            end_as_of(draft, key, &mut state, Ended::Cancelled, None, at)?;
        }
        Some((at, ImportEnding::Failed { .. })) if failures <= retries_max => {
            if let Some(retry) = &row.retry {
                state.retry_delay = retry.delay(failures, state.retry_delay, draft.draw());
            }
            let at = job.start_at.unwrap_or(at.after(state.retry_delay));
            start(draft, key, &mut state, before, at)?;
        }
        Some((at, ImportEnding::Failed { .. })) => {
            end_as_of(draft, key, &mut state, Ended::Failed, None, at)?;
        }
    }
    draft.put_state(key, before, &mut state)?;
    Ok(state.status())
}

/// A job that is still to run enters. One that was not here says how many slots its limits have, as
/// an enqueue does; one that has ended says nothing of those that run now.
fn start(
    draft: &mut Draft<'_>,
    key: &JobKey,
    state: &mut StateRow,
    before: Option<Status>,
    at: Timestamp,
) -> Result<(), Halt> {
    if before.is_none() {
        newest(draft, &key.tenant, &state.slots)?;
    }
    enter(draft, key, state, Entry::At(at))
}

/// Failures in the job's latest run that its retry policy pays for: crashes here are not among
/// them.
fn failures(state: &StateRow, job: &ImportJob) -> u32 {
    let run = usize::try_from(state.attempts_before).unwrap_or(usize::MAX);
    let of_run = job.attempts.iter().skip(run);
    let failed = of_run.filter(|attempt| match &attempt.how {
        ImportEnding::Failed { code, .. } => code != Ending::CRASHED_CODE,
        ImportEnding::Succeeded { .. } | ImportEnding::Cancelled => false,
    });
    u32::try_from(failed.count()).unwrap_or(u32::MAX)
}

fn taken_in(draft: &mut Draft<'_>, key: &JobKey, number: u32, given: &ImportAttempt) -> Attempt {
    let how = match &given.how {
        ImportEnding::Succeeded { data } => Ending::Succeeded(draft.keep_data(key, number, data)),
        ImportEnding::Failed { code, data } => Ending::Failed {
            code: code.clone(),
            data: draft.keep_data(key, number, data),
        },
        ImportEnding::Cancelled => Ending::Cancelled,
    };
    Attempt {
        number,
        nonce: draft.draw(),
        worker: WorkerId::elsewhere(),
        started_at: given.started_at,
        end: Some(AttemptEnd {
            at: given.finished_at,
            how,
        }),
    }
}

/// Whether an attempt that is kept here is the one that is given.
fn is_same(kept: &Attempt, given: &ImportAttempt) -> bool {
    let Some(end) = &kept.end else { return false };
    let how = match (&end.how, &given.how) {
        (Ending::Succeeded(known), ImportEnding::Succeeded { data }) => *known == Data::of(data),
        (Ending::Failed { code, data: known }, ImportEnding::Failed { code: given, data }) => {
            code == given && *known == Data::of(data)
        }
        // As it is shown, and so as it comes back.
        (Ending::Crashed, ImportEnding::Failed { code, .. }) => code == Ending::CRASHED_CODE,
        (Ending::Cancelled, ImportEnding::Cancelled) => true,
        (Ending::Succeeded(_) | Ending::Failed { .. } | Ending::Cancelled | Ending::Crashed, _) => {
            false
        }
    };
    how && (kept.started_at, end.at) == (given.started_at, given.finished_at)
}
