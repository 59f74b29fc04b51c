//! The history of a shard as it became durable, over all of its owners, and what callers were told
//! of it.

use std::collections::{BTreeMap, BTreeSet};

use silo_core::invariants::image::Image;
use silo_core::shard::command::Command;
use silo_core::shard::commands::report::Outcome;
use silo_core::shard::refusal::Refusal;
use silo_core::shard::reply::Reply;
use silo_core::table::attempt::{Attempt, AttemptKey, Ending};
use silo_core::table::job::JobKey;
use silo_core::types::task::TaskId;

use crate::check::shadow::{Changed, Life};
use crate::check::{Checked, Promise, Violation, ensure, violated};
use crate::world::call::{Call, job_of, target};
use crate::world::event::{CallId, Letter};

/// A decision that has become durable.
#[derive(Debug)]
pub struct Effect {
    /// Whose; none for what a shard does on its own.
    pub call: Option<CallId>,
    /// Whether the call must not have a second one: it may not be sent again blindly.
    pub is_once: bool,
    /// The jobs that it has changed.
    pub changed: Vec<Changed>,
}

/// The history of a shard.
#[derive(Debug, Default)]
pub struct History {
    length: u64,
    /// What is known of each job.
    jobs: BTreeMap<JobKey, Known>,
    /// Calls that may have one effect only, and have had it.
    once: BTreeSet<CallId>,
    /// Outcomes that were acknowledged, and when in the history.
    outcomes: Vec<(TaskId, How, u64)>,
}

#[derive(Debug, Default)]
struct Known {
    /// Who has changed it last.
    last: Option<CallId>,
    /// Who has made it, and when.
    made: Option<(CallId, u64)>,
    /// When it was last removed.
    removed: u64,
    /// What somebody has been told of it is no older than this.
    floor: u64,
    /// When somebody was told that it is there.
    taken: Option<u64>,
}

/// How an attempt ended, as its worker knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Succeeded,
    Failed,
    Cancelled,
    Returned,
}

impl History {
    /// How many decisions have become durable.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Whoever asks about a job now must be told of at least so much.
    pub fn floor(&self, key: JobKey) -> u64 {
        self.jobs.get(&key).map_or(0, |known| known.floor)
    }

    /// A decision became durable. Yields its place in the history.
    ///
    /// # Errors
    /// [`Violation`] when a call has its effect twice, with nothing in between.
    pub fn effect(&mut self, effect: Effect) -> Result<u64, Violation> {
        self.length += 1;
        if let Some(call) = effect.call.filter(|_| effect.is_once)
            && !self.once.insert(call)
        {
            return violated(
                Promise::History,
                format!("call {call}, which is not to be repeated, had its effect twice"),
            )
            .map(|()| 0);
        }
        for (job, life) in effect.changed {
            let known = self.jobs.entry(job).or_default();
            if life == Life::Ends {
                known.removed = self.length;
            }
            if effect.call.is_some() && known.last == effect.call {
                return violated(
                    Promise::History,
                    format!("{:?} had its effect twice", known.last),
                )
                .map(|()| 0);
            }
            known.last = effect.call;
            if life == Life::Begins {
                known.made = effect.call.map(|call| (call, self.length));
            }
        }
        Ok(self.length)
    }

    /// A caller has its answer.
    ///
    /// # Errors
    /// [`Violation`] when it does not know what somebody was told before the call began, or is an
    /// error that nothing has caused.
    pub fn answered(&mut self, call: &Call, letter: &Letter, reply: &Reply) -> Checked {
        if let Reply::Refused(refusal) = reply {
            provoked(refusal)?;
        }
        let enqueued = match reply {
            Reply::Enqueued(_) => target(&call.command),
            _ => None,
        };
        let Some(key) = target(&call.command) else {
            return Ok(());
        };
        ensure(
            letter.knows >= call.floor || letter.is_stale_allowed,
            Promise::History,
            || {
                format!(
                    "an answer about job {} knows of {} decisions, and {} were told of before it \
                     was asked for",
                    key.job, letter.knows, call.floor
                )
            },
        )?;
        let known = self.jobs.entry(key).or_default();
        if let (Command::Enqueue(enqueue), Reply::Refused(Refusal::JobExists(_))) =
            (&call.command, reply)
            && enqueue.request.is_some()
        {
            let own = known.made.filter(|(by, _)| *by == letter.token.call);
            ensure(
                own.is_none_or(|(_, made)| made > letter.shows),
                Promise::History,
                || format!("{own:?} was told that its own job is in its way"),
            )?;
        }
        known.floor = known.floor.max(letter.shows);
        if enqueued.is_some() {
            known.taken = Some(letter.shows);
        }
        Ok(())
    }

