//! What operators have said: weights, pauses, and how many slots limits have. It is kept here as
//! it was said, in the order of decisions, and rows must say the same: nothing is set by anything
//! else, and nothing that is set is forgotten.
//!
//! **What a pause promises.** Of what is paused nothing is leased: of all decisions that become
//! durable, in their order, none between a pause and its end leases a task of it, whoever owns the
//! shard. Whoever is told of a pause is told when it is durable. What was leased before goes on,
//! also where the task reaches its worker after the pause was acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use silo_core::shard::command::Command;
use silo_core::shard::commands::pause::SetQueue;
use silo_core::shard::commands::set_limit::{LimitChange, SetLimit};
use silo_core::shard::commands::tenant::{SetTenant, SetWeight};
use silo_core::shard::refusal::{Paused, Refusal};
use silo_core::shard::reply::{Reply, Task};
use silo_core::table::Table as _;
use silo_core::table::TableId;
use silo_core::table::key::{Key, whole};
use silo_core::table::limit::{LimitName, LimitRow, Limits};
use silo_core::table::singleton::{PausedQueues, PausedQueuesKey};
use silo_core::table::tenant::{TenantRow, Tenants};
use silo_core::types::name::TaskGroup;
use silo_core::types::tenant::Tenant;
use silo_core::types::weight::{Weight, Weights};
use silo_runtime::executor::trace::Decided;

use crate::check::{Checked, Promise, ensure};
use crate::cover::{Cover, Mark};

/// What operators have said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    limits: BTreeMap<LimitName, OfLimit>,
    weights: BTreeMap<Tenant, Weight>,
    tenants: BTreeSet<Tenant>,
    queues: BTreeSet<(Option<Tenant>, TaskGroup)>,
}

/// What is said of a limit: its maximum, and whether it is paused.
type OfLimit = (Option<u32>, bool);

/// What answers show of what is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Of a limit.
    Limit(LimitName),
    /// Of a tenant: all of it.
    Tenant(Tenant),
    /// The task groups that are paused for everybody.
    Queues,
}

/// What the answer to a command shows of what is set: what it sets itself, if it does.
pub fn shown(command: &Command) -> Option<Shown> {
    match command {
        Command::SetLimit(set) => Some(Shown::Limit(set.limit.clone())),
        Command::SetTenant(set) => Some(Shown::Tenant(set.tenant.clone())),
        Command::GetTenant(tenant) => Some(Shown::Tenant(tenant.clone())),
        Command::SetQueue(SetQueue { tenant, .. }) => {
            Some(tenant.clone().map_or(Shown::Queues, Shown::Tenant))
        }
        Command::ListPaused => Some(Shown::Queues),
        _ => None,
    }
}

/// Whether a command says something.
pub const fn says(command: &Command) -> bool {
    matches!(
        command,
        Command::SetLimit(_) | Command::SetTenant(_) | Command::SetQueue(_)
    )
}

impl Settings {
    /// What these rows say.
    pub fn of(rows: &BTreeMap<Key, Bytes>) -> Self {
        let mut settings = Self::default();
        for (key, value) in rows.range(whole(TableId::Tenant)) {
            if let (Ok(tenant), Ok(row)) = (Tenants::read_key(key), Tenants::read_row(value)) {
                settings.learn(&tenant, &row);
            }
        }
        for (key, value) in rows.range(whole(TableId::Limit)) {
            if let (Ok(name), Ok(row)) = (Limits::read_key(key), Limits::read_row(value))
                && row.is_set()
            {
                settings.limits.insert(name, of_limit(&row));
            }
        }
        let groups = paused_for_all(rows).into_iter();
        settings.queues.extend(groups.map(|group| (None, group)));
        settings
    }

    fn learn(&mut self, tenant: &Tenant, row: &TenantRow) {
        if let Some(weight) = row.weight {
            self.weights.insert(tenant.clone(), weight);
        }
        if row.paused.is_some() {
            self.tenants.insert(tenant.clone());
        }
        for group in row.paused_queues.keys() {
            self.queues.insert((Some(tenant.clone()), group.clone()));
        }
    }

