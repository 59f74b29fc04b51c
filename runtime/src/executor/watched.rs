//! Jobs whose end somebody waits for.
//!
//! Every change of a round passes here, and is looked at only while any job is watched at all. What
//! a decision says is no news before it is durable: it is kept by its round until then.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use silo_core::table::Table as _;
use silo_core::table::job::JobKey;
use silo_core::table::key::Key;
use silo_core::table::state::{States, Status, status_of_bytes};

use crate::executor::form::Form;
#[cfg(doc)]
use crate::executor::output::Output;
use crate::executor::working_set::Round;

/// The watched jobs of a shard. Whoever is about to ask whether a job has ended watches it first,
/// and then asks: so no end goes by unseen.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// By the keys of their states.
    jobs: BTreeMap<Key, JobKey>,
    /// Those that are over, by the round that says so.
    over: BTreeMap<Round, BTreeSet<Key>>,
}

impl Watched {
    /// Tells of the job's next end, or that it was taken away, with one [`Output::Over`]. After
    /// that it is not watched any more.
    pub fn add(&mut self, job: &JobKey) {
        self.jobs.insert(States::key(job), job.clone());
    }

    /// Nobody waits for the job any more.
    pub fn remove(&mut self, job: &JobKey) {
        self.jobs.remove(&States::key(job));
    }

    /// How many jobs are watched.
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether no job is watched.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Who is watched, and who is over.
    pub(crate) fn form(&self, form: &mut Form<'_>) {
        for key in self.jobs.keys() {
            form.part(key);
        }
        form.end();
        for (round, keys) in &self.over {
            form.round(*round);
            form.part(keys);
        }
        form.end();
    }

    /// A decision of this round put a row, or took it away.
    pub(crate) fn see(&mut self, key: &Key, value: Option<&Bytes>, round: Round) {
        if self.jobs.is_empty() || !self.jobs.contains_key(key) {
            return;
        }
        if value.is_none_or(|row| is_over(row)) {
            self.over.entry(round).or_default().insert(key.clone());
        }
    }

    /// Everything up to this round is durable: the jobs that are over for good.
    pub(crate) fn durable(&mut self, round: Round) -> Vec<JobKey> {
        let later = self.over.split_off(&round.next());
        let over = std::mem::replace(&mut self.over, later);
        let keys = over.into_values().flatten();
        keys.filter_map(|key| self.jobs.remove(&key)).collect()
    }
}

/// Whether a state says that waiting is of no use: the job has ended, or was set aside, or nobody
/// can tell.
fn is_over(state: &[u8]) -> bool {
    match status_of_bytes(state) {
        Some(Status::Scheduled | Status::Running) => false,
        Some(Status::Succeeded | Status::Failed | Status::Cancelled | Status::Quarantined)
        | None => true,
    }
}
