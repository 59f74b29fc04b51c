//! Soft state: hints that make the shard quick. Losing all of it at any instant breaks no invariant
//! and delays nothing for longer than one lease; it is found again, page by page, from the `tenant`
//! and `running` tables.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash as _, Hasher};

use crate::shard::ring::Ring;
use crate::table::TableId;
use crate::table::job::JobKey;
use crate::table::key::{Key, KeyRange, whole};
use crate::table::limit::LimitName;
use crate::table::tenant::{Tallies, TenantRow};
use crate::types::name::TaskGroup;
use crate::types::tenant::Tenant;
use crate::types::time::{Millis, Now, Timestamp, Uptime};

/// Deadlines of leases, turns of tenants, the next time at which a tenant's jobs want something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Soft {
    tenants: BTreeMap<Tenant, SoftTenant>,
    rings: BTreeMap<TaskGroup, Ring<Tenant>>,
    dues: BTreeSet<(DueTurn, Tenant)>,
    due_turns: u64,
    leases: BTreeMap<JobKey, SoftLease>,
    expiries: BTreeSet<(Uptime, JobKey)>,
    to_search: Ring<LimitName>,
    /// Task groups known to be paused for everybody: nobody needs to ask for them.
    paused: BTreeSet<TaskGroup>,
    recovery: Recovery,
    groups_version: u64,
    totals: Tallies,
}

/// Which rows are still to be read after soft state was lost.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Recovery {
    /// Tenants from this key on, then all limits that are to be searched.
    Tenants(Key),
    /// Limits that are to be searched, from this key on, then all leases.
    Admits(Key),
    /// Leases from this key on.
    Leases(Key),
    /// Everything has been read.
    Done,
}

/// What soft state learns from a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SoftStep {
    /// What a tenant's row says now.
    Tenant {
        /// Which tenant.
        tenant: Tenant,
        /// Task groups with ready work that may be leased.
        groups: BTreeSet<TaskGroup>,
        /// Nothing is to be done for the tenant's jobs before this: none is due, none that has
        /// ended is to be removed.
        due: Option<Timestamp>,
        /// How many of its jobs stand where.
        tallies: Tallies,
    },
    /// A tenant has had its turn and goes to the end of the ring.
    Served(TaskGroup, Tenant),
    /// A tenant is in the middle of its turn: it goes on with the next lease.
    Begun {
        /// Of which task group.
        group: TaskGroup,
        /// Whose turn.
        tenant: Tenant,
        /// How many tasks are left of it.
        left: u32,
    },
    /// These task groups are paused for everybody, and no others.
    Paused(BTreeSet<TaskGroup>),
    /// A tenant's due jobs had their turn, at this time.
    DueServed(Timestamp, Tenant),
    /// A lease began.
    Leased {
        /// Of which job.
        key: JobKey,
        /// Which lease.
        nonce: u64,
        /// Until when, unless it is heartbeated.
        deadline: Uptime,
    },
    /// A lease was heartbeated.
    Extended {
        /// Of which job.
        key: JobKey,
        /// Which lease.
        nonce: u64,
        /// Until when, unless it is heartbeated again.
        deadline: Uptime,
    },
    /// A lease was found while recovering; what is known of it already is better.
    Found {
        /// Of which job.
        key: JobKey,
        /// Which lease.
        nonce: u64,
        /// One full duration from now.
        deadline: Uptime,
    },
    /// A lease is over.
    LeaseEnded(JobKey),
    /// Lines that are parked on a limit are still to be looked at.
    ToSearch(LimitName),
    /// They have been.
    Searched(LimitName),
    /// Recovery has come this far.
    Recovered(Recovery),
}

impl SoftStep {
    /// What a tenant's row says.
    pub(crate) fn tenant(tenant: Tenant, row: &TenantRow) -> Self {
        Self::Tenant {
            tenant,
            groups: row.groups().into_iter().collect(),
            due: row.wake(),
            tallies: row.tallies,
        }
    }
}

