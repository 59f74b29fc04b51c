//! A decision in the making: reads through the view, collects changes, keeps tallies.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::shard::command::Stamp;
use crate::shard::counts::Counts;
use crate::shard::decision::{Change, Decision, Notice};
use crate::shard::limits::ledger::Ledger;
use crate::shard::refusal::Refusal;
use crate::shard::reply::Reply;
use crate::shard::soft::{Soft, SoftStep};
use crate::shard::view::{Need, View};
use crate::table::attempt::{Attempt, AttemptKey, Attempts};
use crate::table::codec::{Row, encode};
use crate::table::job::{JobKey, JobRow, Jobs};
use crate::table::key::{Key, KeyRange};
use crate::table::payload::PayloadKey;
use crate::table::singleton::{PausedQueues, PausedQueuesKey, PausedQueuesRow};
use crate::table::state::{StateRow, States, Status};
use crate::table::tenant::{TenantRow, Tenants};
use crate::table::{Table, TableId};
use crate::types::data::Data;
use crate::types::tenant::Tenant;
use crate::types::time::{Millis, Timestamp, Uptime};

/// Why a command stopped before it had an answer.
pub(crate) enum Halt {
    /// Rows must be loaded first.
    Need(Need),
    /// The answer is no.
    Refused(Box<Refusal>),
    /// A job's rows are damaged: it must be set aside first.
    Damaged(Damage),
}

impl Need {
    /// Stops the command here when something must be loaded first.
    pub(crate) fn settled(self) -> Result<(), Halt> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(self.into())
        }
    }
}

/// Adds what one part of a command is missing to what others are missing.
pub(crate) fn gather(need: &mut Need, part: Result<(), Halt>) -> Result<(), Halt> {
    match part {
        Err(Halt::Need(missing)) => {
            need.add(missing);
            Ok(())
        }
        other => other,
    }
}

/// What one part of a command has read; none when it is missing rows, which are added to what
/// others are missing.
pub(crate) fn ask<T>(need: &mut Need, part: Result<T, Halt>) -> Result<Option<T>, Halt> {
    match part {
        Ok(read) => Ok(Some(read)),
        Err(halt) => gather(need, Err(halt)).map(|()| None),
    }
}

/// A job whose rows cannot be relied on.
pub(crate) struct Damage {
    /// Which job.
    pub(crate) key: JobKey,
    /// What was found, in a sentence.
    pub(crate) reason: String,
}

impl From<Need> for Halt {
    fn from(need: Need) -> Self {
        Self::Need(need)
    }
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

/// A decision in the making.
///
/// Reads see the rows as they were before the command, except for those of tenants, limits and
/// lines, which are kept here while they change: a command that moves many jobs of one tenant
/// writes its row once. What must see all that the command has changed says so by its name.
pub(crate) struct Draft<'a> {
    pub(crate) soft: &'a Soft,
    view: &'a dyn View,
    stamp: &'a Stamp,
    changes: BTreeMap<Key, Option<Bytes>>,
    tenants: BTreeMap<Tenant, Kept>,
    pub(crate) ledger: Ledger,
    steps: Vec<SoftStep>,
    notices: Vec<Notice>,
    pub(crate) counts: Counts,
    draws: u64,
}

/// A tenant's row while it changes.
struct Kept {
    before: Option<Bytes>,
    row: TenantRow,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(soft: &'a Soft, view: &'a dyn View, stamp: &'a Stamp) -> Self {
        Self {
            soft,
            view,
            stamp,
            changes: BTreeMap::new(),
            tenants: BTreeMap::new(),
            ledger: Ledger::default(),
            steps: Vec::new(),
            notices: Vec::new(),
            counts: Counts::default(),
            draws: 0,
        }
    }

    pub(crate) const fn now(&self) -> Timestamp {
        self.stamp.now.wall
    }

    /// When a lease of this duration ends that begins, or is confirmed, now.
    pub(crate) const fn deadline(&self, duration: Millis) -> Uptime {
        self.stamp.now.uptime.after(duration)
    }

