//! List: a page of a tenant's jobs, in the order of their ids. It changes nothing.
//!
//! However many jobs there are and however few are asked for, one command looks at a bounded number
//! of rows: a page may be empty and say where to go on. What cannot be read is passed over and
//! counted; setting it aside is left to whoever needs the job.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::shard::draft::{Draft, Halt};
use crate::shard::reply::{ListedJob, Listing, Reply};
use crate::shard::view::Need;
use crate::table::Table as _;
use crate::table::job::{JobKey, Jobs};
use crate::table::key::{Key, KeyRange, successor};
use crate::table::state::{Position, StateRow, States, Status, status_of_bytes};
use crate::types::Invalid;
use crate::types::name::{JobId, TaskGroup};
use crate::types::tenant::Tenant;
use crate::types::time::Timestamp;

/// Most jobs on a page.
pub const JOBS_LISTED_MAX: u32 = 1000;
/// Most states that one command looks at.
pub const STATES_SCANNED_MAX: usize = 1000;
/// A page ends with the job whose description makes all of its jobs' so large, in bytes.
pub const DESCRIPTION_BYTES_MAX: usize = 4 << 20;
/// Descriptions that are asked for at once: large ones must not push all else out of memory.
const LOOKUPS_MAX: usize = 128;
/// Descriptions are read as one range when that is at most so many jobs for each that is asked for.
const SPAN_PER_LOOKUP: usize = 4;

/// A request to see a tenant's jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// Whose jobs.
    pub tenant: Tenant,
    /// Only those of one of these; none: of all.
    pub statuses: BTreeSet<Status>,
    /// Only those of this task group.
    pub group: Option<TaskGroup>,
    /// Only those whose id begins so.
    pub prefix: Option<IdPrefix>,
    /// Those after the row where the last page ended, as its answer said.
    pub after: Option<Key>,
    /// At most so many: 1 to [`JOBS_LISTED_MAX`].
    pub jobs_max: u32,
}

/// How a job's id begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdPrefix(JobId);

impl IdPrefix {
    /// Takes `text` as the beginning of ids.
    ///
    /// # Errors
    /// [`Invalid`] when it is empty, or no id begins so.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let field = "id_prefix";
        let id = JobId::parse(text).map_err(|invalid| Invalid { field, ..invalid })?;
        Ok(Self(id))
    }
}

impl List {
    /// The rows that the request is about. A page ends within.
    pub fn range(&self) -> KeyRange {
        match &self.prefix {
            Some(IdPrefix(prefix)) => States::of_tenant(&self.tenant, prefix.as_str()),
            None => States::of_tenant(&self.tenant, ""),
        }
    }
}

pub(crate) fn list(list: &List, draft: &Draft<'_>) -> Result<Reply, Halt> {
    let mut range = list.range();
    if let Some(after) = &list.after {
        range.start = range.start.max(successor(after));
    }
    let rows = draft.range(&range, STATES_SCANNED_MAX)?;
    let scan = Scan::of(list, &rows);
    Ok(Reply::Listed(describe(scan, draft)?))
}

/// What was found in one look at the states.
struct Scan {
    found: Vec<Found>,
    skipped: u32,
    next: Option<Key>,
}

/// A job that belongs on the page.
struct Found {
    key: JobKey,
    state: StateRow,
    /// Its state's key, and which of the rows scanned that is.
    row_key: Key,
    index: usize,
    /// What was passed over before it.
    skipped: u32,
}

impl Scan {
    fn of(list: &List, rows: &[(Key, Bytes)]) -> Self {
        let jobs_max = list.jobs_max.clamp(1, JOBS_LISTED_MAX);
        let jobs_max = usize::try_from(jobs_max).unwrap_or(usize::MAX);
        let mut scan = Self {
            found: Vec::new(),
            skipped: 0,
            next: None,
        };
        // There may be more unless this was all.
        let last = rows.last().filter(|_| rows.len() == STATES_SCANNED_MAX);
        let mut end = last.map(|(key, _)| key);
        let mut before = list.after.as_ref();
        for (index, (row_key, row)) in rows.iter().enumerate() {
            if scan.found.len() == jobs_max {
                end = before;
                break;
            }
            before = Some(row_key);
            match list.judge(row_key, row) {
                Verdict::Other => {}
                Verdict::Unknown => scan.skipped = scan.skipped.saturating_add(1),
                Verdict::Found(key, state) => scan.found.push(Found {
                    key,
                    state: *state,
                    row_key: row_key.clone(),
                    index,
                    skipped: scan.skipped,
                }),
            }
        }
        scan.next = end.cloned();
        scan
    }
}

