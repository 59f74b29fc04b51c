//! What truly runs at once, as workers see it that obey their own deadlines.

use std::collections::BTreeMap;

use silo_core::table::job::JobKey;

use crate::check::{Checked, Promise, ensure};
use crate::clock::{At, MS};
use crate::cover::{Cover, Mark};
use crate::plan::config::Config;
use crate::plan::profile::Family;
use crate::world::event::RunId;

/// Who runs what.
#[derive(Debug)]
pub struct AtWork {
    live: BTreeMap<JobKey, Live>,
    /// By how many thirds of a lease two of them may overlap; none: by any time.
    thirds: Option<u64>,
    checked: u64,
}

#[derive(Clone, Copy, Debug)]
struct Live {
    run: RunId,
    worker: u32,
    until: At,
    /// How long the two may overlap.
    grace: At,
}

impl AtWork {
    /// Nothing runs.
    pub fn new(config: &Config) -> Self {
        let has = |family| config.families.contains(&family);
        Self {
            live: BTreeMap::new(),
            // Dispatch before durability may run an attempt twice. A deposed owner confirms leases
            // for a third of their time. A worker counts from before it asked.
            thirds: (!config.stage.speculative).then(|| u64::from(has(Family::Owners))),
            checked: 0,
        }
    }

    /// How often it was checked.
    pub const fn checked(&self) -> u64 {
        self.checked
    }

    /// A worker begins a task, with a lease until then.
    ///
    /// # Errors
    /// [`crate::check::Violation`] when the job runs elsewhere.
    pub fn begin(
        &mut self,
        job: &JobKey,
        run: RunId,
        worker: u32,
        (now, until, lease): (At, At, At),
        cover: &mut Cover,
    ) -> Checked {
        self.checked += 1;
        let grace = match self.thirds {
            None => At::MAX,
            Some(0) => 0,
            // By clocks that say whole milliseconds.
            Some(thirds) => lease * thirds / 3 + 5 * MS,
        };
        let live = Live {
            run,
            worker,
            until,
            grace,
        };
        let before = self.live.insert(job.clone(), live);
        let Some(before) = before.filter(|before| before.until > now) else {
            return Ok(());
        };
        cover.hit(Mark::RanTwice);
        ensure(before.until - now <= before.grace, Promise::AtWork, || {
            format!(
                "job {} of {} runs at worker {} still, {} us more, and begins at worker {worker}",
                job.job,
                job.tenant,
                before.worker,
                before.until - now
            )
        })
    }

    /// A lease was confirmed until then.
    ///
    /// # Errors
    /// [`crate::check::Violation`] when somebody else has begun meanwhile.
    pub fn extend(&mut self, job: &JobKey, run: RunId, until: At, now: At) -> Checked {
        let Some(live) = self.live.get_mut(job) else {
            return Ok(());
        };
        self.checked += 1;
        if live.run == run {
            live.until = live.until.max(until);
            return Ok(());
        }
        ensure(
            live.until <= now || until <= now.saturating_add(live.grace),
            Promise::AtWork,
            || {
                format!(
                    "job {} of {} was confirmed to one worker and runs at worker {}",
                    job.job, job.tenant, live.worker
                )
            },
        )
    }

    /// A worker has stopped.
    pub fn end(&mut self, job: &JobKey, run: RunId, _now: At) {
        if self.live.get(job).is_some_and(|live| live.run == run) {
            self.live.remove(job);
        }
    }
}
