//! Commands that are not decided yet.

use silo_core::shard::command::{Command, Stamp};
use silo_core::shard::commands::report::{Outcome, Report};

use crate::executor::working_set::Generation;

/// A command on its way to a decision. The stage's own commands have no caller.
pub(crate) struct Pending<C> {
    pub(crate) caller: Option<C>,
    pub(crate) command: Command,
    pub(crate) stamp: Stamp,
    pub(crate) bytes: usize,
    pub(crate) judged: u32,
    /// The stage's own tick: not counted, one at a time.
    pub(crate) is_own_tick: bool,
    /// When it was first judged: what it looks at since then is kept.
    pub(crate) since: Option<Generation>,
}

pub(crate) struct Waiting<C> {
    pub(crate) pending: Pending<C>,
    pub(crate) loads_left: usize,
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
        | Command::Tick => 0,
    };
    data.saturating_add(OVERHEAD)
}