/// What a state says of whether its job is asked for.
enum Verdict {
    Found(JobKey, Box<StateRow>),
    Other,
    /// It cannot be read, or says nothing.
    Unknown,
}

impl List {
    fn judge(&self, row_key: &Key, row: &Bytes) -> Verdict {
        // Most rows that are not asked for need not be decoded.
        match status_of_bytes(row) {
            None | Some(Status::Quarantined) => return Verdict::Unknown,
            Some(status) if !self.statuses.is_empty() && !self.statuses.contains(&status) => {
                return Verdict::Other;
            }
            Some(_) => {}
        }
        let (Ok(key), Ok(state)) = (States::read_key(row_key), States::read_row(row)) else {
            return Verdict::Unknown;
        };
        match &self.group {
            Some(group) if *group != state.queue.group => Verdict::Other,
            Some(_) | None => Verdict::Found(key, Box::new(state)),
        }
    }
}

/// Adds what the jobs' descriptions say.
fn describe(scan: Scan, draft: &Draft<'_>) -> Result<Listing, Halt> {
    let mut listing = Listing {
        jobs: Vec::with_capacity(scan.found.len()),
        skipped: scan.skipped,
        next: scan.next,
    };
    let mut missing: Vec<(usize, Key)> = Vec::new();
    let (mut bytes, mut unreadable) = (0_usize, 0_u32);
    for found in scan.found {
        let job_key = Jobs::key(&found.key);
        let row = match draft.bytes(&job_key) {
            Ok(row) => row.unwrap_or_default(),
            Err(Halt::Need(_)) => {
                missing.push((found.index, job_key));
                if missing.len() == LOOKUPS_MAX {
                    break;
                }
                continue;
            }
            Err(halt) => return Err(halt),
        };
        if !missing.is_empty() {
            continue;
        }
        bytes = bytes.saturating_add(row.len());
        match Jobs::read_row(&row) {
            Ok(job) => listing.jobs.push(ListedJob {
                attempt: attempt(&found.state),
                next_start: next_start(&found.state),
                status: found.state.status(),
                changed_at: found.state.changed_at,
                queue: found.state.queue,
                enqueued_at: job.enqueued_at,
                job: found.key.job,
            }),
            Err(_) => unreadable = unreadable.saturating_add(1),
        }
        if bytes >= DESCRIPTION_BYTES_MAX {
            listing.skipped = found.skipped;
            listing.next = Some(found.row_key);
            break;
        }
    }
    need(&missing).settled()?;
    listing.skipped = listing.skipped.saturating_add(unreadable);
    Ok(listing)
}

/// Descriptions to load: row by row, or as one range when little else lies in between.
fn need(missing: &[(usize, Key)]) -> Need {
    let mut need = Need::default();
    let (Some((first, start)), Some((last, end))) = (missing.first(), missing.last()) else {
        return need;
    };
    let span = last.saturating_sub(*first).saturating_add(1);
    if missing.len() > 1 && span <= missing.len().saturating_mul(SPAN_PER_LOOKUP) {
        return Need::range(&(start.clone()..successor(end)), span);
    }
    for (_, key) in missing {
        need.add(Need::row(key));
    }
    need
}

/// The attempt that runs, or the last that ended.
const fn attempt(state: &StateRow) -> u32 {
    match state.lease() {
        Some(lease) => lease.attempt,
        None => state.attempts_ended,
    }
}

const fn next_start(state: &StateRow) -> Option<Timestamp> {
    match &state.position {
        Position::Due(place) | Position::Ready(place) => Some(place.at),
        Position::Parked { place, .. } => Some(place.place().at),
        Position::Leased(_) | Position::Ended { .. } | Position::Quarantined { .. } => None,
    }
}
