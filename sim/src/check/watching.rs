//! Jobs whose end somebody waits for: nobody is told before it is durable, and everybody is.

use std::collections::{BTreeMap, BTreeSet};

use silo_core::table::job::JobKey;
use silo_core::table::state::{Position, StateRow};
use silo_runtime::executor::working_set::Round;

use crate::check::touched::Touched;
use crate::check::{Checked, Promise, ensure};

/// The jobs that one process watches.
#[derive(Debug, Default)]
pub struct Watching {
    jobs: BTreeSet<JobKey>,
    /// Ends that it has decided and not told of, and in which rounds.
    over: BTreeMap<JobKey, Vec<Round>>,
    /// Ends of jobs that were decided when an earlier end was told of, and in which rounds: whoever
    /// waits for the job again before these are durable may be told of them.
    later: BTreeMap<JobKey, Vec<Round>>,
    /// Jobs asked about again after their end was decided and before it was told of. Whether the
    /// stage had taken them off its watch by then does not show.
    again: BTreeSet<JobKey>,
    /// Those of them whose end was told of: their next end may be told of, or not.
    perhaps: BTreeSet<JobKey>,
}

impl Watching {
    /// Somebody is about to ask whether a job has ended.
    pub fn begin(&mut self, job: JobKey) {
        if self.over.contains_key(&job) {
            self.again.insert(job.clone());
        }
        self.jobs.insert(job);
    }

    /// A decision of this round: it may end jobs.
    pub fn decided(&mut self, touched: &Touched, round: Round) {
        if self.jobs.is_empty() && self.perhaps.is_empty() {
            return;
        }
        for (key, job) in touched.states() {
            if !job.has_state_change || !job.after.as_ref().is_none_or(is_over) {
                continue;
            }
            let ends = if self.jobs.contains(key) {
                &mut self.over
            } else if self.perhaps.contains(key) {
                &mut self.later
            } else {
                continue;
            };
            ends.entry(key.clone()).or_default().push(round);
        }
    }

    /// Those who wait are told that the job has ended; so much is durable.
    ///
    /// # Errors
    /// [`crate::check::Violation`] when it has not, or when that could be taken back.
    pub fn told(&mut self, job: &JobKey, durable: Round) -> Checked {
        let mut ends = self.over.remove(job).unwrap_or_default();
        ends.extend(self.later.remove(job).unwrap_or_default());
        ensure(
            ends.iter().any(|round| *round <= durable),
            Promise::Durability,
            || {
                format!(
                    "{} is said to have ended: {ends:?}, durable is {durable:?}",
                    job.job
                )
            },
        )?;
        self.jobs.remove(job);
        if self.again.remove(job) {
            self.perhaps.insert(job.clone());
        } else {
            self.perhaps.remove(job);
        }
        ends.retain(|round| *round > durable);
        if !ends.is_empty() {
            self.later.insert(job.clone(), ends);
        }
        Ok(())
    }

    /// The process has come to rest: nobody waits for what has happened.
    ///
    /// # Errors
    /// [`crate::check::Violation`] when somebody does.
    pub fn end(&self) -> Checked {
        let left = self.over.keys().find(|job| self.jobs.contains(job));
        ensure(left.is_none(), Promise::Liveness, || {
            format!("nobody was told that {left:?} has ended")
        })
    }
}

fn is_over(state: &StateRow) -> bool {
    match &state.position {
        Position::Ended { .. } | Position::Quarantined { .. } => true,
        Position::Due(_) | Position::Ready(_) | Position::Parked { .. } | Position::Leased(_) => {
            false
        }
    }
}