    pub(crate) const fn stamp(&self) -> &'a Stamp {
        self.stamp
    }

    /// A random number that no other draw of this command gives.
    pub(crate) fn draw(&mut self) -> u64 {
        let index = self.draws;
        self.draws = index.saturating_add(1);
        self.stamp.entropy.number(index)
    }

    /// The bytes of a row, for what must look at damaged ones.
    pub(crate) fn bytes(&self, key: &Key) -> Result<Option<Bytes>, Halt> {
        Ok(self.view.get(key)?)
    }

    /// The first `limit` rows of a range.
    pub(crate) fn range(&self, range: &KeyRange, limit: usize) -> Result<Vec<(Key, Bytes)>, Halt> {
        Ok(self.view.range(range, limit)?)
    }

    /// The bytes of a row as this command leaves it so far.
    pub(crate) fn bytes_now(&self, key: &Key) -> Result<Option<Bytes>, Halt> {
        match self.changes.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.bytes(key),
        }
    }

    /// The first `limit` rows of a range as this command leaves them so far.
    pub(crate) fn range_now(
        &self,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<(Key, Bytes)>, Halt> {
        let changes = || self.changes.range(range.clone());
        let gone = changes().filter(|(_, value)| value.is_none()).count();
        let before = self.range(range, limit.saturating_add(gone))?;
        let mut rows: BTreeMap<Key, Bytes> = before.into_iter().collect();
        for (key, value) in changes() {
            match value {
                Some(value) => rows.insert(key.clone(), value.clone()),
                None => rows.remove(key),
            };
        }
        Ok(rows.into_iter().take(limit).collect())
    }

    /// Where the job stands as this command leaves it so far.
    pub(crate) fn state_now(&self, key: &JobKey) -> Result<Option<StateRow>, Halt> {
        let Some(bytes) = self.bytes_now(&States::key(key))? else {
            return Ok(None);
        };
        let row = States::read_row(&bytes);
        row.map(Some)
            .map_err(|error| damaged(key, format!("{:?} row: {error}", TableId::State)))
    }

    /// What was asked for.
    pub(crate) fn job(&self, key: &JobKey) -> Result<Option<JobRow>, Halt> {
        self.of_job::<Jobs>(key, key)
    }

    /// Where the job stands.
    pub(crate) fn state(&self, key: &JobKey) -> Result<Option<StateRow>, Halt> {
        self.of_job::<States>(key, key)
    }

    /// An earlier attempt.
    pub(crate) fn attempt(&self, key: &JobKey, number: u32) -> Result<Option<Attempt>, Halt> {
        self.of_job::<Attempts>(key, &AttemptKey::of(key, number))
    }

    /// Both rows of a job that must have both, loaded together.
    pub(crate) fn job_and_state(&self, key: &JobKey) -> Result<Option<(JobRow, StateRow)>, Halt> {
        let state = match self.state(key) {
            Err(Halt::Need(mut need)) => {
                if let Err(Halt::Need(other)) = self.job(key) {
                    need.add(other);
                }
                return Err(need.into());
            }
            other => other?,
        };
        let Some(state) = state else { return Ok(None) };
        let job = self
            .job(key)?
            .ok_or_else(|| damaged(key, "its job row is missing"))?;
        Ok(Some((job, state)))
    }

    fn of_job<T: Table>(&self, job: &JobKey, key: &T::Key) -> Result<Option<T::Row>, Halt> {
        let Some(bytes) = self.view.get(&T::key(key))? else {
            return Ok(None);
        };
        match T::read_row(&bytes) {
            Ok(row) => Ok(Some(row)),
            Err(error) => Err(damaged(job, format!("{:?} row: {error}", T::ID))),
        }
    }

    /// A tenant's row, to change. A tenant without jobs has an empty one.
    pub(crate) fn tenant(&mut self, tenant: &Tenant) -> Result<&mut TenantRow, Halt> {
        if !self.tenants.contains_key(tenant) {
            let before = self.view.get(&Tenants::key(tenant))?;
            let row = match &before {
                None => TenantRow::default(),
                Some(bytes) => {
                    Tenants::read_row(bytes).map_err(|_| Refusal::TenantDamaged(tenant.clone()))?
                }
            };
            self.tenants.insert(tenant.clone(), Kept { before, row });
        }
        match self.tenants.get_mut(tenant) {
            Some(kept) => Ok(&mut kept.row),
            None => Err(Refusal::TenantDamaged(tenant.clone()).into()),
        }
    }

    /// The task groups that are paused for everybody. A row that does not decode pauses nothing.
    pub(crate) fn paused_queues(&mut self) -> Result<PausedQueuesRow, Halt> {
        let Some(bytes) = self.view.get(&PausedQueues::key(&PausedQueuesKey))? else {
            return Ok(PausedQueuesRow::default());
        };
        Ok(PausedQueues::read_row(&bytes).unwrap_or_else(|_| {
            self.notice(Notice::Unreadable(TableId::Singleton));
            PausedQueuesRow::default()
        }))
    }

    /// Tells soft state which task groups are paused, if it knows otherwise.
    pub(crate) fn knows_paused(&mut self, paused: PausedQueuesRow) {
        if !paused.since.keys().eq(self.soft.paused()) {
            let groups = paused.since.into_keys().collect();
            self.step(SoftStep::Paused(groups));
        }
    }

    pub(crate) fn put<T: Table>(&mut self, key: &T::Key, row: &T::Row)
    where
        T::Row: Row,
    {
        self.changes.insert(T::key(key), Some(encode(row)));
    }

    pub(crate) fn delete<T: Table>(&mut self, key: &T::Key) {
        self.changes.insert(T::key(key), None);
    }

    pub(crate) fn delete_key(&mut self, key: &Key) {
        self.changes.insert(key.clone(), None);
    }

    /// Takes data in: small data stays in the row that the result goes into, large data gets a row
    /// of its own.
    pub(crate) fn keep_data(&mut self, key: &JobKey, slot: u32, bytes: &Bytes) -> Data {
        let data = Data::of(bytes);
        if data.is_stored() {
            self.changes
                .insert(PayloadKey::key(key, slot), Some(bytes.clone()));
        }
        data
    }

    /// Writes a job's state and moves it from the tally of the status it had to that of the one it
    /// has now. Call it once per job and command, after everything else is set.
    pub(crate) fn put_state(
        &mut self,
        key: &JobKey,
        before: Option<Status>,
        state: &mut StateRow,
    ) -> Result<(), Halt> {
        let now = self.now();
        let status = state.status();
        if before != Some(status) {
            self.counts.moved(before, Some(status));
            state.changed_at = now;
            if !self
                .tenant(&key.tenant)?
                .tallies
                .shift(before, Some(status))
            {
                self.notice(Notice::Mended("a tally was below what it counts"));
            }
        }
        self.put::<States>(key, state);
        Ok(())
    }

    /// Takes a job's state away and out of its tally.
    pub(crate) fn remove_state(&mut self, key: &JobKey, status: Status) -> Result<(), Halt> {
        self.counts.moved(Some(status), None);
        let tallies = &mut self.tenant(&key.tenant)?.tallies;
        if !tallies.shift(Some(status), None) {
            self.notice(Notice::Mended("a tally was below what it counts"));
        }
        self.delete::<States>(key);
        Ok(())
    }

    pub(crate) fn step(&mut self, step: SoftStep) {
        self.steps.push(step);
    }

    /// A tenant whose row does not decode is left alone until it is mended.
    pub(crate) fn forget(&mut self, tenant: &Tenant) {
        self.step(SoftStep::tenant(tenant.clone(), &TenantRow::default()));
        self.notice(Notice::Unreadable(TableId::Tenant));
    }

    pub(crate) fn notice(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    /// An index row that did not match its job goes, and is counted.
    pub(crate) fn drop_index(&mut self, table: TableId, key: &Key) {
        self.delete_key(key);
        self.notice(Notice::IndexDropped(table));
    }

    /// The decision.
    pub(crate) fn finish(self, reply: Reply) -> Decision {
        let Self {
            mut changes,
            tenants,
            ledger,
            mut steps,
            mut notices,
            counts,
            soft,
            ..
        } = self;
        for (tenant, Kept { before, row }) in tenants {
            let after = (!row.is_over()).then(|| encode(&row));
            if after == before {
                continue;
            }
            for group in row.groups() {
                if !soft.has_work(&tenant, &group) && !soft.paused().contains(&group) {
                    notices.push(Notice::Ready(group));
                }
            }
            changes.insert(Tenants::key(&tenant), after);
            steps.push(SoftStep::tenant(tenant, &row));
        }
        changes.extend(ledger.changes());
        let changes = changes
            .into_iter()
            .map(|(key, value)| Change { key, value })
            .collect();
        Decision {
            reply,
            changes,
            steps,
            notices,
            counts,
        }
    }
}

/// A job whose rows cannot be relied on, and why.
pub(crate) fn damaged(key: &JobKey, reason: impl Into<String>) -> Halt {
    Halt::Damaged(Damage {
        key: key.clone(),
        reason: reason.into(),
    })
}
