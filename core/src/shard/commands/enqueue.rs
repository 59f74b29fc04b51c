//! Enqueue: take a job, or several that are taken all or none. (SILO-JOB-T1)

use std::borrow::Cow;
use std::collections::BTreeMap;

use borsh::BorshSerialize;
use bytes::Bytes;

use crate::shard::draft::{Draft, Halt, damaged, gather};
use crate::shard::limits::{ask, newest};
use crate::shard::moves::{Entry, enter};
use crate::shard::refusal::{QUEUES_MAX, Refusal};
use crate::shard::reply::Reply;
use crate::shard::view::Need;
use crate::table::job::{JobKey, JobRow, Jobs, Request};
use crate::table::payload::PAYLOAD_SLOT;
use crate::table::state::{Position, StateRow};
use crate::table::tenant::Queue;
use crate::types::Invalid;
use crate::types::data::digest;
use crate::types::entropy::RequestId;
use crate::types::limit::{Limit, check_limits, slots_of};
use crate::types::name::JobId;
use crate::types::retention::Retention;
use crate::types::retry::RetryPolicy;
use crate::types::tenant::Tenant;
use crate::types::time::{Millis, Timestamp};

/// Crashes in a row that a job survives unless it says otherwise.
pub const MAX_CRASHES_DEFAULT: u32 = 5;
/// Most crashes in a row that a job may ask to survive.
pub const MAX_CRASHES_MAX: u32 = 1000;
/// Most metadata pairs.
pub const METADATA_PAIRS_MAX: usize = 16;
/// Keys of metadata that say in which trace a job was enqueued (W3C Trace Context).
pub const TRACE_KEYS: [&str; 2] = ["traceparent", "tracestate"];
/// A metadata key is shorter than this, in characters (Unicode scalars).
pub const METADATA_KEY_CHARS_END: usize = 64;
/// A metadata value is shorter than this, in bytes.
pub const METADATA_VALUE_BYTES_END: usize = 65_535;
/// Shortest lease.
pub const LEASE_MIN: Millis = Millis::new(100);
/// Most jobs that are taken all or none.
pub const ATOMIC_JOBS_MAX: usize = 1000;
/// Longest lease: a day.
pub const LEASE_MAX: Millis = Millis::from_secs(24 * 60 * 60);

/// A job to take. [`Enqueue::check`] holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Enqueue {
    /// Whose job.
    pub tenant: Tenant,
    /// Its id; without one it is derived from `request`, or made up.
    pub id: Option<JobId>,
    /// Makes the call safe to repeat.
    pub request: Option<RequestId>,
    /// Task group and priority.
    pub queue: Queue,
    /// Not before this; past means now.
    pub start_at: Option<Timestamp>,
    /// None: a failure is final.
    pub retry: Option<RetryPolicy>,
    /// Crashes in a row that the job survives.
    pub max_crashes: u32,
    /// What must have room before it runs.
    pub limits: Vec<Limit>,
    /// How long its leases last, unless the lease request says otherwise.
    pub lease: Option<Millis>,
    /// How long the job is kept once it has ended.
    pub retention: Retention,
    /// The caller's own pairs.
    pub metadata: BTreeMap<String, String>,
    /// What the worker is given.
    pub payload: Bytes,
}

/// Jobs that are taken all or none. At most [`ATOMIC_JOBS_MAX`], all of one tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct EnqueueAll {
    /// The jobs, in the order in which they arrive.
    pub jobs: Vec<Enqueue>,
}

impl EnqueueAll {
    /// Checks what the jobs must have in common.
    ///
    /// # Errors
    /// [`Invalid`] for too many jobs, or jobs of more than one tenant.
    pub fn check(&self) -> Result<(), Invalid> {
        let count = self.jobs.len();
        if count > ATOMIC_JOBS_MAX {
            let value = format!("{count} jobs");
            let bound = format!("at most {ATOMIC_JOBS_MAX} jobs when atomic");
            return Err(Invalid::new("jobs", value, bound));
        }
        let mut tenants = self.jobs.iter().map(|job| &job.tenant);
        let first = tenants.next();
        match tenants.find(|tenant| Some(*tenant) != first) {
            None => Ok(()),
            Some(other) => Err(Invalid::new(
                "tenant",
                other,
                "the same for all jobs when atomic",
            )),
        }
    }
}