/// A lease as soft state knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoftLease {
    /// Which lease.
    pub nonce: u64,
    /// Until when, unless it is heartbeated.
    pub deadline: Uptime,
    /// Whether a heartbeat was seen; false when soft state was lost since.
    pub heartbeated: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct SoftTenant {
    groups: BTreeSet<TaskGroup>,
    due: Option<Timestamp>,
    tallies: Tallies,
    /// When its due jobs had their last turn.
    served: Option<DueTurn>,
}

/// When a tenant's due jobs are looked at: a time, and the order of turns within it. A tenant that
/// was served goes behind everybody who is due by then, however long it has been waiting itself.
type DueTurn = (Timestamp, u64);

impl SoftTenant {
    fn due_turn(&self) -> Option<DueTurn> {
        let first = self.due.map(|at| (at, 0));
        first.map(|first| self.served.map_or(first, |served| served.max(first)))
    }
}

impl Default for Soft {
    fn default() -> Self {
        Self::lost()
    }
}

impl Soft {
    /// Nothing is known: a shard just opened.
    pub fn lost() -> Self {
        Self {
            tenants: BTreeMap::new(),
            rings: BTreeMap::new(),
            dues: BTreeSet::new(),
            due_turns: 0,
            leases: BTreeMap::new(),
            expiries: BTreeSet::new(),
            to_search: Ring::default(),
            paused: BTreeSet::new(),
            recovery: Recovery::Tenants(whole(TableId::Tenant).start),
            groups_version: 0,
            totals: Tallies::default(),
        }
    }

    /// How long until the next [`crate::shard::command::Command::Tick`] has something to do; `None`
    /// when only another command can change that.
    pub fn next_wake(&self, now: Now) -> Option<Millis> {
        if self.recovery != Recovery::Done || !self.to_search.is_empty() {
            return Some(Millis::ZERO);
        }
        let due = self.first_due().map(|at| at.since(now.wall));
        let expiry = self.first_expiry().map(|at| at.since(now.uptime));
        match (due, expiry) {
            (Some(due), Some(expiry)) => Some(due.min(expiry)),
            (one, other) => one.or(other),
        }
    }

    /// When the first of all tenants has something to be done for its jobs.
    pub fn first_due(&self) -> Option<Timestamp> {
        self.dues.first().map(|((at, _), _)| *at)
    }

    /// When the first lease ends, unless it is heartbeated.
    pub fn first_expiry(&self) -> Option<Uptime> {
        self.expiries.first().map(|(at, _)| *at)
    }

    /// The task groups known to have ready work, except for those known to be paused.
    pub fn groups(&self) -> impl Iterator<Item = &TaskGroup> {
        let groups = self.rings.keys();
        groups.filter(|group| !self.paused.contains(*group))
    }

    /// Whether a task group is known to have ready work, and not known to be paused.
    pub fn has_ready(&self, group: &TaskGroup) -> bool {
        self.rings.contains_key(group) && !self.paused.contains(group)
    }

    /// The task groups known to be paused for everybody: maybe not all of them.
    pub const fn paused(&self) -> &BTreeSet<TaskGroup> {
        &self.paused
    }

    /// How many jobs of all known tenants stand where: of all there are, once recovered.
    pub const fn totals(&self) -> Tallies {
        self.totals
    }

    /// Grows whenever [`Soft::groups`] may have changed.
    pub const fn groups_version(&self) -> u64 {
        self.groups_version
    }

    /// Whether everything has been found again.
    pub fn is_recovered(&self) -> bool {
        self.recovery == Recovery::Done
    }

