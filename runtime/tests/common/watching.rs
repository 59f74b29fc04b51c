//! Who waits for the ends of jobs: told of each once it is durable, and not before.

use std::collections::{BTreeMap, BTreeSet};

use silo_core::table::Table as _;
use silo_core::table::job::JobKey;
use silo_core::table::key::Key;
use silo_core::table::state::{Position, States};
use silo_runtime::executor::stage::Stage;
use silo_runtime::executor::working_set::Round;

use crate::common::oracle::{Checked, Oracle, Promise, check};

/// Watches jobs, and each again as soon as it is told of.
#[derive(Default)]
pub struct Watching {
    /// How often each was told of, and how far all was durable the last time.
    jobs: BTreeMap<JobKey, (usize, Round)>,
    /// How often any was told of.
    pub times: usize,
}

impl Watching {
    pub fn add(&mut self, job: JobKey, stage: &mut Stage<u64>) {
        stage.watched().add(&job);
        self.jobs.insert(job, (0, Round(0)));
    }

    /// Another stage: it knows of nobody who waits.
    pub fn again(&mut self, stage: &mut Stage<u64>) {
        for (job, told) in &mut self.jobs {
            stage.watched().add(job);
            *told = (0, Round(0));
        }
    }

    /// The stage says that a job is over, now that everything up to `durable` is durable.
    pub fn over(&mut self, job: &JobKey, oracle: &Oracle, durable: Round) -> Checked {
        let ends = ends(job, oracle);
        let (times, until) = self.jobs.get_mut(job).expect("a job that is watched");
        *times += 1;
        self.times += 1;
        *until = durable;
        check(
            Promise::Durability,
            ends.range(..=durable).count() >= *times,
            || format!("{job:?} is over for the {times}. time: {ends:?}, durable {durable:?}"),
        )
    }

    /// Everything is durable.
    pub fn check_rest(&self, oracle: &Oracle) -> Checked {
        for (job, (_, until)) in &self.jobs {
            let last = ends(job, oracle).pop_last();
            check(Promise::Answered, last.is_none_or(|l| l <= *until), || {
                format!("{job:?} ended in {last:?}, told in {until:?}")
            })?;
        }
        Ok(())
    }
}

/// The rounds in which a job ended, was set aside, or went.
fn ends(job: &JobKey, oracle: &Oracle) -> BTreeSet<Round> {
    let key: Key = States::key(job);
    let decisions = oracle.decisions.iter().map(|(decided, _)| decided);
    let is_end = |row: &Option<bytes::Bytes>| match row.as_deref().map(States::read_row) {
        Some(Ok(state)) => matches!(
            state.position,
            Position::Ended { .. } | Position::Quarantined { .. }
        ),
        Some(Err(_)) | None => true,
    };
    decisions
        .filter(|decided| {
            let mut changes = decided.decision.changes.iter();
            changes.any(|change| change.key == key && is_end(&change.value))
        })
        .map(|decided| decided.round)
        .collect()
}
