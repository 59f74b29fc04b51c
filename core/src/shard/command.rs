//! Every command of the shard machine, and the stamp it is judged with.

use crate::shard::commands::enqueue::{Enqueue, EnqueueAll};
use crate::shard::commands::heartbeat::Heartbeat;
use crate::shard::commands::import::Import;
use crate::shard::commands::inspect::{Get, ListSetAside};
use crate::shard::commands::lease::Lease;
use crate::shard::commands::lease_job::LeaseJob;
use crate::shard::commands::list::List;
use crate::shard::commands::list_limits::ListLimits;
use crate::shard::commands::pause::SetQueue;
use crate::shard::commands::quarantine::SetAside;
use crate::shard::commands::report::Report;
use crate::shard::commands::set_limit::SetLimit;
use crate::shard::commands::show_limit::ShowLimit;
use crate::shard::commands::tenant::SetTenant;
use crate::table::job::JobKey;
use crate::types::entropy::Entropy;
use crate::types::retention::Retention;
use crate::types::tenant::Tenant;
use crate::types::time::Now;

/// Something to decide.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Take a job.
    Enqueue(Box<Enqueue>),
    /// Take several jobs, all or none.
    EnqueueAll(EnqueueAll),
    /// Take jobs with a history from elsewhere.
    Import(Import),
    /// Hand out ready jobs of a task group.
    Lease(Lease),
    /// Hand out one given job.
    LeaseJob(LeaseJob),
    /// Keep a lease.
    Heartbeat(Heartbeat),
    /// End a lease.
    Report(Report),
    /// Stop a job.
    Cancel(JobKey),
    /// Remove a job.
    Delete(JobKey),
    /// Run a job again that failed or was cancelled, or give back one that was set aside.
    Restart(JobKey),
    /// Let a job start now that waits for its time.
    Expedite(JobKey),
    /// Show a job.
    Get(Get),
    /// Show how a job ended.
    Result(JobKey),
    /// Show a tenant's jobs.
    List(List),
    /// Show jobs that were set aside.
    ListSetAside(ListSetAside),
    /// Say why a job does not run.
    Explain(JobKey),
    /// Show a tenant's limits.
    ListLimits(ListLimits),
    /// Show a limit, who holds its slots and who waits for one.
    ShowLimit(ShowLimit),
    /// Say how many slots a limit has, whatever enqueues say, or pause it.
    SetLimit(SetLimit),
    /// Count anew what a tenant's jobs hold.
    RecountLimits(Tenant),
    /// Set a tenant's weight, pause or resume it.
    SetTenant(SetTenant),
    /// Show what is set of a tenant, and how many jobs it has.
    GetTenant(Tenant),
    /// Pause or resume a task group.
    SetQueue(SetQueue),
    /// Show the task groups that are paused for everybody.
    ListPaused,
    /// Set a job aside whose data cannot be read. No caller sends this: the driver does.
    SetAside(SetAside),
    /// Time has passed.
    Tick,
}

impl Command {
    /// Whether a caller that does not know what became of the command may just send it again: a
    /// second time it changes nothing, or nothing that matters.
    pub fn is_repeatable(&self) -> bool {
        match self {
            // Without a request id a second enqueue makes a second job, or is refused for its id.
            Self::Enqueue(enqueue) => enqueue.request.is_some(),
            Self::EnqueueAll(all) => all.jobs.iter().all(|job| job.request.is_some()),
            // The second call would find nothing new, and say so.
            Self::Import(_) => false,
            // Tasks that were leased and never arrived come back when their leases expire.
            Self::Lease(_) => true,
            // The second call would find the job running.
            Self::LeaseJob(_) => false,
            // By then the job may have failed, or backed off, once more.
            Self::Restart(_) | Self::Expedite(_) => false,
            Self::Heartbeat(_)
            | Self::Report(_)
            | Self::Cancel(_)
            | Self::Delete(_)
            | Self::List(_)
            | Self::ListSetAside(_)
            | Self::Explain(_)
            | Self::ListLimits(_)
            | Self::ShowLimit(_)
            | Self::SetLimit(_)
            | Self::RecountLimits(_)
            | Self::Get(_)
            | Self::Result(_)
            | Self::SetTenant(_)
            | Self::GetTenant(_)
            | Self::SetQueue(_)
            | Self::ListPaused
            | Self::SetAside(_)
            | Self::Tick => true,
        }
    }
}

/// What a command is told of the world, once, by its driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The time.
    pub now: Now,
    /// Where nonces, ids and jitter are drawn from.
    pub entropy: Entropy,
    /// How long jobs that end now are kept if they do not say so themselves; what is open here too
    /// is kept until it is deleted.
    pub retention: Retention,
}
