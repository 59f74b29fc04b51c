//! What callers were told, and what must be true because of it.

use std::hash::{Hash, Hasher};

use silo_core::shard::view::Rows;
use silo_core::table::Table as _;
use silo_core::table::state::{Ended, Position, StateRow, States};
use silo_core::types::task::TaskId;

use crate::models::jobs::key;
use crate::models::shard::Ask;

/// How long a lease lasts, in steps of the clock.
pub const LEASE_STEPS: u8 = 3;

/// A task at its worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtWork {
    /// Which.
    pub task: TaskId,
    /// Until when its worker may work on it, counted from when it asked: in steps of the clock.
    pub until: u8,
    /// The worker has done with it.
    pub is_over: bool,
    /// An owner that was deposed has confirmed it.
    pub by_deposed: bool,
}

impl Hash for AtWork {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.task.nonce, self.until, self.is_over, self.by_deposed).hash(state);
    }
}

/// What callers were told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Facts {
    /// The second job is there.
    pub is_enqueued: bool,
    /// How often the second job was asked for.
    pub enqueues: u8,
    /// The second job is not there, and may be asked for again.
    pub is_refused: bool,
    /// The first job was asked to go.
    pub is_to_go: bool,
    /// The first job is gone.
    pub is_deleted: bool,
    /// These leases have ended well.
    pub succeeded: Vec<u64>,
    /// Tasks at their workers.
    pub tasks: Vec<AtWork>,
}

impl Facts {
    /// What is not as callers were told.
    pub fn check(&self, durable: &Rows) -> Option<String> {
        let (first, second) = (state(durable, 0), state(durable, 1));
        if self.is_enqueued && second.is_none() {
            return Some("a job that was taken is not there".to_owned());
        }
        if self.is_refused && second.is_some() {
            return Some("a job is there whose caller was told that it is not".to_owned());
        }
        if self.is_deleted && first.is_some() {
            return Some("a job that was removed is there".to_owned());
        }
        let ended = |state: &StateRow, nonce: u64| {
            let is_over = matches!(
                &state.position,
                Position::Ended {
                    status: Ended::Succeeded,
                    ..
                }
            );
            is_over && state.last.as_ref().is_some_and(|last| last.nonce == nonce)
        };
        for nonce in &self.succeeded {
            let states = [&first, &second];
            let mut found = states.into_iter().flatten();
            let may_be_gone = self.is_to_go && first.is_none();
            if !found.any(|state| ended(state, *nonce)) && !may_be_gone {
                return Some(format!("the success of {nonce} does not stand"));
            }
        }
        None
    }

    /// A caller was told that nothing was done: true as long as nobody else asks for the same.
    pub fn refused(&mut self, ask: Ask) {
        self.is_refused |= ask == Ask::Enqueue && self.enqueues == 1 && !self.is_enqueued;
    }

    /// A worker has a task from now on.
    pub fn begins(&mut self, task: &TaskId, until: u8) {
        self.tasks.push(AtWork {
            task: task.clone(),
            until,
            is_over: false,
            by_deposed: false,
        });
    }

    /// For how long two workers may be at one job from now on, and whether a deposed owner has
    /// confirmed the earlier lease.
    pub fn overlap(&self, now: u8) -> Option<(u8, bool)> {
        let mut longest = None;
        let at_work = |task: &&AtWork| !task.is_over && task.until > now;
        for (index, later) in self.tasks.iter().enumerate() {
            if !at_work(&later) {
                continue;
            }
            let earlier = self.tasks.iter().take(index).filter(at_work);
            for earlier in earlier.filter(|one| one.task.job == later.task.job) {
                let overlap = earlier.until.min(later.until) - now;
                longest = longest.max(Some((overlap, earlier.by_deposed)));
            }
        }
        longest
    }
}

fn state(rows: &Rows, job: u8) -> Option<StateRow> {
    let row = rows.map.get(&States::key(&key(job)))?;
    States::read_row(row).ok()
}
