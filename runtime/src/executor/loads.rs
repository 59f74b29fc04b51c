//! Rows being loaded, and the commands that wait for them. Two commands that need the same rows
//! share one load.
//!
//! Requests for tasks of one group all need the same rows, those of the first jobs of its queues,
//! and each takes from under the next what it has waited for. So only the first of them loads, for
//! all who stand in *line* behind it.

use std::collections::{BTreeMap, VecDeque};
use std::hash::Hash;

use silo_core::shard::view::NeedItem;
use silo_core::types::name::TaskGroup;

use crate::executor::form::Form;
use crate::executor::pending::Pending;
use crate::executor::working_set::{Generation, Round};

/// Names a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LoadId(pub u64);

/// Names a command that waits for loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct WaiterId(u64);

/// The loads under way, and who waits.
#[derive(Clone)]
pub(crate) struct Loads<C> {
    next_load: u64,
    next_waiter: u64,
    by_id: BTreeMap<LoadId, Load>,
    by_item: BTreeMap<NeedItem, LoadId>,
    waiting: BTreeMap<WaiterId, Waiting<C>>,
    /// Who loads for a line, and the line.
    lines: BTreeMap<TaskGroup, (WaiterId, VecDeque<Pending<C>>)>,
    woken: VecDeque<Pending<C>>,
}

#[derive(Clone)]
struct Load {
    item: NeedItem,
    waiters: Vec<WaiterId>,
    sees: Round,
}

#[derive(Clone)]
struct Waiting<C> {
    pending: Pending<C>,
    loads_left: usize,
}

impl<C> Loads<C> {
    pub(crate) const fn new() -> Self {
        Self {
            next_load: 0,
            next_waiter: 0,
            by_id: BTreeMap::new(),
            by_item: BTreeMap::new(),
            waiting: BTreeMap::new(),
            lines: BTreeMap::new(),
            woken: VecDeque::new(),
        }
    }

    /// Stands in line behind a request for tasks of the same group that is loading. Gives the
    /// command back when there is none.
    pub(crate) fn line_up(&mut self, pending: Pending<C>) -> Option<Pending<C>> {
        match pending
            .leases_from()
            .and_then(|group| self.lines.get_mut(group))
        {
            Some((_, line)) => {
                line.push_back(pending);
                None
            }
            None => Some(pending),
        }
    }

    /// How many tasks of a group are asked for by those who have been woken and not been judged.
    pub(crate) fn demand(&self, group: &TaskGroup) -> u32 {
        let woken = self.woken.iter();
        let asking = woken.filter(|pending| pending.leases_from() == Some(group));
        asking.map(Pending::tasks_max).fold(0, u32::saturating_add)
    }

    /// Waits for `items`. Yields the loads that are not under way yet; they will see what was
    /// written up to the round `sees`.
    pub(crate) fn wait(
        &mut self,
        pending: Pending<C>,
        mut items: Vec<NeedItem>,
        sees: Round,
    ) -> Vec<(LoadId, NeedItem)> {
        items.sort();
        items.dedup();
        let waiter = WaiterId(self.next_waiter);
        self.next_waiter = self.next_waiter.saturating_add(1);
        if let Some(group) = pending.leases_from() {
            self.lines.insert(group.clone(), (waiter, VecDeque::new()));
        }
        let loads_left = items.len();
        self.waiting.insert(
            waiter,
            Waiting {
                pending,
                loads_left,
            },
        );
        items
            .into_iter()
            .filter_map(|item| self.begin(item, waiter, sees))
            .collect()
    }

    fn begin(
        &mut self,
        item: NeedItem,
        waiter: WaiterId,
        sees: Round,
    ) -> Option<(LoadId, NeedItem)> {
        if let Some(load) = self
            .by_item
            .get(&item)
            .and_then(|id| self.by_id.get_mut(id))
        {
            load.waiters.push(waiter);
            return None;
        }
        let id = LoadId(self.next_load);
        self.next_load = self.next_load.saturating_add(1);
        self.by_item.insert(item.clone(), id);
        let waiters = vec![waiter];
        self.by_id.insert(
            id,
            Load {
                item: item.clone(),
                waiters,
                sees,
            },
        );
        Some((id, item))
    }

    /// What a load under way is of.
    pub(crate) fn item(&self, id: LoadId) -> Option<&NeedItem> {
        self.by_id.get(&id).map(|load| &load.item)
    }

