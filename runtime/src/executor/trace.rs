//! What a stage has decided, in order. For tests and the simulator: whoever replays it over a
//! complete map must come to the same decisions.

use silo_core::shard::command::{Command, Stamp};
use silo_core::shard::decision::Decision;

use crate::executor::working_set::Round;

/// A decision as it was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// What the command was judged with.
    pub stamp: Stamp,
    /// The command in its last form: a lease may have been made smaller than it was asked for.
    pub command: Command,
    /// What it came to; [`silo_core::shard::reply::Reply::Again`] when it is judged once more.
    pub decision: Decision,
    /// The round it was written in, or the last round that it looked at.
    pub round: Round,
}

/// Decisions since they were last taken, when somebody wants to know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace(Option<Vec<Decided>>);

impl Trace {
    pub(crate) fn start(&mut self) {
        self.0.get_or_insert_default();
    }

    pub(crate) fn take(&mut self) -> Vec<Decided> {
        self.0.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(crate) fn add(&mut self, decided: impl FnOnce() -> Decided) {
        if let Some(trace) = &mut self.0 {
            trace.push(decided());
        }
    }
}