    /// A command was done.
    pub fn apply(&mut self, command: &Command) {
        match command {
            Command::SetLimit(set) => self.set_limit(set),
            Command::SetTenant(set) => self.set_tenant(set),
            Command::SetQueue(set) => {
                let queue = (set.tenant.clone(), set.group.clone());
                if set.is_paused {
                    self.queues.insert(queue);
                } else {
                    self.queues.remove(&queue);
                }
            }
            _ => {}
        }
    }

    fn set_limit(&mut self, set: &SetLimit) {
        let (mut maximum, mut is_paused) = self.limit(&set.limit);
        match set.change {
            LimitChange::Maximum(slots) => maximum = Some(slots),
            LimitChange::Clear => maximum = None,
            LimitChange::Pause => is_paused = true,
            LimitChange::Resume => is_paused = false,
        }
        if (maximum, is_paused) == (None, false) {
            self.limits.remove(&set.limit);
        } else {
            self.limits.insert(set.limit.clone(), (maximum, is_paused));
        }
    }

    fn set_tenant(&mut self, set: &SetTenant) {
        match set.weight {
            SetWeight::Keep => {}
            SetWeight::Clear => {
                self.weights.remove(&set.tenant);
            }
            SetWeight::To(weight) => {
                self.weights.insert(set.tenant.clone(), weight);
            }
        }
        match set.paused {
            None => {}
            Some(true) => {
                self.tenants.insert(set.tenant.clone());
            }
            Some(false) => {
                self.tenants.remove(&set.tenant);
            }
        }
    }

    fn limit(&self, name: &LimitName) -> OfLimit {
        self.limits.get(name).copied().unwrap_or_default()
    }

    /// How many slots a limit has at the most, as operators say; none: as many as jobs say.
    pub fn slots(&self, name: &LimitName) -> Option<u32> {
        match self.limit(name) {
            (_, true) => Some(0),
            (maximum, false) => maximum,
        }
    }

    /// What a tenant weighs.
    pub fn weight(&self, tenant: &Tenant, configured: &Weights) -> u32 {
        let weight = self.weights.get(tenant).copied();
        weight.unwrap_or_else(|| configured.of(tenant)).get().into()
    }

    /// Whether nothing of a tenant in a task group may be leased.
    pub fn is_paused(&self, tenant: &Tenant, group: &TaskGroup) -> bool {
        self.tenants.contains(tenant)
            || self.queues.contains(&(None, group.clone()))
            || self.queues.contains(&(Some(tenant.clone()), group.clone()))
    }

    /// Whether tenants or task groups are paused.
    pub fn has_pauses(&self) -> bool {
        !self.tenants.is_empty() || !self.queues.is_empty()
    }

    /// What ends all pauses of tenants and task groups.
    pub fn resuming(&self) -> Vec<Command> {
        let tenants = self.tenants.iter().map(|tenant| {
            Command::SetTenant(SetTenant {
                tenant: tenant.clone(),
                weight: SetWeight::Keep,
                paused: Some(false),
            })
        });
        let queues = self.queues.iter().map(|(tenant, group)| {
            Command::SetQueue(SetQueue {
                group: group.clone(),
                tenant: tenant.clone(),
                is_paused: false,
            })
        });
        tenants.chain(queues).collect()
    }

