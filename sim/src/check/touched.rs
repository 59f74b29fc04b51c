//! The core's invariants, on the rows that a decision has touched. What is true of whole tenants is
//! checked on whole images; here, only that tallies move with the jobs.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use silo_core::invariants::image::Image;
use silo_core::invariants::{ALL, check_step};
use silo_core::shard::decision::Change;
use silo_core::shard::view::Rows;
use silo_core::table::attempt::{AttemptKey, Attempts};
use silo_core::table::due::{DueKey, Dues};
use silo_core::table::expiry::Expiries;
use silo_core::table::job::{JobKey, Jobs};
use silo_core::table::key::Key;
use silo_core::table::line::{WaiterKey, Waiters};
use silo_core::table::payload::{PAYLOAD_SLOT, PayloadKey};
use silo_core::table::ready::{Readies, ReadyKey};
use silo_core::table::running::Runnings;
use silo_core::table::singleton::{PausedQueues, PausedQueuesKey};
use silo_core::table::state::{Position, StateRow, States};
use silo_core::table::tenant::{Tallies, Tenants};
use silo_core::table::{Table, TableId};
use silo_core::types::data::Data;
use silo_core::types::tenant::Tenant;
use silo_runtime::executor::trace::Decided;

use crate::check::limits::TouchedLimits;
use crate::check::settings::Settings;
use crate::check::shadow::{Changed, Life};
use crate::check::{Checked, Promise, Violation, ensure};
use crate::cover::Cover;

/// Invariants that speak of single jobs.
const OF_JOBS: [&str; 7] = [
    "SILO-JOB-1",
    "SILO-JOB-2",
    "SILO-IDX-1",
    "SILO-LEASE-1",
    "SILO-ATT-1",
    "SILO-DATA-1",
    "SILO-QUAR-1",
];

/// The jobs that a decision touches, before and after.
#[derive(Debug)]
pub struct Touched {
    jobs: BTreeMap<JobKey, Job>,
    before: Image,
    tallies: BTreeMap<Tenant, Tallies>,
    /// The limits and lines that it touches.
    pub limits: TouchedLimits,
}

/// One of them.
#[derive(Debug, Default)]
pub struct Job {
    /// Its state before.
    pub before: Option<StateRow>,
    /// Its state after.
    pub after: Option<StateRow>,
    /// Whether its state is among what was decided.
    pub has_state_change: bool,
    index: BTreeSet<Key>,
    payloads: Vec<Key>,
}

impl Touched {
    /// How many.
    pub fn jobs(&self) -> usize {
        self.jobs.len()
    }

    /// Each with its states.
    pub fn states(&self) -> impl Iterator<Item = (&JobKey, &Job)> + Clone {
        self.jobs.iter()
    }

    /// Their names, and what the decision means to them.
    pub fn into_changed(self) -> Vec<Changed> {
        let jobs = self
            .jobs
            .into_iter()
            .filter(|(_, job)| job.has_state_change);
        let changed = jobs.map(|(key, job)| {
            let life = match (&job.before, &job.after) {
                (_, None) => Life::Ends,
                (None, Some(_)) => Life::Begins,
                (Some(_), Some(_)) => Life::GoesOn,
            };
            (key, life)
        });
        changed.collect()
    }
}

/// Everything about the jobs that a decision touches, as it was before.
///
/// # Errors
/// [`Violation`] for a row that is none.
pub fn before(rows: &Rows, decided: &Decided) -> Result<Touched, Violation> {
    let mut jobs: BTreeMap<JobKey, Job> = BTreeMap::new();
    let mut tallies = BTreeMap::new();
    let mut limits = TouchedLimits::default();
    let mut before = Image::default();
    for change in &decided.decision.changes {
        take(rows, change, &mut jobs, &mut tallies)
            .and_then(|()| limits.take(rows, change))
            .map_err(|detail| Violation {
                promise: Promise::Invariant,
                detail,
            })?;
    }
    for (key, job) in &mut jobs {
        if !job.has_state_change {
            // Its state says what it was; only the rest of it has changed.
            job.after = read::<States>(rows, &States::key(key));
        }
        if let Some(state) = &job.after {
            limits.touch(rows, key, state);
        }
        let Some(state) = read::<States>(rows, &States::key(key)) else {
            continue;
        };
        limits.touch(rows, key, &state);
        fill_attempts(rows, key, &state, &mut before);
        job.index.extend(index_of(key, &state));
        before.states.insert(key.clone(), state.clone());
        job.before = Some(state);
    }
    for change in &decided.decision.changes {
        if TableId::of(&change.key) == Some(TableId::Job)
            && let Some(row) = read::<Jobs>(rows, &change.key)
            && let Ok(key) = Jobs::read_key(&change.key)
        {
            before.jobs.insert(key, row);
        }
    }
    before.limits.extend(limits.image());
    Ok(Touched {
        jobs,
        before,
        tallies,
        limits,
    })
}

