//! Commands that are not decided yet.

use std::collections::BTreeMap;
use std::hash::Hash;

use silo_core::shard::command::{Command, Stamp};
use silo_core::shard::commands::enqueue::Enqueue;
use silo_core::shard::commands::import::{ImportAttempt, ImportEnding};
use silo_core::shard::commands::lease::Lease;
use silo_core::shard::commands::report::{Outcome, Report};
use silo_core::shard::reply::Reply;
use silo_core::types::name::TaskGroup;

use crate::executor::counts::CommandKind;
use crate::executor::form::Form;
use crate::executor::working_set::{Generation, Round};

/// A command on its way to a decision. The stage's own commands have no caller.
#[derive(Clone)]
pub(crate) struct Pending<C> {
    pub(crate) caller: Option<C>,
    pub(crate) command: Command,
    pub(crate) stamp: Stamp,
    pub(crate) bytes: usize,
    /// How often it had to wait for rows.
    pub(crate) waits: u32,
    /// How often it had to wait in a row without anything having changed meanwhile: needs that
    /// nobody else caused.
    pub(crate) waits_alone: u32,
    /// How many changes there had been when it was last judged.
    pub(crate) changes_seen: u64,
    /// The stage's own tick: not counted, one at a time.
    pub(crate) is_own_tick: bool,
    /// When it was first judged: what it looks at since then is kept.
    pub(crate) since: Option<Generation>,
}

impl<C> Pending<C> {
    pub(crate) const fn new(
        caller: Option<C>,
        command: Command,
        stamp: Stamp,
        bytes: usize,
    ) -> Self {
        Self {
            caller,
            command,
            stamp,
            bytes,
            waits: 0,
            waits_alone: 0,
            changes_seen: 0,
            is_own_tick: false,
            since: None,
        }
    }

    /// The task group that it asks for tasks of, if it does.
    pub(crate) fn leases_from(&self) -> Option<&TaskGroup> {
        self.lease().map(|lease| &lease.group)
    }

    /// How many tasks it asks for.
    pub(crate) fn tasks_max(&self) -> u32 {
        self.lease().map_or(0, |lease| lease.tasks_max)
    }

    /// The same command asking for so many tasks, if it asks for tasks.
    pub(crate) fn asking_for(&self, tasks_max: u32) -> Option<Command> {
        let lease = self.lease()?.clone();
        Some(Command::Lease(Lease { tasks_max, ..lease }))
    }

    /// What it is, and how long it has waited. Callers tell their commands apart; the time in the
    /// stamp is that of the next judgement, and what will be drawn from it only names things.
    pub(crate) fn form(&self, form: &mut Form<'_>)
    where
        C: Hash,
    {
        let kind = CommandKind::of(&self.command).name();
        form.part(&(&self.caller, kind, self.tasks_max(), self.is_own_tick));
        if self.caller.is_none() && !self.is_own_tick {
            form.part(&format!("{:?}", self.command));
        }
        form.part(&(self.waits > 0, self.waits_alone));
        form.is_unchanged_since(self.changes_seen);
        form.part(&self.since.is_some());
        form.used(self.since.unwrap_or_default());
    }

    const fn lease(&self) -> Option<&Lease> {
        if let Command::Lease(lease) = &self.command {
            Some(lease)
        } else {
            None
        }
    }
}

/// What a command came to.
pub(crate) struct Judged {
    pub(crate) reply: Reply,
    /// The round that the reply depends on.
    pub(crate) round: Round,
    pub(crate) has_changes: bool,
}

/// What a queued command costs in memory, in bytes, about.
pub(crate) fn cost(command: &Command) -> usize {
    const OVERHEAD: usize = 512;
    let data = match command {
        Command::Enqueue(enqueue) => of_enqueue(enqueue),
        Command::EnqueueAll(all) => sum(all.jobs.iter().map(|job| {
            let data = of_enqueue(job);
            data.saturating_add(OVERHEAD)
        })),
        Command::Import(import) => sum(import.jobs.iter().map(|job| {
            let attempts = sum(job.attempts.iter().map(of_attempt));
            let data = of_pairs(&job.metadata).saturating_add(job.payload.len());
            data.saturating_add(attempts).saturating_add(OVERHEAD)
        })),
        Command::Report(Report { outcome, .. }) => match outcome {
            Outcome::Success { data } => data.len(),
            Outcome::Failure { data, code, .. } => data.len().saturating_add(code.len()),
            Outcome::Cancelled | Outcome::Release | Outcome::Snooze { .. } => 0,
        },
        Command::Lease(_)
        | Command::LeaseJob(_)
        | Command::Heartbeat(_)
        | Command::Cancel(_)
        | Command::Delete(_)
        | Command::Restart(_)
        | Command::Expedite(_)
        | Command::Get(_)
        | Command::Result(_)
        | Command::List(_)
        | Command::ListSetAside(_)
        | Command::Explain(_)
        | Command::ListLimits(_)
        | Command::ShowLimit(_)
        | Command::SetLimit(_)
        | Command::RecountLimits(_)
        | Command::SetTenant(_)
        | Command::GetTenant(_)
        | Command::SetQueue(_)
        | Command::ListPaused
        | Command::SetAside(_)
        | Command::Tick => 0,
    };
    data.saturating_add(OVERHEAD)
}

fn of_enqueue(enqueue: &Enqueue) -> usize {
    of_pairs(&enqueue.metadata).saturating_add(enqueue.payload.len())
}

fn of_attempt(attempt: &ImportAttempt) -> usize {
    let data = match &attempt.how {
        ImportEnding::Succeeded { data } => data.len(),
        ImportEnding::Failed { code, data } => code.len().saturating_add(data.len()),
        ImportEnding::Cancelled => 0,
    };
    data.saturating_add(size_of::<ImportAttempt>())
}

fn of_pairs(metadata: &BTreeMap<String, String>) -> usize {
    sum(metadata
        .iter()
        .map(|(key, value)| key.len().saturating_add(value.len())))
}

fn sum(lengths: impl Iterator<Item = usize>) -> usize {
    lengths.fold(0, usize::saturating_add)
}
