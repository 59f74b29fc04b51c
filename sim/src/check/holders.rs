//! Who holds slots, as workers see it: of each limit, no more tasks run at once than it had slots
//! when the latest of them took its own. So a limit that is lowered takes nothing from those that
//! run, and gives nothing to others until enough of them are done.

use std::collections::BTreeMap;

use silo_core::shard::reply::Task;
use silo_core::table::job::JobKey;
use silo_core::table::limit::LimitName;
use silo_core::types::limit::slots_of;
use silo_core::types::name::LimitKey;

use crate::check::limits::Taken;
use crate::check::settings::Settings;
use crate::check::{Checked, Promise, ensure};
use crate::clock::{At, MS};
use crate::plan::config::Config;
use crate::plan::profile::Family;
use crate::world::call::job_of;
use crate::world::event::RunId;

/// Who holds slots.
#[derive(Debug, Default)]
pub struct Holders {
    /// What each job took last, as far as it is durable.
    taken: BTreeMap<JobKey, (u64, Vec<(LimitKey, u32)>)>,
    /// Counts what was taken.
    next: u64,
    runs: BTreeMap<RunId, Run>,
    of_limits: BTreeMap<LimitName, BTreeMap<RunId, u32>>,
    /// None: nothing is checked. Else: how many thirds of a lease do not count, at its end.
    thirds: Option<u64>,
    checked: u64,
}

#[derive(Debug)]
struct Run {
    /// When its slots were taken, in the order of all that were.
    order: u64,
    limits: Vec<LimitName>,
    until: At,
    grace: At,
}

impl Holders {
    /// Nobody holds anything.
    pub fn new(config: &Config) -> Self {
        let has = |family| config.families.contains(&family);
        Self {
            // As for jobs that run twice: a deposed owner confirms leases for a third of their
            // time, and dispatch before durability may run an attempt twice.
            thirds: (!config.stage.speculative).then(|| u64::from(has(Family::Owners))),
            ..Self::default()
        }
    }

    /// How often it was checked.
    pub const fn checked(&self) -> u64 {
        self.checked
    }

    /// Jobs have taken slots, and that is durable; so is what operators have said until then,
    /// which goes before what jobs say.
    pub fn took(&mut self, taken: Vec<Taken>, settings: &Settings) {
        for (job, mut slots) in taken {
            for (key, maximum) in &mut slots {
                let name = LimitName {
                    tenant: job.tenant.clone(),
                    key: key.clone(),
                };
                *maximum = settings.slots(&name).unwrap_or(*maximum);
            }
            self.next += 1;
            self.taken.insert(job, (self.next, slots));
        }
    }

    /// A worker begins a task, with a lease until then.
    ///
    /// # Errors
    /// [`crate::check::Violation`] when too many run of one of its limits, or when it runs and has
    /// not taken what it wants.
    pub fn begin(&mut self, task: &Task, run: RunId, (now, until, lease): (At, At, At)) -> Checked {
        let Some(thirds) = self.thirds else {
            return Ok(());
        };
        let slots = slots_of(&task.limits);
        if slots.is_empty() {
            return Ok(());
        }
        let job = job_of(&task.id);
        let (order, taken) = self.taken.get(&job).cloned().unwrap_or_default();
        let is_same = slots
            .iter()
            .map(|slot| &slot.key)
            .eq(taken.iter().map(|(key, _)| key));
        ensure(is_same, Promise::AtWork, || {
            format!("job {} runs, wants {slots:?} and has {taken:?}", job.job)
        })?;
        let grace = if thirds == 0 {
            0
        } else {
            lease * thirds / 3 + 5 * MS
        };
        let mut limits = Vec::new();
        for (key, maximum) in taken {
            let tenant = job.tenant.clone();
            let name = LimitName { tenant, key };
            let runs = self.of_limits.entry(name.clone()).or_default();
            runs.insert(run, maximum);
            limits.push(name);
        }
        let kept = Run {
            order,
            limits,
            until,
            grace,
        };
        self.runs.insert(run, kept);
        self.check(run, now)
    }

    /// A lease was confirmed until then.
    ///
    /// # Errors
    /// [`crate::check::Violation`] when others have begun meanwhile, and it is one too many.
    pub fn extend(&mut self, run: RunId, until: At, now: At) -> Checked {
        let Some(kept) = self.runs.get_mut(&run) else {
            return Ok(());
        };
        kept.until = kept.until.max(until);
        self.check(run, now)
    }

    /// A worker has stopped.
    pub fn end(&mut self, run: RunId) {
        let Some(kept) = self.runs.remove(&run) else {
            return;
        };
        for name in kept.limits {
            if let Some(runs) = self.of_limits.get_mut(&name) {
                runs.remove(&run);
            }
        }
    }

    /// Of each limit of a task: in the order in which slots were taken, everybody had room beside
    /// those before it that run still.
    fn check(&mut self, run: RunId, now: At) -> Checked {
        let Some(kept) = self.runs.get(&run) else {
            return Ok(());
        };
        for name in &kept.limits {
            self.checked += 1;
            let runs = self.of_limits.get(name).into_iter().flatten();
            let mut live: Vec<(u64, u32, RunId)> = runs
                .filter_map(|(run, maximum)| {
                    let kept = self.runs.get(run)?;
                    (kept.until > now + kept.grace).then_some((kept.order, *maximum, *run))
                })
                .collect();
            live.sort_unstable();
            let is_fine =
                |(index, (_, maximum, _)): (usize, &(u64, u32, RunId))| index < *maximum as usize;
            ensure(
                live.iter().enumerate().all(is_fine),
                Promise::AtWork,
                || format!("{name:?} runs too often: when taken, slots then, run: {live:?}"),
            )?;
        }
        Ok(())
    }
}
