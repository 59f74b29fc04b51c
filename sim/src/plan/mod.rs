//! Plans: everything that is done to a world, decided before it begins. A seed makes a plan; a plan
//! makes a run. What is replayed, shrunk and kept is the plan.
//!
//! * [`config`]: sizes, speeds and chances of one world
//! * [`profile`]: which families of faults a world may draw from
//! * [`generate`]: the plan of a seed; [`wants`]: the limits of its jobs; [`operators`]: what
//!   operators set, pause and resume

pub mod config;
pub mod generate;
pub mod operators;
pub mod profile;
pub mod wants;

use serde::{Deserialize, Serialize};

use crate::clock::At;
use crate::plan::config::Config;

/// The version of plans that this build reads.
pub const PLAN_VERSION: u32 = 1;

/// Everything that is done to a world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`PLAN_VERSION`].
    pub version: u32,
    /// What the numbers of the run are drawn from.
    pub seed: u64,
    /// Sizes, speeds and chances.
    pub config: Config,
    /// What is done, in order of time.
    pub steps: Vec<Step>,
}

/// One thing that is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// When, in microseconds since the world began.
    pub at: At,
    /// Names the step for as long as it is kept: its numbers are drawn by this.
    pub id: u32,
    /// What.
    pub what: What,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum What {
    /// A client asks for something.
    Ask(Ask),
    /// The owner dies after so many more effects, and is started again after so long.
    Crash {
        /// Outputs of the stage that are still carried out.
        effects: u32,
        /// Until it is started again.
        back_ms: u64,
    },
    /// Another process opens the shard; the owner is not told.
    TakeOver,
    /// The owner stands still for so long as soon as an object of its was made, before it hears
    /// of that, and somebody else opens the shard.
    Stall {
        /// How long.
        ms: u64,
    },
    /// The owner stands still for so long.
    Pause {
        /// How long.
        ms: u64,
    },
    /// A worker dies with everything it runs, and another comes in its place.
    KillWorker {
        /// Which.
        worker: u32,
        /// Until the other comes.
        back_ms: u64,
    },
    /// A worker stands still for so long.
    PauseWorker {
        /// Which.
        worker: u32,
        /// How long.
        ms: u64,
    },
    /// Messages of an endpoint are lost for a while.
    Cut {
        /// Clients first, then workers.
        endpoint: u32,
        /// Those that it sends.
        requests: bool,
        /// Those that it is sent.
        answers: bool,
        /// How long.
        ms: u64,
    },
    /// Storage does not work for a while.
    StorageDown {
        /// Rows cannot be read.
        loads: bool,
        /// Objects cannot be made.
        puts: bool,
        /// How long.
        ms: u64,
    },
    /// Somebody sets the wall clocks.
    SetClock {
        /// By so much.
        ms: i64,
    },
    /// The owner forgets its hints.
    LoseSoft,
    /// The owner forgets all rows that it may forget.
    ForgetRows,
}

/// What a client asks for. Jobs go by their numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Ask {
    /// Take a job.
    Enqueue(JobSpec),
    /// Take several, all or none: of the first one's tenant.
    EnqueueAll(Vec<JobSpec>),
    /// Take jobs with so many failed attempts; `succeeded` ends the last one well.
    Import {
        /// The jobs.
        jobs: Vec<JobSpec>,
        /// Failed attempts of each.
        failures: u32,
        /// Whether one that succeeded follows.
        succeeded: bool,
    },
    /// Stop a job.
    Cancel(u32),
    /// Remove a job.
    Delete(u32),
    /// Run a job again.
    Restart(u32),
    /// Let a job start now.
    Expedite(u32),
    /// Show a job.
    Get(u32, bool),
    /// Show how a job ended.
    Result(u32),
    /// Hand out one given job.
    LeaseJob(u32),
    /// Show jobs that were set aside.
    ListSetAside,
    /// Show a tenant's jobs, page by page.
    List {
        /// Whose: by number.
        tenant: u32,
        /// Only those of this task group.
        group: Option<u32>,
        /// Only those that have ended, or have not.
        ended: Option<bool>,
        /// At most so many on a page.
        page: u32,
    },
    /// Show how a job ended, and be told when it does.
    Await(u32),
    /// Say how many slots a limit of a tenant has, or pause it.
    SetLimit {
        /// Whose: by number.
        tenant: u32,
        /// Which of its limits.
        key: u8,
        /// What is said of it.
        change: Said,
    },
    /// Count anew what a tenant's jobs hold.
    Recount(u32),
    /// Set a tenant's weight, pause it, resume it.
    SetTenant {
        /// Whose: by number.
        tenant: u32,
        /// Its weight; 0: what the configuration says; none: as it is.
        weight: Option<u32>,
        /// Whether it is paused; none: as it is.
        paused: Option<bool>,
    },
    /// Pause or resume a task group.
    SetQueue {
        /// Of this tenant; none: of everybody.
        tenant: Option<u32>,
        /// Which task group.
        group: u32,
        /// Whether it is paused.
        paused: bool,
    },
    /// Show what is set of a tenant.
    GetTenant(u32),
    /// Show the task groups that are paused for everybody.
    ListPaused,
    /// Show the limits of a tenant, so many a page.
    ListLimits(u32, u32),
    /// Show a limit, and so many jobs of each kind.
    ShowLimit {
        /// Whose: by number.
        tenant: u32,
        /// Which.
        key: u8,
        /// How many.
        jobs: u32,
    },
    /// Say why a job does not run.
    Explain(u32),
}