fn take(
    rows: &Rows,
    change: &Change,
    jobs: &mut BTreeMap<JobKey, Job>,
    tallies: &mut BTreeMap<Tenant, Tallies>,
) -> Result<(), String> {
    let bytes = &change.key;
    let none = |error: &dyn std::fmt::Display| format!("{bytes:?}: {error}");
    match TableId::of(bytes) {
        Some(TableId::State) => {
            let key = States::read_key(bytes).map_err(|e| none(&e))?;
            let job = jobs.entry(key).or_default();
            job.has_state_change = true;
            if let Some(value) = &change.value {
                job.after = Some(States::read_row(value).map_err(|e| none(&e))?);
            }
        }
        Some(TableId::Job) => {
            jobs.entry(Jobs::read_key(bytes).map_err(|e| none(&e))?)
                .or_default();
        }
        Some(TableId::Running) => {
            jobs.entry(Runnings::read_key(bytes).map_err(|e| none(&e))?)
                .or_default();
        }
        Some(TableId::Ready) => {
            let ReadyKey { tenant, job, .. } = Readies::read_key(bytes).map_err(|e| none(&e))?;
            let job = jobs.entry(JobKey { tenant, job }).or_default();
            job.index.insert(bytes.clone());
        }
        Some(TableId::Due) => {
            let DueKey { tenant, job, .. } = Dues::read_key(bytes).map_err(|e| none(&e))?;
            let job = jobs.entry(JobKey { tenant, job }).or_default();
            job.index.insert(bytes.clone());
        }
        Some(TableId::Expiry) => {
            let DueKey { tenant, job, .. } = Expiries::read_key(bytes).map_err(|e| none(&e))?;
            let job = jobs.entry(JobKey { tenant, job }).or_default();
            job.index.insert(bytes.clone());
        }
        Some(TableId::Attempt) => {
            let AttemptKey { tenant, job, .. } = Attempts::read_key(bytes).map_err(|e| none(&e))?;
            jobs.entry(JobKey { tenant, job }).or_default();
        }
        Some(TableId::Payload) => {
            let PayloadKey { job, .. } = PayloadKey::read_key(bytes).map_err(|e| none(&e))?;
            jobs.entry(job).or_default().payloads.push(bytes.clone());
        }
        Some(TableId::Tenant) => {
            let tenant = Tenants::read_key(bytes).map_err(|e| none(&e))?;
            let row = read::<Tenants>(rows, bytes).unwrap_or_default();
            tallies.insert(tenant, row.tallies);
        }
        Some(TableId::Waiter) => {
            let WaiterKey { line, job, .. } = Waiters::read_key(bytes).map_err(|e| none(&e))?;
            let tenant = line.tenant;
            let job = jobs.entry(JobKey { tenant, job }).or_default();
            job.index.insert(bytes.clone());
        }
        Some(
            TableId::Limit | TableId::Line | TableId::Parked | TableId::Ticket | TableId::Admit,
        ) => {}
        Some(TableId::Singleton) if *bytes == PausedQueues::key(&PausedQueuesKey) => {}
        Some(TableId::Quarantine | TableId::Singleton) | None => {
            return Err(format!("nothing here writes {bytes:?}"));
        }
    }
    Ok(())
}

/// Checks the rows after the decision.
///
/// # Errors
/// [`Violation`] with everything that does not hold.
pub fn check(
    touched: &Touched,
    (rows, settings): (&Rows, &Settings),
    decided: &Decided,
    cover: &mut Cover,
) -> Checked {
    if decided.decision.changes.is_empty() {
        return Ok(());
    }
    let mut after = Image::default();
    for (key, job) in &touched.jobs {
        fill(rows, key, job, &mut after);
    }
    touched.limits.fill(rows, &mut after);
    let now = decided.stamp.now.wall;
    let mut found = check_step(&touched.before, &after, Some(&decided.command), now);
    for invariant in ALL.iter().filter(|i| OF_JOBS.contains(&i.sigil)) {
        let sigil = invariant.sigil;
        let details = (invariant.check)(&after).into_iter();
        found.extend(details.map(|detail| silo_core::invariants::Violation { sigil, detail }));
    }
    ensure(found.is_empty(), Promise::Invariant, || {
        format!("{found:?} after {:?}", decided.command)
    })?;
    touched
        .limits
        .check((rows, settings), touched.states(), decided, cover)?;
    tallies(touched, rows, settings)
}