    /// The load has ended well: whoever has everything now is woken.
    pub(crate) fn end(&mut self, id: LoadId) {
        for waiter in self.take(id) {
            let Some(waiting) = self.waiting.get_mut(&waiter) else {
                continue;
            };
            waiting.loads_left = waiting.loads_left.saturating_sub(1);
            if waiting.loads_left == 0
                && let Some(Waiting { pending, .. }) = self.waiting.remove(&waiter)
            {
                let line = self.line_of(waiter, &pending);
                self.woken.push_back(pending);
                self.woken.extend(line);
            }
        }
    }

    /// The load has failed. Yields who cannot have what they need, with those who stand in line
    /// behind them: one after the other they would only ask for the same.
    pub(crate) fn fail(&mut self, id: LoadId) -> Vec<Pending<C>> {
        let mut failed = Vec::new();
        for waiter in self.take(id) {
            if let Some(Waiting { pending, .. }) = self.waiting.remove(&waiter) {
                let line = self.line_of(waiter, &pending);
                failed.push(pending);
                failed.extend(line);
            }
        }
        failed
    }

    /// The next command that has what it waited for.
    pub(crate) fn next_woken(&mut self) -> Option<Pending<C>> {
        self.woken.pop_front()
    }

    pub(crate) fn has_woken(&self) -> bool {
        !self.woken.is_empty()
    }

    /// The earliest round that some load under way may not see the successors of.
    pub(crate) fn oldest_sight(&self) -> Option<Round> {
        self.by_id.values().map(|load| load.sees).min()
    }

    /// When the first of those who wait was judged first.
    pub(crate) fn since(&self) -> Option<Generation> {
        self.all_waiting().filter_map(|pending| pending.since).min()
    }

    fn all_waiting(&self) -> impl Iterator<Item = &Pending<C>> {
        let waiting = self.waiting.values().map(|waiting| &waiting.pending);
        let lines = self.lines.values().flat_map(|(_, line)| line);
        waiting.chain(lines).chain(&self.woken)
    }

    /// When each of those who wait was judged first.
    pub(crate) fn sinces(&self) -> Vec<Generation> {
        let mut sinces: Vec<_> = self.all_waiting().filter_map(|p| p.since).collect();
        sinces.sort_unstable();
        sinces
    }

    /// What is being loaded and who waits; names by their order.
    pub(crate) fn form(&self, form: &mut Form<'_>)
    where
        C: Hash,
    {
        let place = |waiter: &WaiterId| self.waiting.keys().position(|known| known == waiter);
        for load in self.by_id.values() {
            form.part(&load.item);
            form.round(load.sees);
            load.waiters
                .iter()
                .for_each(|waiter| form.part(&place(waiter)));
        }
        form.end();
        for waiting in self.waiting.values() {
            waiting.pending.form(form);
            form.part(&waiting.loads_left);
        }
        form.end();
        for (group, (first, line)) in &self.lines {
            form.part(&(group.as_str(), place(first)));
            line.iter().for_each(|pending| pending.form(form));
        }
        form.end();
        self.woken.iter().for_each(|pending| pending.form(form));
        form.end();
    }

    /// Everybody who waits.
    pub(crate) fn into_pending(self) -> impl Iterator<Item = Pending<C>> {
        let waiting = self.waiting.into_values().map(|waiting| waiting.pending);
        let lines = self.lines.into_values().flat_map(|(_, line)| line);
        self.woken.into_iter().chain(waiting).chain(lines)
    }

    fn take(&mut self, id: LoadId) -> Vec<WaiterId> {
        let Some(Load { item, waiters, .. }) = self.by_id.remove(&id) else {
            return Vec::new();
        };
        self.by_item.remove(&item);
        waiters
    }

    /// Who stands in line behind the command, if it is the one that loads.
    fn line_of(&mut self, waiter: WaiterId, pending: &Pending<C>) -> VecDeque<Pending<C>> {
        let Some(group) = pending.leases_from() else {
            return VecDeque::new();
        };
        match self.lines.get(group) {
            Some((first, _)) if *first == waiter => {}
            Some(_) | None => return VecDeque::new(),
        }
        self.lines
            .remove(group)
            .map(|(_, line)| line)
            .unwrap_or_default()
    }
}