    /// Before a decision is taken in: of what is paused nothing is leased, and nobody is told of a
    /// pause that is none.
    ///
    /// # Errors
    /// [`crate::check::Violation`] when something is, and so do all others here.
    pub fn heeded(&self, decided: &Decided, cover: &mut Cover) -> Checked {
        match (&decided.command, &decided.decision.reply) {
            (Command::Lease(_) | Command::LeaseJob(_), Reply::Leased(tasks)) => {
                if !self.has_pauses() {
                    return Ok(());
                }
                cover.hit(Mark::LeasedBesidePause);
                for task in tasks {
                    self.may_run(task)?;
                }
                Ok(())
            }
            (Command::LeaseJob(lease), Reply::Refused(Refusal::Paused { key, by })) => {
                cover.hit(Mark::PausedRefused);
                let is_it = match by {
                    Paused::Tenant(tenant) => self.tenants.contains(tenant),
                    Paused::QueueOfTenant(group) => {
                        let queue = (Some(key.tenant.clone()), group.clone());
                        self.queues.contains(&queue)
                    }
                    Paused::Queue(group) => self.queues.contains(&(None, group.clone())),
                };
                ensure(is_it && lease.key == *key, Promise::Pauses, || {
                    format!("{:?} was refused, {by}, and it is not", lease.key)
                })
            }
            (Command::Heartbeat(heartbeat), Reply::Extended { .. }) => {
                if self.tenants.contains(&heartbeat.task.tenant) {
                    cover.hit(Mark::ExtendedPaused);
                }
                Ok(())
            }
            (Command::RecountLimits(tenant), reply) => {
                cover.hit(Mark::Recounted);
                ensure(
                    *reply == Reply::Recounted { differed: 0 },
                    Promise::Invariant,
                    || format!("limits of {tenant} were counted anew: {reply:?}"),
                )
            }
            _ => Ok(()),
        }
    }

    fn may_run(&self, task: &Task) -> Checked {
        let (tenant, group) = (&task.id.tenant, &task.queue.group);
        ensure(!self.is_paused(tenant, group), Promise::Pauses, || {
            let job = &task.id.job;
            format!("job {job} of {tenant} in {group} is leased, and paused: {self:?}")
        })
    }

    /// After a decision that said something was taken in: it is answered as it should be.
    pub fn answered(&self, before: &Self, decided: &Decided, cover: &mut Cover) -> Checked {
        let reply = &decided.decision.reply;
        let of_tenant = |of: &Tenant| match reply {
            Reply::Tenant(view) => {
                let mut shown = Self::default();
                shown.learn(
                    of,
                    &TenantRow {
                        weight: view.weight,
                        paused: view.paused,
                        paused_queues: view.paused_queues.clone(),
                        ..TenantRow::default()
                    },
                );
                shown == self.only(of)
            }
            _ => false,
        };
        let of_all = match reply {
            Reply::PausedQueues(since) => {
                let groups = since.keys().map(|group| (None, group.clone()));
                groups.eq(self.queues.iter().filter(|(of, _)| of.is_none()).cloned())
            }
            _ => false,
        };
        let is_right = match &decided.command {
            Command::SetLimit(_) => *reply == Reply::LimitSet,
            Command::SetTenant(set) => of_tenant(&set.tenant),
            Command::GetTenant(tenant) => of_tenant(tenant),
            Command::SetQueue(set) => set.tenant.as_ref().map_or(of_all, of_tenant),
            Command::ListPaused => of_all,
            _ => return Ok(()),
        };
        ensure(is_right, Promise::Settings, || {
            format!(
                "{:?} was answered {reply:?}, and it is {self:?}",
                decided.command
            )
        })?;
        if self == before {
            if says(&decided.command) {
                cover.hit(Mark::SaidAgain);
            }
            return ensure(
                decided.decision.changes.is_empty(),
                Promise::Settings,
                || format!("{:?} says nothing new, and changes rows", decided.command),
            );
        }
        see(before, self, cover);
        Ok(())
    }

    /// What is set of one tenant, its limits left out.
    fn only(&self, tenant: &Tenant) -> Self {
        let is_its = |(of, _): &&(Option<Tenant>, TaskGroup)| of.as_ref() == Some(tenant);
        let weight = self.weights.get(tenant);
        Self {
            limits: BTreeMap::new(),
            weights: weight
                .map(|weight| (tenant.clone(), *weight))
                .into_iter()
                .collect(),
            tenants: self.tenants.get(tenant).cloned().into_iter().collect(),
            queues: self.queues.iter().filter(is_its).cloned().collect(),
        }
    }