/// Tallies have moved as their jobs have, and what is set of tenants is what was said.
fn tallies(touched: &Touched, rows: &Rows, settings: &Settings) -> Checked {
    let mut expected = touched.tallies.clone();
    for (key, job) in touched.jobs.iter().filter(|(_, job)| job.has_state_change) {
        let tallies = expected.entry(key.tenant.clone()).or_insert_with(|| {
            let row = read::<Tenants>(rows, &Tenants::key(&key.tenant));
            row.unwrap_or_default().tallies
        });
        let status = |state: &Option<StateRow>| state.as_ref().map(StateRow::status);
        let (from, to) = (status(&job.before), status(&job.after));
        if from != to {
            tallies.shift(from, to);
        }
    }
    for (tenant, tallies) in expected {
        let row = read::<Tenants>(rows, &Tenants::key(&tenant)).unwrap_or_default();
        ensure(row.tallies == tallies, Promise::Invariant, || {
            format!("{tenant}: {:?} for {tallies:?}", row.tallies)
        })?;
        settings.is_of_tenant(&tenant, &row)?;
    }
    Ok(())
}

fn fill(rows: &Rows, key: &JobKey, job: &Job, image: &mut Image) {
    if let Some(row) = read::<Jobs>(rows, &Jobs::key(key)) {
        refer(rows, key, PAYLOAD_SLOT, &row.payload, image);
        image.jobs.insert(key.clone(), row);
    }
    if let Some(row) = read::<Runnings>(rows, &Runnings::key(key)) {
        image.running.insert(key.clone(), row);
    }
    let named = job.after.iter().flat_map(|state| index_of(key, state));
    let named: Vec<Key> = named.collect();
    for row in job.index.iter().chain(&named) {
        if !rows.map.contains_key(row) {
            continue;
        }
        match TableId::of(row) {
            Some(TableId::Ready) => image.ready.extend(Readies::read_key(row)),
            Some(TableId::Due) => image.due.extend(Dues::read_key(row)),
            Some(TableId::Waiter) => image.waiters.extend(Waiters::read_key(row)),
            _ => image.expiry.extend(Expiries::read_key(row)),
        }
    }
    for row in &job.payloads {
        if let (Some(bytes), Ok(at)) = (rows.map.get(row), PayloadKey::read_key(row)) {
            image.payloads.insert(at, bytes.clone());
        }
    }
    if let Some(state) = &job.after {
        if let Some((last, data)) = state.last.as_ref().and_then(|a| Some((a, a.data()?))) {
            refer(rows, key, last.number, data, image);
        }
        fill_attempts(rows, key, state, image);
        image.states.insert(key.clone(), state.clone());
    }
}

fn fill_attempts(rows: &Rows, key: &JobKey, state: &StateRow, image: &mut Image) {
    if state.attempts_ended == 0 {
        return;
    }
    for (row, value) in rows.map.range(AttemptKey::all(key)) {
        if let (Ok(at), Ok(attempt)) = (Attempts::read_key(row), Attempts::read_row(value)) {
            if let Some(data) = attempt.data() {
                refer(rows, key, attempt.number, data, image);
            }
            image.attempts.insert(at, attempt);
        }
    }
}

fn refer(rows: &Rows, key: &JobKey, slot: u32, data: &Data, image: &mut Image) {
    if data.is_stored()
        && let Some(bytes) = rows.map.get(&PayloadKey::key(key, slot))
    {
        let job = key.clone();
        image
            .payloads
            .insert(PayloadKey { job, slot }, bytes.clone());
    }
}

/// The index rows that a state names.
fn index_of(key: &JobKey, state: &StateRow) -> Option<Key> {
    match &state.position {
        Position::Due(place) => Some(Dues::key(&DueKey::of(key, *place))),
        Position::Ready(place) => Some(Readies::key(&ReadyKey::of(key, &state.queue, *place))),
        Position::Ended { expires, .. } => {
            expires.map(|place| Expiries::key(&DueKey::of(key, place)))
        }
        Position::Parked { line, place } => Some(Waiters::key(&WaiterKey::of(key, *line, *place))),
        Position::Leased(_) | Position::Quarantined { .. } => None,
    }
}

/// A row that decodes.
pub fn read<T: Table>(rows: &Rows, key: &Key) -> Option<T::Row> {
    let bytes: &Bytes = rows.map.get(key)?;
    T::read_row(bytes).ok()
}
