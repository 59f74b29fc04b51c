//! Who waits for work of a task group: one line per group, over all shards of a node.
//!
//! A shard wakes one waiter when a group gets work there, the one that has waited longest. Whoever
//! is woken tries once, keeping its place, and then: has tasks, leaves, and wakes the next two, for
//! there may be more; or found nothing, because another was quicker, and waits on; or goes away,
//! and hands its wake on. So no wake is lost, and tries are at most a few for each piece of work,
//! however many wait.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use silo_core::types::name::TaskGroup;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

/// Most waiters of a node. Whoever comes then is answered at once.
pub const WAITERS_MAX: usize = 65_536;
/// Whoever had tasks wakes so many others: a line of n is awake after log n tries.
const WAKES_AFTER_TASKS: usize = 2;

/// The lines of a node. Clones are the same lines.
#[derive(Clone, Debug, Default)]
pub struct Waiters(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    /// By group, in the order in which they came. A group without waiters has no line.
    groups: BTreeMap<TaskGroup, BTreeMap<u64, Place>>,
    /// How many wait, for whoever watches that.
    waiting: watch::Sender<usize>,
    tickets: u64,
}

#[derive(Debug)]
struct Place {
    /// Waits for this shard only.
    shard: Option<Uuid>,
    /// The shard that woke it, until it tries.
    woken_by: Option<Uuid>,
    /// The wake that it is trying for.
    tries_for: Option<Uuid>,
    notify: Arc<Notify>,
}

/// A place in a line. Dropping it leaves the line, and hands on a wake that came to nothing.
#[derive(Debug)]
pub struct Waiter {
    waiters: Waiters,
    group: TaskGroup,
    ticket: u64,
    notify: Arc<Notify>,
}

/// A call that waits, though in no line. Dropping it makes room for another.
#[derive(Debug)]
pub struct Stay(Waiters);

impl Drop for Stay {
    fn drop(&mut self) {
        self.0.lines().exit();
    }
}

impl Waiters {
    /// Takes the last place in a line; none when too many wait already.
    #[must_use]
    pub fn line_up(&self, group: &TaskGroup, shard: Option<Uuid>) -> Option<Waiter> {
        let mut lines = self.lines();
        if !lines.enter() {
            return None;
        }
        let ticket = lines.tickets;
        lines.tickets = ticket.wrapping_add(1);
        let notify = Arc::new(Notify::new());
        let place = Place {
            shard,
            woken_by: None,
            tries_for: None,
            notify: Arc::clone(&notify),
        };
        lines
            .groups
            .entry(group.clone())
            .or_default()
            .insert(ticket, place);
        Some(Waiter {
            waiters: self.clone(),
            group: group.clone(),
            ticket,
            notify,
        })
    }

    /// Counts a call that waits for something else among all that wait; none when too many wait
    /// already.
    #[must_use]
    pub fn stay(&self) -> Option<Stay> {
        self.lines().enter().then(|| Stay(self.clone()))
    }

    /// A group has work in a shard: wakes the first who waits for it and is not awake. True if
    /// there was one.
    pub fn wake(&self, shard: Uuid, group: &TaskGroup) -> bool {
        self.lines().wake(shard, group)
    }

    /// How many wait, now and as it changes.
    #[must_use]
    pub fn waiting(&self) -> watch::Receiver<usize> {
        self.lines().waiting.subscribe()
    }

    /// How many wait for work of a group.
    #[must_use]
    pub fn waiting_for(&self, group: &TaskGroup) -> usize {
        self.lines().groups.get(group).map_or(0, BTreeMap::len)
    }

    /// How many groups are waited for.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.lines().groups.len()
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        // Every step leaves the lines whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    /// Counts one more, if there is room.
    fn enter(&self) -> bool {
        self.waiting.send_if_modified(|waiting| {
            let has_room = *waiting < WAITERS_MAX;
            *waiting = waiting.saturating_add(usize::from(has_room));
            has_room
        })
    }

    fn exit(&self) {
        self.waiting
            .send_modify(|waiting| *waiting = waiting.saturating_sub(1));
    }

    fn wake(&mut self, shard: Uuid, group: &TaskGroup) -> bool {
        let line = self.groups.get_mut(group);
        let mut places = line.into_iter().flat_map(|line| line.values_mut());
        let asleep = |place: &&mut Place| {
            place.woken_by.is_none() && place.shard.is_none_or(|named| named == shard)
        };
        let Some(place) = places.find(asleep) else {
            return false;
        };
        place.woken_by = Some(shard);
        place.notify.notify_one();
        true
    }

    fn place(&mut self, group: &TaskGroup, ticket: u64) -> Option<&mut Place> {
        self.groups.get_mut(group)?.get_mut(&ticket)
    }

    fn leave(&mut self, group: &TaskGroup, ticket: u64) -> Option<Place> {
        let line = self.groups.get_mut(group)?;
        let place = line.remove(&ticket)?;
        if line.is_empty() {
            self.groups.remove(group);
        }
        self.exit();
        Some(place)
    }
}

impl Waiter {
    /// Completes when there may be work. A wake that came before is not lost.
    pub async fn woken(&self) {
        self.notify.notified().await;
    }

    /// A try begins: what is woken for from now on it may not see.
    pub fn tries(&self) {
        if let Some(place) = self.waiters.lines().place(&self.group, self.ticket) {
            place.tries_for = place.woken_by.take();
        }
    }

    /// The try found nothing: another was quicker.
    pub fn found_nothing(&self) {
        if let Some(place) = self.waiters.lines().place(&self.group, self.ticket) {
            place.tries_for = None;
        }
    }

    /// The try had tasks; `shards` may have more.
    pub fn had_tasks(self, shards: impl IntoIterator<Item = Uuid>) {
        let mut lines = self.waiters.lines();
        if let Some(place) = lines.place(&self.group, self.ticket) {
            place.tries_for = None;
        }
        for shard in shards {
            for _ in 0..WAKES_AFTER_TASKS {
                lines.wake(shard, &self.group);
            }
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut lines = self.waiters.lines();
        let left = lines.leave(&self.group, self.ticket);
        let wakes = left.map(|place| [place.woken_by, place.tries_for]);
        for shard in wakes.into_iter().flatten().flatten() {
            lines.wake(shard, &self.group);
        }
    }
}