impl Enqueue {
    /// Checks the bounds that no type checks.
    ///
    /// # Errors
    /// [`Invalid`] names the first field out of bounds.
    pub fn check(&self) -> Result<(), Invalid> {
        if let Some(retry) = &self.retry {
            retry.check()?;
        }
        if self.max_crashes > MAX_CRASHES_MAX {
            let bound = format!("at most {MAX_CRASHES_MAX}");
            return Err(Invalid::new("max_crashes", self.max_crashes, bound));
        }
        if let Some(lease) = self.lease {
            check_lease(lease)?;
        }
        check_limits(&self.limits)?;
        check_metadata(&self.metadata)
    }

    /// The id that the caller gave, itself or by its request.
    fn given_id(&self) -> Option<JobId> {
        let id = self.id.clone();
        id.or_else(|| self.request.map(|request| request.job_id()))
    }

    /// XXH3-128 of everything asked for: tells a repeated call from another one. In which trace it
    /// was asked is not part of that.
    fn fingerprint(&self) -> [u8; 16] {
        let mut bytes = Vec::new();
        let mut metadata = Cow::Borrowed(&self.metadata);
        if TRACE_KEYS.iter().any(|key| metadata.contains_key(*key)) {
            let is_content = |key: &String, _: &mut String| !TRACE_KEYS.contains(&key.as_str());
            metadata.to_mut().retain(is_content);
        }
        // Writing to memory cannot fail.
        let _ = (
            (&self.id, &self.queue, self.start_at, &self.retry),
            (self.max_crashes, self.lease, metadata.as_ref()),
        )
            .serialize(&mut bytes);
        // Only where it says something: calls of releases that did not know it stay repeatable.
        if self.retention != Retention::FOREVER {
            let _ = self.retention.serialize(&mut bytes);
        }
        if !self.limits.is_empty() {
            let _ = self.limits.serialize(&mut bytes);
        }
        bytes.extend_from_slice(&self.payload);
        digest(&bytes)
    }
}

/// Checks that a lease is neither too short nor too long.
///
/// # Errors
/// [`Invalid`] outside [`LEASE_MIN`]..=[`LEASE_MAX`].
pub fn check_lease(lease: Millis) -> Result<(), Invalid> {
    if (LEASE_MIN..=LEASE_MAX).contains(&lease) {
        Ok(())
    } else {
        Err(Invalid::new(
            "lease_ms",
            lease.get(),
            format!("{LEASE_MIN} to {LEASE_MAX}"),
        ))
    }
}

pub(crate) fn decide(enqueue: &Enqueue, draft: &mut Draft<'_>) -> Result<Reply, Halt> {
    let mut taken = BTreeMap::new();
    take(enqueue, 0, &mut taken, draft).map(Reply::Enqueued)
}

pub(crate) fn decide_all(all: &EnqueueAll, draft: &mut Draft<'_>) -> Result<Reply, Halt> {
    // What is missing is loaded at once for all of them.
    let mut need = Need::default();
    for enqueue in &all.jobs {
        if let Some(job) = enqueue.given_id() {
            let tenant = enqueue.tenant.clone();
            let found = look_up(draft, &JobKey { tenant, job }, None);
            match found {
                Err(Halt::Need(missing)) => need.add(missing),
                Err(Halt::Damaged(damage)) => return Err(Halt::Damaged(damage)),
                // Whether that is a refusal is judged below.
                Ok(_) | Err(Halt::Refused(_)) => {}
            }
        }
        let slots = slots_of(&enqueue.limits);
        gather(&mut need, ask(draft, &enqueue.tenant, &slots))?;
    }
    need.settled()?;
    let mut taken = BTreeMap::new();
    let mut jobs = Vec::with_capacity(all.jobs.len());
    for (index, enqueue) in all.jobs.iter().enumerate() {
        match take(enqueue, index, &mut taken, draft) {
            Ok(job) => jobs.push(job),
            Err(Halt::Refused(refusal)) => {
                return Err(Refusal::InBatch { index, refusal }.into());
            }
            Err(other) => return Err(other),
        }
    }
    Ok(Reply::EnqueuedAll(jobs))
}

