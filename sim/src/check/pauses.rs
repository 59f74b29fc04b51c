//! Pauses as those see them who ask: when a pause of a tenant or a task group was acknowledged,
//! and nobody has asked to end it, no task of it comes to anybody who asked after that, for any
//! tasks or for that one. Who asked before may get what was leased before.
//!
//! Only what is certain is checked. A request to resume whose outcome nobody knows may have its
//! effect at any time: what it is about is not checked from then on. One that was sent twice has
//! none any more once it is answered: a server leaves aside what its caller has given up.

use std::collections::{BTreeMap, BTreeSet};

use silo_core::shard::command::Command;
use silo_core::shard::reply::{Reply, Task};
use silo_core::types::name::TaskGroup;
use silo_core::types::tenant::Tenant;

use crate::check::{Checked, Promise, ensure};
use crate::clock::At;
use crate::cover::{Cover, Mark};
use crate::plan::config::Config;
use crate::world::call::Call;
use crate::world::event::{CallId, Token};

/// What may be paused: a tenant, or a task group, of one tenant or of all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Thing(Option<Tenant>, Option<TaskGroup>);

/// What is paused, as operators know.
#[derive(Debug, Default)]
pub struct Pauses {
    things: BTreeMap<Thing, Known>,
    /// Dispatch before durability may hand out what a crash takes back, and what a later owner has
    /// paused.
    is_checked: bool,
    checked: u64,
}

#[derive(Debug, Default)]
struct Known {
    /// Since when its operator knows that it is paused, if nobody has asked to resume it since.
    since: Option<At>,
    /// Requests to resume it that may still have an effect.
    resuming: BTreeSet<CallId>,
    /// When the last of them was settled.
    settled_at: At,
}

impl Pauses {
    /// Nothing is paused.
    pub fn new(config: &Config) -> Self {
        Self {
            is_checked: !config.stage.speculative,
            ..Self::default()
        }
    }

    /// How many tasks were checked.
    pub const fn checked(&self) -> u64 {
        self.checked
    }

    /// A call is made.
    pub fn sent(&mut self, id: CallId, command: &Command) {
        if let Some((thing, false)) = pause(command) {
            let known = self.things.entry(thing).or_default();
            known.since = None;
            known.resuming.insert(id);
        }
    }

    /// A call has its answer.
    pub fn answered(&mut self, call: &Call, token: Token, reply: &Reply, now: At) {
        let Some((thing, is_paused)) = pause(&call.command) else {
            return;
        };
        let known = self.things.entry(thing).or_default();
        if !is_paused {
            known.resuming.remove(&token.call);
            known.settled_at = now;
            return;
        }
        // It may have been done before the last request to resume, and be acknowledged after.
        let is_last = known.resuming.is_empty() && call.sent_at > known.settled_at;
        if is_last && !matches!(reply, Reply::Refused(_)) {
            known.since = known.since.or(Some(now));
        }
    }

    /// A task has come to whoever asked for it at that time.
    ///
    /// # Errors
    /// [`crate::check::Violation`] when the task was paused by then.
    pub fn may_begin(&mut self, task: &Task, asked_at: At, cover: &mut Cover) -> Checked {
        if self.things.is_empty() || !self.is_checked {
            return Ok(());
        }
        self.checked += u64::from(self.things.values().any(|known| known.since.is_some()));
        let (tenant, group) = (&task.id.tenant, &task.queue.group);
        let things = [
            Thing(Some(tenant.clone()), None),
            Thing(Some(tenant.clone()), Some(group.clone())),
            Thing(None, Some(group.clone())),
        ];
        for thing in things {
            let Some(since) = self.things.get(&thing).and_then(|known| known.since) else {
                continue;
            };
            cover.hit(Mark::BegunAfterPause);
            ensure(asked_at <= since, Promise::Pauses, || {
                let job = &task.id.job;
                format!(
                    "{thing:?} is paused since {since}, and job {job}, asked for at {asked_at}, \
                     begins"
                )
            })?;
        }
        Ok(())
    }
}

/// What a command pauses, or resumes.
fn pause(command: &Command) -> Option<(Thing, bool)> {
    match command {
        Command::SetTenant(set) => Some((Thing(Some(set.tenant.clone()), None), set.paused?)),
        Command::SetQueue(set) => {
            let thing = Thing(set.tenant.clone(), Some(set.group.clone()));
            Some((thing, set.is_paused))
        }
        _ => None,
    }
}
