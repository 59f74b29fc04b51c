//! Which jobs were acknowledged, leased and ended, and how often: so that a job that is lost or
//! runs twice is found.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::bench::faults::{Fault, Faults};
use crate::bench::loader::Totals;

/// How long the last jobs may take.
const DRAIN_MAX: Duration = Duration::from_secs(60);
/// How long none of them may end.
const QUIET_MAX: Duration = Duration::from_secs(10);

/// What is known of every job, by number.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    jobs: Mutex<Vec<Job>>,
    ended: watch::Sender<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Job {
    is_acknowledged: bool,
    leases: u8,
    ends: u8,
}

impl Ledger {
    pub(crate) fn acknowledged(&self, number: u64) {
        self.note(number, |job| job.is_acknowledged = true);
    }

    pub(crate) fn leased(&self, number: u64) {
        self.note(number, |job| job.leases = job.leases.saturating_add(1));
    }

    pub(crate) fn ended(&self, number: u64) {
        let mut is_first = false;
        self.note(number, |job| {
            is_first = job.ends == 0;
            job.ends = job.ends.saturating_add(1);
        });
        if is_first {
            self.ended
                .send_modify(|ended| *ended = ended.saturating_add(1));
        }
    }

    /// Waits until so many jobs have ended, as long as any go on ending and [`DRAIN_MAX`] is not
    /// over. What is left then is lost, and [`Self::audit`] finds it.
    pub(crate) async fn drained(&self, jobs: u64) {
        let mut ended = self.ended.subscribe();
        let drained = async {
            while *ended.borrow_and_update() < jobs {
                // The sender lives as long as this.
                if timeout(QUIET_MAX, ended.changed()).await.is_err() {
                    return;
                }
            }
        };
        let _ = timeout(DRAIN_MAX, drained).await;
    }

    /// Waits for those of these that were acknowledged, in the same way. Tells how many have not
    /// ended even then.
    pub(crate) async fn drained_of(&self, numbers: Range<u64>) -> u64 {
        let mut ended = self.ended.subscribe();
        let drained = async {
            let mut next = numbers.start;
            loop {
                ended.borrow_and_update();
                next = self.first_open(next..numbers.end);
                if next >= numbers.end || timeout(QUIET_MAX, ended.changed()).await.is_err() {
                    return;
                }
            }
        };
        let _ = timeout(DRAIN_MAX, drained).await;
        let jobs = self.jobs();
        let open = numbers.filter(|number| is_open(&jobs, *number)).count();
        u64::try_from(open).unwrap_or(u64::MAX)
    }

    /// The first of these that was acknowledged and has not ended, else their end.
    fn first_open(&self, mut numbers: Range<u64>) -> u64 {
        let (jobs, end) = (self.jobs(), numbers.end);
        numbers
            .find(|number| is_open(&jobs, *number))
            .unwrap_or(end)
    }

    /// How many have ended.
    pub(crate) fn ended_so_far(&self) -> u64 {
        *self.ended.borrow()
    }

    /// How many were acknowledged.
    pub(crate) fn acknowledged_so_far(&self) -> u64 {
        count(&self.jobs(), |job| job.is_acknowledged)
    }

    /// What is wrong with the jobs, once nobody works on them any more; `totals` is what the server
    /// says of them, if it has no others.
    pub(crate) fn audit(&self, totals: Option<Totals>, faults: &mut Faults) {
        let jobs = self.jobs();
        let lost = count(&jobs, |job| job.is_acknowledged && job.ends == 0);
        if lost > 0 {
            faults.add(&Fault::Lost(lost));
        }
        let doubled = count(&jobs, |job| job.leases > 1 || job.ends > 1);
        if doubled > 0 {
            faults.add(&Fault::Doubled(doubled));
        }
        let expected = count(&jobs, |job| job.is_acknowledged || job.leases > 0);
        if let Some(Totals { jobs: total, ended }) = totals
            && (total != expected || ended != expected)
        {
            faults.add(&Fault::Miscounted {
                total,
                ended,
                expected,
            });
        }
    }

    fn note(&self, number: u64, change: impl FnOnce(&mut Job)) {
        let mut jobs = self.jobs();
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        if jobs.len() <= index {
            jobs.resize(index.saturating_add(1), Job::default());
        }
        if let Some(job) = jobs.get_mut(index) {
            change(job);
        }
    }

    fn jobs(&self) -> MutexGuard<'_, Vec<Job>> {
        // Every step leaves the jobs whole.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_open(jobs: &[Job], number: u64) -> bool {
    let job = usize::try_from(number).ok().and_then(|at| jobs.get(at));
    job.is_some_and(|job| job.is_acknowledged && job.ends == 0)
}

fn count(jobs: &[Job], wanted: impl Fn(&Job) -> bool) -> u64 {
    let count = jobs.iter().filter(|job| wanted(job)).count();
    u64::try_from(count).unwrap_or(u64::MAX)
}
