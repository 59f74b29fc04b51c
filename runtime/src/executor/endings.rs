//! Whom a shard tells of a job's end.

use std::collections::BTreeMap;

use silo_core::table::job::JobKey;
use tokio::sync::oneshot;

/// Those who went away without a word are looked for when there are so many, and then whenever
/// there are twice as many as stayed.
const SWEEP_MIN: usize = 64;

/// Who is to be told, by job. Whoever is no longer there to be told costs memory until the next
/// sweep, at most as much as all others together.
#[derive(Debug)]
pub struct Endings {
    by_job: BTreeMap<JobKey, Vec<oneshot::Sender<()>>>,
    count: usize,
    sweep_at: usize,
}

impl Default for Endings {
    fn default() -> Self {
        Self {
            by_job: BTreeMap::new(),
            count: 0,
            sweep_at: SWEEP_MIN,
        }
    }
}

impl Endings {
    /// Adds somebody. Yields jobs that nobody waits for any more.
    pub fn add(&mut self, job: JobKey, caller: oneshot::Sender<()>) -> Vec<JobKey> {
        self.by_job.entry(job).or_default().push(caller);
        self.count = self.count.saturating_add(1);
        if self.count < self.sweep_at {
            return Vec::new();
        }
        self.sweep()
    }

    /// Tells all who wait for this job.
    pub fn tell(&mut self, job: &JobKey) {
        for caller in self.by_job.remove(job).unwrap_or_default() {
            self.count = self.count.saturating_sub(1);
            // A caller that has gone does not mind.
            let _ = caller.send(());
        }
    }

    /// How many are to be told, those included who have gone since the last sweep.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether nobody is to be told.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn sweep(&mut self) -> Vec<JobKey> {
        let mut forgotten = Vec::new();
        self.by_job.retain(|job, callers| {
            callers.retain(|caller| !caller.is_closed());
            if callers.is_empty() {
                forgotten.push(job.clone());
            }
            !callers.is_empty()
        });
        let left = self.by_job.values().map(Vec::len);
        self.count = left.fold(0, usize::saturating_add);
        self.sweep_at = self.count.saturating_mul(2).max(SWEEP_MIN);
        forgotten
    }
}