    /// An outcome was acknowledged.
    pub fn reported(&mut self, task: &TaskId, outcome: &Outcome) {
        let how = match outcome {
            Outcome::Success { .. } => How::Succeeded,
            Outcome::Failure { .. } => How::Failed,
            Outcome::Cancelled => How::Cancelled,
            Outcome::Release | Outcome::Snooze { .. } => How::Returned,
        };
        self.outcomes.push((task.clone(), how, self.length));
    }

    /// The world has come to rest: everything that was acknowledged is there.
    ///
    /// # Errors
    /// [`Violation`] for what is not.
    pub fn end(&self, image: &Image) -> Checked {
        for (key, known) in &self.jobs {
            if let Some(taken) = known.taken.filter(|taken| known.removed < *taken) {
                ensure(image.states.contains_key(key), Promise::History, || {
                    format!(
                        "job {} was acknowledged at {taken} and is not there",
                        key.job
                    )
                })?;
            }
        }
        for (task, how, told) in &self.outcomes {
            let key = job_of(task);
            let was_removed = self.jobs.get(&key).is_some_and(|known| known.removed > 0);
            if was_removed || *how == How::Returned {
                continue;
            }
            let Some(attempt) = attempt_of(image, &key, task.attempt) else {
                return violated(
                    Promise::History,
                    format!("attempt {task:?} was acknowledged at {told} and is not there"),
                );
            };
            let ended = attempt.end.as_ref().map(|end| match &end.how {
                Ending::Succeeded(_) => How::Succeeded,
                Ending::Failed { .. } => How::Failed,
                Ending::Cancelled => How::Cancelled,
                Ending::Crashed => How::Returned,
            });
            let is_it = attempt.nonce == task.nonce && ended == Some(*how);
            ensure(is_it, Promise::History, || {
                format!("{task:?} was acknowledged as {how:?}, and is {attempt:?}")
            })?;
        }
        Ok(())
    }
}

fn attempt_of<'a>(image: &'a Image, key: &JobKey, number: u32) -> Option<&'a Attempt> {
    let last = image.states.get(key).and_then(|state| state.last.as_ref());
    last.filter(|last| last.number == number)
        .or_else(|| image.attempts.get(&AttemptKey::of(key, number)))
}

/// A refusal that says that something is broken has no cause here.
fn provoked(refusal: &Refusal) -> Checked {
    match refusal {
        Refusal::Quarantined(_)
        | Refusal::TenantDamaged(_)
        | Refusal::LimitDamaged(_)
        | Refusal::TooManyQueues { .. }
        | Refusal::TooManyToCount(_)
        | Refusal::TooManyPaused => violated(Promise::Provoked, format!("{refusal:?}")),
        Refusal::InBatch { refusal, .. } => provoked(refusal),
        Refusal::JobNotFound(_)
        | Refusal::JobExists(_)
        | Refusal::LeaseNotFound { .. }
        | Refusal::LeaseOwnerMismatch(_)
        | Refusal::AlreadyCancelled(_)
        | Refusal::AlreadyTerminal(_)
        | Refusal::NotTerminal(..)
        | Refusal::NotLeasable(..)
        | Refusal::JobRunning(_)
        | Refusal::NotRestartable(..)
        | Refusal::NotExpeditable(..)
        | Refusal::AlreadyReady(_)
        | Refusal::LimitFull { .. }
        | Refusal::Paused { .. }
        | Refusal::NotImportable(..) => Ok(()),
    }
}