    /// What has not been found again.
    pub const fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Writes what two hints must share to behave alike from `now` on: times count from now, turns
    /// by their order alone, because no rule looks at more. For models.
    pub fn form(&self, now: Now, mut out: &mut dyn Hasher) {
        let mut served: Vec<_> = self.tenants.values().filter_map(|t| t.served).collect();
        served.sort_unstable();
        let due = |at: Timestamp| at.as_millis().wrapping_sub(now.wall.as_millis());
        out.write_usize(self.tenants.len());
        for (tenant, known) in &self.tenants {
            out.write_u64(tenant.hash());
            known.tallies.hash(&mut out);
            for group in &known.groups {
                out.write(group.as_str().as_bytes());
            }
            known.due.map(due).hash(&mut out);
            let turn = known
                .served
                .and_then(|turn| served.binary_search(&turn).ok());
            (turn, known.served.map(|(at, _)| due(at))).hash(&mut out);
        }
        for (group, ring) in &self.rings {
            out.write(group.as_str().as_bytes());
            ring.iter().for_each(|tenant| out.write_u64(tenant.hash()));
            let begun = ring.begun().map(|(tenant, left)| (tenant.hash(), *left));
            begun.hash(&mut out);
        }
        for group in &self.paused {
            out.write(group.as_str().as_bytes());
        }
        for (key, lease) in &self.leases {
            out.write_u64(key.tenant.hash());
            out.write(key.job.as_str().as_bytes());
            let left = lease.deadline.since(now.uptime).get();
            let over = now.uptime.since(lease.deadline).get();
            (lease.nonce, left, over, lease.heartbeated).hash(&mut out);
        }
        out.write_usize(self.to_search.iter().count());
        for name in self.to_search.iter() {
            name.tenant.as_str().hash(&mut out);
            name.key.as_str().hash(&mut out);
        }
        self.recovery.hash(&mut out);
    }

    /// What is known of a job's lease.
    pub fn lease(&self, key: &JobKey) -> Option<SoftLease> {
        self.leases.get(key).copied()
    }

    /// Nothing is to be done for the tenant's jobs before this, as far as is known.
    pub fn due(&self, tenant: &Tenant) -> Option<Timestamp> {
        self.tenants.get(tenant)?.due
    }

    /// Whether a tenant is in the ring of a task group.
    pub fn has_work(&self, tenant: &Tenant, group: &TaskGroup) -> bool {
        self.rings
            .get(group)
            .is_some_and(|ring| ring.contains(tenant))
    }

    /// Every tenant in the ring of every task group.
    pub(crate) fn turns(&self) -> impl Iterator<Item = (&TaskGroup, &Tenant)> {
        let of_group = |(group, ring)| tenants_of(group, ring);
        self.rings.iter().flat_map(of_group)
    }

    /// Every job that is known to be leased.
    pub(crate) fn leases(&self) -> impl Iterator<Item = &JobKey> {
        self.leases.keys()
    }

    pub(crate) fn ring(&self, group: &TaskGroup) -> Option<&Ring<Tenant>> {
        self.rings.get(group)
    }

    /// Leases whose time is over, the longest overdue first.
    pub(crate) fn expired(&self, now: Uptime) -> impl Iterator<Item = &JobKey> {
        self.expiries
            .iter()
            .take_while(move |(at, _)| *at <= now)
            .map(|(_, key)| key)
    }

    /// Tenants with due jobs, each once, in the order of their turns.
    pub(crate) fn due_tenants(&self, now: Timestamp) -> impl Iterator<Item = &Tenant> {
        let due = self.dues.iter().take_while(move |((at, _), _)| *at <= now);
        due.map(|(_, tenant)| tenant)
    }

    /// Limits that are still to be searched, in their turn.
    pub fn to_search(&self) -> impl Iterator<Item = &LimitName> {
        self.to_search.iter()
    }

    /// What recovery reads next.
    pub(crate) fn recovering(&self) -> Option<(TableId, KeyRange)> {
        let (table, start) = match &self.recovery {
            Recovery::Tenants(start) => (TableId::Tenant, start),
            Recovery::Admits(start) => (TableId::Admit, start),
            Recovery::Leases(start) => (TableId::Running, start),
            Recovery::Done => return None,
        };
        Some((table, start.clone()..whole(table).end))
    }

