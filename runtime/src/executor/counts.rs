//! What a stage has decided since somebody looked. Plain numbers: whoever drives the stage puts
//! them where they are read.

use silo_core::shard::command::Command;
use silo_core::shard::counts::Counts;
use silo_core::shard::decision::Decision;
use silo_core::shard::reply::Reply;

/// The kinds of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandKind {
    /// Take a job.
    Enqueue,
    /// Take several jobs, all or none.
    EnqueueAll,
    /// Take jobs with a history.
    Import,
    /// Hand out ready jobs.
    Lease,
    /// Hand out one given job.
    LeaseJob,
    /// Keep a lease.
    Heartbeat,
    /// End a lease.
    Report,
    /// Stop a job.
    Cancel,
    /// Remove a job.
    Delete,
    /// Run a job again.
    Restart,
    /// Let a job start now.
    Expedite,
    /// Show a job.
    Get,
    /// Show how a job ended.
    Result,
    /// Show a page of jobs.
    List,
    /// Show jobs that were set aside.
    ListSetAside,
    /// Say why a job does not run.
    Explain,
    /// Show a tenant's limits.
    ListLimits,
    /// Show a limit.
    ShowLimit,
    /// Say how many slots a limit has.
    SetLimit,
    /// Count anew what a tenant's jobs hold.
    RecountLimits,
    /// Set a tenant's weight, pause or resume it.
    SetTenant,
    /// Show what is set of a tenant.
    GetTenant,
    /// Pause or resume a task group.
    SetQueue,
    /// Show the task groups that are paused.
    ListPaused,
    /// Set a job aside.
    SetAside,
    /// Time has passed.
    Tick,
}

impl CommandKind {
    /// Every kind, in the order of their declaration.
    pub const ALL: [Self; 26] = [
        Self::Enqueue,
        Self::EnqueueAll,
        Self::Import,
        Self::Lease,
        Self::LeaseJob,
        Self::Heartbeat,
        Self::Report,
        Self::Cancel,
        Self::Delete,
        Self::Restart,
        Self::Expedite,
        Self::Get,
        Self::Result,
        Self::List,
        Self::ListSetAside,
        Self::Explain,
        Self::ListLimits,
        Self::ShowLimit,
        Self::SetLimit,
        Self::RecountLimits,
        Self::SetTenant,
        Self::GetTenant,
        Self::SetQueue,
        Self::ListPaused,
        Self::SetAside,
        Self::Tick,
    ];

    /// The kind of a command.
    pub const fn of(command: &Command) -> Self {
        match command {
            Command::Enqueue(_) => Self::Enqueue,
            Command::EnqueueAll(_) => Self::EnqueueAll,
            Command::Import(_) => Self::Import,
            Command::Lease(_) => Self::Lease,
            Command::LeaseJob(_) => Self::LeaseJob,
            Command::Heartbeat(_) => Self::Heartbeat,
            Command::Report(_) => Self::Report,
            Command::Cancel(_) => Self::Cancel,
            Command::Delete(_) => Self::Delete,
            Command::Restart(_) => Self::Restart,
            Command::Expedite(_) => Self::Expedite,
            Command::Get(_) => Self::Get,
            Command::Result(_) => Self::Result,
            Command::List(_) => Self::List,
            Command::ListSetAside(_) => Self::ListSetAside,
            Command::Explain(_) => Self::Explain,
            Command::ListLimits(_) => Self::ListLimits,
            Command::ShowLimit(_) => Self::ShowLimit,
            Command::SetLimit(_) => Self::SetLimit,
            Command::RecountLimits(_) => Self::RecountLimits,
            Command::SetTenant(_) => Self::SetTenant,
            Command::GetTenant(_) => Self::GetTenant,
            Command::SetQueue(_) => Self::SetQueue,
            Command::ListPaused => Self::ListPaused,
            Command::SetAside(_) => Self::SetAside,
            Command::Tick => Self::Tick,
        }
    }

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enqueue => "enqueue",
            Self::EnqueueAll => "enqueue_all",
            Self::Import => "import",
            Self::Lease => "lease",
            Self::LeaseJob => "lease_job",
            Self::Heartbeat => "heartbeat",
            Self::Report => "report",
            Self::Cancel => "cancel",
            Self::Delete => "delete",
            Self::Restart => "restart",
            Self::Expedite => "expedite",
            Self::Get => "get",
            Self::Result => "result",
            Self::List => "list",
            Self::ListSetAside => "list_set_aside",
            Self::Explain => "explain",
            Self::ListLimits => "list_limits",
            Self::ShowLimit => "show_limit",
            Self::SetLimit => "set_limit",
            Self::RecountLimits => "recount_limits",
            Self::SetTenant => "set_tenant",
            Self::GetTenant => "get_tenant",
            Self::SetQueue => "set_queue",
            Self::ListPaused => "list_paused",
            Self::SetAside => "set_aside",
            Self::Tick => "tick",
        }
    }
}

/// What a stage has decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageCounts {
    decided: [u64; CommandKind::ALL.len()],
    /// Commands that were refused.
    pub refused: u64,
    /// Commands whose callers had gone before their turn came: they were not decided.
    pub abandoned: u64,
    /// How often a command had to wait for rows.
    pub waits: u64,
    /// Bytes that storage had accepted and not made durable when the stage ran last.
    pub unflushed_bytes: u64,
    /// What became of jobs and attempts.
    pub jobs: Counts,
}

impl StageCounts {
    /// A command was decided.
    pub(crate) fn decided(&mut self, command: &Command, decision: &Decision) {
        if let Some(count) = self.decided.get_mut(place(CommandKind::of(command))) {
            *count = count.saturating_add(1);
        }
        let is_refused = matches!(decision.reply, Reply::Refused(_));
        self.refused = self.refused.saturating_add(u64::from(is_refused));
        self.jobs.add(&decision.counts);
    }

    /// A command has to wait for rows.
    pub(crate) const fn waited(&mut self) {
        self.waits = self.waits.saturating_add(1);
    }

    /// How many commands of a kind were decided.
    pub fn of(&self, kind: CommandKind) -> u64 {
        self.decided.get(place(kind)).copied().unwrap_or(0)
    }

    /// How many commands of all kinds were decided.
    pub fn commands(&self) -> u64 {
        let all = self.decided.iter();
        all.fold(0, |sum, count| sum.saturating_add(*count))
    }
}

const fn place(kind: CommandKind) -> usize {
    kind as usize
}
