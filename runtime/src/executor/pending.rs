//! Commands that are not decided yet.

use silo_core::shard::command::{Command, Stamp};
use silo_core::shard::commands::lease::Lease;
use silo_core::shard::commands::report::{Outcome, Report};
use silo_core::types::name::TaskGroup;

use crate::executor::working_set::Generation;

/// A command on its way to a decision. The stage's own commands have no caller.
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

    const fn lease(&self) -> Option<&Lease> {
        match &self.command {
            Command::Lease(lease) => Some(lease),
            Command::Enqueue(_)
            | Command::LeaseJob(_)
            | Command::Heartbeat(_)
            | Command::Report(_)
            | Command::Cancel(_)
            | Command::Get(_)
            | Command::Result(_)
            | Command::SetAside(_)
            | Command::Tick => None,
        }
    }
}

/// What a queued command costs in memory, in bytes, about.
pub(crate) fn cost(command: &Command) -> usize {
    const OVERHEAD: usize = 512;
    let data = match command {
        Command::Enqueue(enqueue) => {
            let pairs = enqueue.metadata.iter();
            let pairs = pairs.map(|(key, value)| key.len().saturating_add(value.len()));
            pairs.fold(enqueue.payload.len(), usize::saturating_add)
        }
        Command::Report(Report { outcome, .. }) => match outcome {
            Outcome::Success { data } => data.len(),
            Outcome::Failure { data, code, .. } => data.len().saturating_add(code.len()),
            Outcome::Cancelled | Outcome::Release => 0,
        },
        Command::Lease(_)
        | Command::LeaseJob(_)
        | Command::Heartbeat(_)
        | Command::Cancel(_)
        | Command::Get(_)
        | Command::Result(_)
        | Command::SetAside(_)
        | Command::Tick => 0,
    };
    data.saturating_add(OVERHEAD)
}