    /// Takes in what a decision says. Cannot fail; what it does not know it ignores.
    pub(crate) fn apply(&mut self, step: &SoftStep) {
        match step {
            SoftStep::Tenant {
                tenant,
                groups,
                due,
                tallies,
            } => {
                self.count(tenant, *tallies);
                self.learn(tenant, groups, *due);
            }
            SoftStep::Served(group, tenant) => {
                if let Some(ring) = self.rings.get_mut(group) {
                    ring.served(tenant);
                }
            }
            SoftStep::Begun {
                group,
                tenant,
                left,
            } => {
                if let Some(ring) = self.rings.get_mut(group) {
                    ring.begin(tenant, *left);
                }
            }
            SoftStep::Paused(groups) => {
                if self.paused != *groups {
                    self.paused.clone_from(groups);
                    self.groups_version = self.groups_version.saturating_add(1);
                }
            }
            SoftStep::DueServed(at, tenant) => self.due_served(*at, tenant),
            SoftStep::Leased {
                key,
                nonce,
                deadline,
            } => self.lease_until(key, *nonce, *deadline, false),
            SoftStep::Extended {
                key,
                nonce,
                deadline,
            } => {
                self.lease_until(key, *nonce, *deadline, true);
            }
            SoftStep::Found {
                key,
                nonce,
                deadline,
            } => {
                if self
                    .leases
                    .get(key)
                    .is_none_or(|known| known.nonce != *nonce)
                {
                    self.lease_until(key, *nonce, *deadline, false);
                }
            }
            SoftStep::LeaseEnded(key) => self.forget_lease(key),
            SoftStep::ToSearch(name) => self.to_search.join(name),
            SoftStep::Searched(name) => self.to_search.part(name),
            SoftStep::Recovered(recovery) => {
                self.recovery = recovery.clone();
                self.groups_version = self.groups_version.saturating_add(1);
            }
        }
    }

    fn count(&mut self, tenant: &Tenant, tallies: Tallies) {
        let known = self.tenants.entry(tenant.clone()).or_default();
        self.totals = self.totals.without(&known.tallies).with(&tallies);
        known.tallies = tallies;
    }

    fn learn(&mut self, tenant: &Tenant, groups: &BTreeSet<TaskGroup>, due: Option<Timestamp>) {
        let known = self.tenants.entry(tenant.clone()).or_default();
        for gone in known.groups.difference(groups) {
            if let Some(ring) = self.rings.get_mut(gone) {
                ring.part(tenant);
                if ring.is_empty() {
                    self.rings.remove(gone);
                    self.groups_version = self.groups_version.saturating_add(1);
                }
            }
        }
        for group in groups.difference(&known.groups) {
            if !self.rings.contains_key(group) {
                self.groups_version = self.groups_version.saturating_add(1);
            }
            self.rings.entry(group.clone()).or_default().join(tenant);
        }
        if known.due != due {
            if let Some(turn) = known.due_turn() {
                self.dues.remove(&(turn, tenant.clone()));
            }
            known.due = due;
            if let Some(turn) = known.due_turn() {
                self.dues.insert((turn, tenant.clone()));
            }
        }
        known.groups.clone_from(groups);
        if groups.is_empty() && due.is_none() && known.tallies.total() == 0 {
            self.tenants.remove(tenant);
        }
    }

    fn due_served(&mut self, at: Timestamp, tenant: &Tenant) {
        let Some(known) = self.tenants.get_mut(tenant) else {
            return;
        };
        if let Some(turn) = known.due_turn() {
            self.dues.remove(&(turn, tenant.clone()));
        }
        self.due_turns = self.due_turns.saturating_add(1);
        known.served = Some((at, self.due_turns));
        if let Some(turn) = known.due_turn() {
            self.dues.insert((turn, tenant.clone()));
        }
    }

    fn lease_until(&mut self, key: &JobKey, nonce: u64, deadline: Uptime, heartbeated: bool) {
        self.forget_lease(key);
        self.leases.insert(
            key.clone(),
            SoftLease {
                nonce,
                deadline,
                heartbeated,
            },
        );
        self.expiries.insert((deadline, key.clone()));
    }

    fn forget_lease(&mut self, key: &JobKey) {
        if let Some(known) = self.leases.remove(key) {
            self.expiries.remove(&(known.deadline, key.clone()));
        }
    }
}

fn tenants_of<'a>(
    group: &'a TaskGroup,
    ring: &'a Ring<Tenant>,
) -> impl Iterator<Item = (&'a TaskGroup, &'a Tenant)> {
    ring.iter().map(move |tenant| (group, tenant))
}