/// What an operator says of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Said {
    /// So many slots, whatever jobs say.
    Maximum(u32),
    /// As many as jobs say.
    Clear,
    /// None until it is resumed.
    Pause,
    /// As if it had not been paused.
    Resume,
}

/// How a job is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Naming {
    /// By the client, and the call is safe to repeat.
    Repeatable,
    /// By the client, once.
    Once,
    /// By the request.
    ByRequest,
    /// By the server.
    Made,
}

/// A job to take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// Which job.
    pub job: u32,
    /// Whose.
    pub tenant: u32,
    /// How it is named.
    pub naming: Naming,
    /// Of which task group.
    pub group: u32,
    /// How urgent.
    pub priority: u32,
    /// Not before so long from when it is asked for.
    pub start_in_ms: Option<i64>,
    /// Retries.
    pub retries: Option<u32>,
    /// Crashes in a row that it survives.
    pub max_crashes: u32,
    /// How long its leases last.
    pub lease_ms: Option<u64>,
    /// How long it is kept.
    pub kept_ms: Option<u64>,
    /// Bytes of its payload.
    pub payload: u32,
    /// What must have room before it runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Want>,
}

/// A slot that a job wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    /// Of which limit of its tenant.
    pub key: u8,
    /// How many slots that has, as this job says.
    pub maximum: u32,
}

impl Plan {
    /// Whether operators ask for anything.
    pub fn has_operators(&self) -> bool {
        let mut whats = self.steps.iter().map(|step| &step.what);
        whats.any(|what| matches!(what, What::Ask(ask) if ask.is_of_operator()))
    }

    /// How many jobs it asks for that want slots.
    pub fn limited(&self) -> u64 {
        let specs = self.steps.iter().map(|step| match &step.what {
            What::Ask(ask) => ask.specs(),
            _ => &[],
        });
        let limited = |specs: &[JobSpec]| specs.iter().filter(|s| !s.limits.is_empty()).count();
        specs.map(|specs| limited(specs) as u64).sum()
    }
}

impl Ask {
    /// The jobs that it asks for.
    pub fn specs(&self) -> &[JobSpec] {
        match self {
            Self::Enqueue(spec) => std::slice::from_ref(spec),
            Self::EnqueueAll(jobs) | Self::Import { jobs, .. } => jobs,
            _ => &[],
        }
    }

    /// Whether it is an operator who asks for it.
    pub const fn is_of_operator(&self) -> bool {
        matches!(
            self,
            Self::SetLimit { .. }
                | Self::Recount(_)
                | Self::SetTenant { .. }
                | Self::SetQueue { .. }
                | Self::GetTenant(_)
                | Self::ListPaused
                | Self::ListLimits(..)
                | Self::ShowLimit { .. }
                | Self::Explain(_)
        )
    }

    /// The jobs that it names.
    pub fn jobs(&self) -> Vec<u32> {
        match self {
            Self::Enqueue(spec) => vec![spec.job],
            Self::EnqueueAll(jobs) | Self::Import { jobs, .. } => {
                jobs.iter().map(|spec| spec.job).collect()
            }
            Self::Cancel(job)
            | Self::Delete(job)
            | Self::Restart(job)
            | Self::Expedite(job)
            | Self::Get(job, _)
            | Self::Result(job)
            | Self::Await(job)
            | Self::LeaseJob(job)
            | Self::Explain(job) => vec![*job],
            Self::ListSetAside
            | Self::List { .. }
            | Self::SetLimit { .. }
            | Self::Recount(_)
            | Self::SetTenant { .. }
            | Self::SetQueue { .. }
            | Self::GetTenant(_)
            | Self::ListPaused
            | Self::ListLimits(..)
            | Self::ShowLimit { .. } => Vec::new(),
        }
    }
}
