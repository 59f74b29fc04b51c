//! What happened in a decision, for counting. Nothing is decided by it.

use crate::table::attempt::Ending;
use crate::table::state::{Return, Status};

/// How many jobs moved where, and how many attempts ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Jobs that came in, imported ones included.
    pub taken: u64,
    /// Jobs that were leased.
    pub leased: u64,
    /// Jobs that ended well.
    pub succeeded: u64,
    /// Jobs that ended badly.
    pub failed: u64,
    /// Jobs that ended because somebody asked.
    pub cancelled: u64,
    /// Jobs that were set aside.
    pub quarantined: u64,
    /// Jobs that had ended or were set aside, and run again.
    pub restarted: u64,
    /// Jobs that are gone.
    pub removed: u64,
    /// Retries after a failure; those after a crash are none.
    pub retried: u64,
    /// Attempts, by how they ended.
    pub attempts: AttemptCounts,
}

/// How attempts ended, or leases without an end of their attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttemptCounts {
    /// The work was done.
    pub succeeded: u64,
    /// The work failed.
    pub failed: u64,
    /// The worker stopped because it was asked to.
    pub cancelled: u64,
    /// The lease expired.
    pub crashed: u64,
    /// The lease expired and was never heartbeated.
    pub lost: u64,
    /// The worker gave the task back.
    pub released: u64,
    /// The worker wants the task later.
    pub snoozed: u64,
}

impl Counts {
    /// Adds what happened elsewhere.
    pub const fn add(&mut self, more: &Self) {
        let Self {
            taken,
            leased,
            succeeded,
            failed,
            cancelled,
            quarantined,
            restarted,
            removed,
            retried,
            attempts,
        } = self;
        add(taken, more.taken);
        add(leased, more.leased);
        add(succeeded, more.succeeded);
        add(failed, more.failed);
        add(cancelled, more.cancelled);
        add(quarantined, more.quarantined);
        add(restarted, more.restarted);
        add(removed, more.removed);
        add(retried, more.retried);
        attempts.add(&more.attempts);
    }

    /// A job moved from one status to another; none: it was not there, or is gone.
    pub(crate) const fn moved(&mut self, before: Option<Status>, after: Option<Status>) {
        let count = match (before, after) {
            (None, None) => return,
            (_, Some(Status::Quarantined)) => &mut self.quarantined,
            (None, Some(_)) => &mut self.taken,
            (Some(_), None) => &mut self.removed,
            (Some(_), Some(Status::Running)) => &mut self.leased,
            (Some(_), Some(Status::Succeeded)) => &mut self.succeeded,
            (Some(_), Some(Status::Failed)) => &mut self.failed,
            (Some(_), Some(Status::Cancelled)) => &mut self.cancelled,
            // An attempt is over, and counted as such.
            (Some(Status::Scheduled | Status::Running), Some(Status::Scheduled)) => return,
            (
                Some(Status::Succeeded | Status::Failed | Status::Cancelled | Status::Quarantined),
                Some(Status::Scheduled),
            ) => &mut self.restarted,
        };
        add(count, 1);
    }

    /// A failure is followed by another attempt.
    pub(crate) const fn retried(&mut self) {
        add(&mut self.retried, 1);
    }

    /// An attempt ended.
    pub(crate) const fn ended(&mut self, how: &Ending) {
        let attempts = &mut self.attempts;
        let count = match how {
            Ending::Succeeded(_) => &mut attempts.succeeded,
            Ending::Failed { .. } => &mut attempts.failed,
            Ending::Cancelled => &mut attempts.cancelled,
            Ending::Crashed => &mut attempts.crashed,
        };
        add(count, 1);
    }

    /// A lease was given back without an end of its attempt.
    pub(crate) const fn returned(&mut self, how: Return) {
        let attempts = &mut self.attempts;
        let count = match how {
            Return::Lost => &mut attempts.lost,
            Return::Released => &mut attempts.released,
            Return::Snoozed { .. } => &mut attempts.snoozed,
        };
        add(count, 1);
    }
}

impl AttemptCounts {
    const fn add(&mut self, more: &Self) {
        let Self {
            succeeded,
            failed,
            cancelled,
            crashed,
            lost,
            released,
            snoozed,
        } = self;
        add(succeeded, more.succeeded);
        add(failed, more.failed);
        add(cancelled, more.cancelled);
        add(crashed, more.crashed);
        add(lost, more.lost);
        add(released, more.released);
        add(snoozed, more.snoozed);
    }
}

const fn add(count: &mut u64, more: u64) {
    *count = count.saturating_add(more);
}