    /// The row of a limit that a decision has touched says what was said.
    pub fn is_of_limit(&self, name: &LimitName, row: Option<&LimitRow>) -> Checked {
        let row = row.map(of_limit).unwrap_or_default();
        ensure(row == self.limit(name), Promise::Settings, || {
            let said = self.limit(name);
            format!("{name:?}: {said:?} was said, maximum and pause, and the row says {row:?}")
        })
    }

    /// The row of a tenant that a decision has touched says what was said.
    pub fn is_of_tenant(&self, tenant: &Tenant, row: &TenantRow) -> Checked {
        let is_same = row.weight == self.weights.get(tenant).copied()
            && row.paused.is_some() == self.tenants.contains(tenant)
            && (row.paused_queues.keys()).eq(self.queues_of(Some(tenant)).map(|(_, group)| group));
        ensure(is_same, Promise::Settings, || {
            format!(
                "{:?} was said of {tenant}, and its row is {row:?}",
                self.only(tenant)
            )
        })
    }

    fn queues_of<'a>(
        &'a self,
        tenant: Option<&'a Tenant>,
    ) -> impl Iterator<Item = &'a (Option<Tenant>, TaskGroup)> {
        self.queues
            .iter()
            .filter(move |(of, _)| of.as_ref() == tenant)
    }

    /// The row of the task groups that are paused for everybody says what was said.
    pub fn is_of_all(&self, rows: &BTreeMap<Key, Bytes>) -> Checked {
        let row = paused_for_all(rows);
        let is_same = row.iter().eq(self.queues_of(None).map(|(_, group)| group));
        ensure(is_same, Promise::Settings, || {
            format!("task groups {row:?} are paused for everybody, and it was {self:?}")
        })
    }

    /// All rows say what was said.
    pub fn is_of(&self, rows: &BTreeMap<Key, Bytes>) -> Checked {
        let found = Self::of(rows);
        ensure(*self == found, Promise::Settings, || {
            format!("{self:?} was said, and rows say {found:?}")
        })
    }
}

const fn of_limit(row: &LimitRow) -> OfLimit {
    (row.set, row.is_paused)
}

fn paused_for_all(rows: &BTreeMap<Key, Bytes>) -> BTreeSet<TaskGroup> {
    let row = rows.get(&PausedQueues::key(&PausedQueuesKey));
    let row = row.and_then(|value| PausedQueues::read_row(value).ok());
    row.map(|row| row.since.into_keys().collect())
        .unwrap_or_default()
}

fn see(before: &Settings, after: &Settings, cover: &mut Cover) {
    type Count = fn(&Settings) -> usize;
    let counts: [(Count, Mark, Mark); 6] = [
        (|s| s.tenants.len(), Mark::TenantPaused, Mark::TenantResumed),
        (
            |s| s.queues_of(None).count(),
            Mark::GroupPaused,
            Mark::GroupResumed,
        ),
        (
            |s| s.queues.iter().filter(|(of, _)| of.is_some()).count(),
            Mark::GroupOfTenantPaused,
            Mark::GroupOfTenantResumed,
        ),
        (
            |s| s.limits.values().filter(|said| said.1).count(),
            Mark::LimitPausedByHand,
            Mark::LimitResumedByHand,
        ),
        (
            |s| s.limits.values().filter(|said| said.0.is_some()).count(),
            Mark::MaximumSet,
            Mark::MaximumCleared,
        ),
        (|s| s.weights.len(), Mark::WeightSet, Mark::WeightCleared),
    ];
    for (count, more, less) in counts {
        match count(before).cmp(&count(after)) {
            std::cmp::Ordering::Less => cover.hit(more),
            std::cmp::Ordering::Greater => cover.hit(less),
            std::cmp::Ordering::Equal => {}
        }
    }
}
