//! When a worker has done enough, if that was said.

use std::time::Duration;

use crate::client::error::Error;
use crate::client::task::Leased;
use crate::worker::options::WorkerOptions;

/// What there is to do yet.
pub(crate) struct Enough {
    /// Tasks that may still be leased; `None`: no bound.
    left: Option<u64>,
    ends_when_idle: bool,
    /// Answers in a row of nodes that had no work while nothing ran.
    empty: usize,
    /// Whether something ran when the last question was asked, and of how many nodes.
    asked: (bool, usize),
}

impl Enough {
    pub(crate) fn new(options: &WorkerOptions) -> Self {
        Self {
            left: options.tasks_max,
            ends_when_idle: options.ends_when_idle,
            empty: 0,
            asked: (true, 1),
        }
    }

    /// Whether nothing is left to do, once nothing runs any more.
    pub(crate) fn is_reached(&self) -> bool {
        let (_, nodes) = self.asked;
        self.left == Some(0) || (self.ends_when_idle && self.empty >= nodes.max(1))
    }

    /// How many tasks may be asked for where there is room for so many.
    pub(crate) fn room(&self, room: usize) -> usize {
        let left = self.left.and_then(|left| usize::try_from(left).ok());
        left.map_or(room, |left| room.min(left))
    }

    /// How long a node may wait for work: not at all where an answer without any is the end.
    pub(crate) const fn wait(&self, wait: Duration) -> Duration {
        if self.ends_when_idle {
            Duration::ZERO
        } else {
            wait
        }
    }

    /// A node is asked for tasks.
    pub(crate) const fn begin(&mut self, is_idle: bool, nodes: usize) {
        self.asked = (!is_idle, nodes);
    }

    /// What it answered.
    pub(crate) fn heard(&mut self, answer: &Result<Leased, Error>) {
        let Ok(leased) = answer else { return };
        let count = leased.response.tasks.len();
        let (something_ran, _) = self.asked;
        self.empty = if count == 0 && !something_ran {
            self.empty.saturating_add(1)
        } else {
            0
        };
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.left = self.left.map(|left| left.saturating_sub(count));
    }
}