/// Takes the `index`-th job of a command; `taken` are those before it.
fn take(
    enqueue: &Enqueue,
    index: usize,
    taken: &mut BTreeMap<JobId, Option<Request>>,
    draft: &mut Draft<'_>,
) -> Result<JobId, Halt> {
    let now = draft.now();
    let request = enqueue.request.map(|id| Request {
        id,
        fingerprint: enqueue.fingerprint(),
    });
    let given = enqueue.given_id();
    let key = JobKey {
        tenant: enqueue.tenant.clone(),
        job: given
            .clone()
            .unwrap_or_else(|| draft.stamp().entropy.job_id(now, index)),
    };
    // An id made here is new by construction; only a given one is looked up.
    if given.is_some() {
        let before = match taken.get(&key.job) {
            Some(before) => Some(same_or_other(&key, *before, request)?),
            None => look_up(draft, &key, request)?,
        };
        if let Some(job) = before {
            return Ok(job);
        }
    }
    check_queues(draft, &key, &enqueue.queue)?;
    let mut state = StateRow::new(
        Position::Quarantined { at: now },
        enqueue.queue.clone(),
        now,
    );
    state.retention = enqueue.retention;
    state.slots = slots_of(&enqueue.limits);
    ask(draft, &key.tenant, &state.slots)?;
    newest(draft, &key.tenant, &state.slots)?;
    let start = enqueue.start_at.unwrap_or(now);
    enter(draft, &key, &mut state, Entry::At(start))?;
    let job = JobRow {
        queue: enqueue.queue.clone(),
        enqueued_at: now,
        start_at: enqueue.start_at,
        retry: enqueue.retry.clone(),
        max_crashes: enqueue.max_crashes,
        lease: enqueue.lease,
        metadata: enqueue.metadata.clone(),
        payload: draft.keep_data(&key, PAYLOAD_SLOT, &enqueue.payload),
        request,
        limits: enqueue.limits.clone(),
    };
    state.has_payload_row = job.payload.is_stored();
    draft.put::<Jobs>(&key, &job);
    draft.put_state(&key, None, &mut state)?;
    taken.insert(key.job.clone(), request);
    Ok(key.job)
}

/// Refuses a job that would have its tenant wait in one queue too many.
pub(crate) fn check_queues(draft: &mut Draft<'_>, key: &JobKey, queue: &Queue) -> Result<(), Halt> {
    let queues = &draft.tenant(&key.tenant)?.ready;
    if queues.len() >= QUEUES_MAX && !queues.contains_key(queue) {
        let tenant = key.tenant.clone();
        return Err(Refusal::TooManyQueues { tenant }.into());
    }
    Ok(())
}

/// The job that has the id, if it is there and was made by the same call. Its state says whether it
/// is there, as for every other command: a description may be missing.
fn look_up(
    draft: &mut Draft<'_>,
    key: &JobKey,
    request: Option<Request>,
) -> Result<Option<JobId>, Halt> {
    let known = match draft.state(key) {
        // The tenant's row is needed next: load both at once.
        Err(Halt::Need(mut need)) => {
            if let Err(Halt::Need(other)) = draft.tenant(&key.tenant).map(|_| ()) {
                need.add(other);
            }
            return Err(need.into());
        }
        other => other?,
    };
    if known.is_none() {
        return Ok(None);
    }
    let job = draft
        .job(key)?
        .ok_or_else(|| damaged(key, "its job row is missing"))?;
    same_or_other(key, job.request, request).map(Some)
}

/// The answer when the id is taken: the same job for the same call, else a refusal.
fn same_or_other(
    key: &JobKey,
    before: Option<Request>,
    now: Option<Request>,
) -> Result<JobId, Halt> {
    if now.is_some() && before == now {
        Ok(key.job.clone())
    } else {
        Err(Refusal::JobExists(key.job.clone()).into())
    }
}

pub(crate) fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), Invalid> {
    if metadata.len() > METADATA_PAIRS_MAX {
        let value = format!("{} pairs", metadata.len());
        return Err(Invalid::new(
            "metadata",
            value,
            format!("at most {METADATA_PAIRS_MAX} pairs"),
        ));
    }
    for (key, value) in metadata {
        let chars = key.chars().count();
        if chars >= METADATA_KEY_CHARS_END {
            let value = format!("{chars} characters long");
            let bound = format!("shorter than {METADATA_KEY_CHARS_END} characters");
            return Err(Invalid::new("metadata key", value, bound));
        }
        if value.len() >= METADATA_VALUE_BYTES_END {
            let value = format!("{} bytes long at key {key}", value.len());
            let bound = format!("shorter than {METADATA_VALUE_BYTES_END} bytes");
            return Err(Invalid::new("metadata value", value, bound));
        }
    }
    Ok(())
}
