//! All rows of a shard, decoded once.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::table::attempt::{Attempt, AttemptKey, Attempts};
use crate::table::codec::{Row as _, encode};
use crate::table::due::{DueKey, Dues};
use crate::table::expiry::Expiries;
use crate::table::job::{JobKey, JobRow, Jobs};
use crate::table::key::Key;
use crate::table::limit::{Admits, LimitName, LimitRow, Limits, TicketKey, Tickets};
use crate::table::line::{
    LineName, LineRow, Lines, Parked, ParkedKey, ParkedRow, WaiterKey, Waiters,
};
use crate::table::payload::PayloadKey;
use crate::table::quarantine::{QuarantineRow, Quarantines};
use crate::table::ready::{Readies, ReadyKey};
use crate::table::running::{RunningRow, Runnings};
use crate::table::singleton::{Format, FormatRow};
use crate::table::state::{Position, StateRow, States, Status, status_of_bytes};
use crate::table::tenant::{TenantRow, Tenants};
use crate::table::{Table, TableId};
use crate::types::tenant::Tenant;

/// A shard's rows by table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Image {
    /// What the shard says of itself.
    pub format: Option<FormatRow>,
    /// Tenants.
    pub tenants: BTreeMap<Tenant, TenantRow>,
    /// Descriptions.
    pub jobs: BTreeMap<JobKey, JobRow>,
    /// Where jobs stand.
    pub states: BTreeMap<JobKey, StateRow>,
    /// Earlier attempts.
    pub attempts: BTreeMap<AttemptKey, Attempt>,
    /// Large data.
    pub payloads: BTreeMap<PayloadKey, Bytes>,
    /// Ready rows, also those whose value does not decode: all they say stands in the key.
    pub ready: BTreeSet<ReadyKey>,
    /// Due rows, also those whose value does not decode.
    pub due: BTreeSet<DueKey>,
    /// Rows of ended jobs that are removed at a time, also those whose value does not decode.
    pub expiry: BTreeSet<DueKey>,
    /// Leases.
    pub running: BTreeMap<JobKey, RunningRow>,
    /// Jobs set aside.
    pub quarantine: BTreeMap<JobKey, QuarantineRow>,
    /// Limits in use.
    pub limits: BTreeMap<LimitName, LimitRow>,
    /// Jobs that wait for a slot, also where the row's value does not decode.
    pub waiters: BTreeSet<WaiterKey>,
    /// Lines.
    pub lines: BTreeMap<LineName, LineRow>,
    /// Where they are parked.
    pub parked: BTreeMap<ParkedKey, ParkedRow>,
    /// For whom slots are kept.
    pub tickets: BTreeSet<TicketKey>,
    /// Limits that are to be searched.
    pub admits: BTreeSet<LimitName>,
    /// Rows that do not decode, or would be written otherwise, and why.
    pub unreadable: BTreeMap<Key, String>,
    /// Jobs that have a row which does not decode.
    pub damaged_jobs: BTreeSet<JobKey>,
    /// Tenants whose row does not decode.
    pub damaged_tenants: BTreeSet<Tenant>,
    /// What the first bytes of state rows say whose rest does not decode.
    pub damaged_states: BTreeMap<JobKey, Option<Status>>,
    /// Jobs whose state was once unreadable, as far as whoever checks knows: which index row stood
    /// for such a job nobody could say, and it stays until it is met, whatever became of the job.
    pub once_damaged: BTreeSet<JobKey>,
}

/// A codec that reads more than it writes would hide damage.
const OTHERWISE: &str = "it decodes, but would be written otherwise";

impl Image {
    /// Decodes every row.
    pub fn read(rows: &BTreeMap<Key, Bytes>) -> Self {
        let mut image = Self::default();
        for (key, value) in rows {
            match TableId::of(key) {
                Some(table) => image.take(table, key, value),
                None => image.refuse(key, "it is of no table"),
            }
        }
        image
    }

    /// Whether a job's rows can be judged: all decode, and it was not set aside, after which they
    /// are kept as they were found.
    pub fn is_sound(&self, key: &JobKey) -> bool {
        let is_set_aside = |state: &StateRow| match &state.position {
            Position::Quarantined { .. } => true,
            Position::Due(_)
            | Position::Ready(_)
            | Position::Parked { .. }
            | Position::Leased(_)
            | Position::Ended { .. } => false,
        };
        !self.damaged_jobs.contains(key) && !self.states.get(key).is_some_and(is_set_aside)
    }

    fn take(&mut self, table: TableId, key: &Key, value: &Bytes) {
        match table {
            TableId::Singleton => {
                self.format = self.row::<Format>(key, value).map(|(_, row)| row);
            }
            TableId::Tenant => {
                if let Some((parts, row)) = self.row::<Tenants>(key, value) {
                    self.tenants.insert(parts, row);
                } else if let Ok(tenant) = Tenants::read_key(key) {
                    self.damaged_tenants.insert(tenant);
                }
            }
            TableId::Job => match self.row::<Jobs>(key, value) {
                Some((parts, row)) => {
                    self.jobs.insert(parts, row);
                }
                None => self.damage(Jobs::read_key(key).ok()),
            },
            TableId::State => match self.row::<States>(key, value) {
                Some((parts, row)) => {
                    self.states.insert(parts, row);
                }
                None => {
                    if let Ok(parts) = States::read_key(key) {
                        self.damaged_states
                            .insert(parts.clone(), status_of_bytes(value));
                        self.damage(Some(parts));
                    }
                }
            },
            TableId::Attempt => match self.row::<Attempts>(key, value) {
                Some((parts, row)) => {
                    self.attempts.insert(parts, row);
                }
                None => self.damage(Attempts::read_key(key).ok().map(job_of_attempt)),
            },
            TableId::Payload => self.take_payload(key, value),
            TableId::Ready => {
                if self.row::<Readies>(key, value).is_none() {
                    self.damage(Readies::read_key(key).ok().map(|row| job_of_ready(&row)));
                }
                self.ready.extend(Readies::read_key(key));
            }
            TableId::Due => {
                if self.row::<Dues>(key, value).is_none() {
                    self.damage(Dues::read_key(key).ok().map(|row| job_of_due(&row)));
                }
                self.due.extend(Dues::read_key(key));
            }
            TableId::Expiry => {
                if self.row::<Expiries>(key, value).is_none() {
                    self.damage(Expiries::read_key(key).ok().map(|row| job_of_due(&row)));
                }
                self.expiry.extend(Expiries::read_key(key));
            }
            TableId::Running => match self.row::<Runnings>(key, value) {
                Some((parts, row)) => {
                    self.running.insert(parts, row);
                }
                None => self.damage(Runnings::read_key(key).ok()),
            },
            TableId::Quarantine => match self.row::<Quarantines>(key, value) {
                Some((parts, row)) => {
                    self.quarantine.insert(parts, row);
                }
                None => self.damage(Quarantines::read_key(key).ok()),
            },
            TableId::Limit
            | TableId::Waiter
            | TableId::Line
            | TableId::Parked
            | TableId::Ticket
            | TableId::Admit => self.take_limit(table, key, value),
        }
    }

    fn take_limit(&mut self, table: TableId, key: &Key, value: &Bytes) {
        match table {
            TableId::Waiter => {
                if self.row::<Waiters>(key, value).is_none() {
                    self.damage(Waiters::read_key(key).ok().map(|row| job_of_waiter(&row)));
                }
                self.waiters.extend(Waiters::read_key(key));
            }
            TableId::Line => {
                let row = self.row::<Lines>(key, value);
                self.lines.extend(row);
            }
            TableId::Parked => {
                let row = self.row::<Parked>(key, value);
                self.parked.extend(row);
            }
            TableId::Ticket => {
                let row = self.row::<Tickets>(key, value);
                self.tickets.extend(row.map(|(key, _)| key));
            }
            TableId::Admit => {
                let row = self.row::<Admits>(key, value);
                self.admits.extend(row.map(|(key, _)| key));
            }
            TableId::Limit => {
                let row = self.row::<Limits>(key, value);
                self.limits.extend(row);
            }
            TableId::Singleton
            | TableId::Tenant
            | TableId::Job
            | TableId::Payload
            | TableId::State
            | TableId::Attempt
            | TableId::Ready
            | TableId::Due
            | TableId::Running
            | TableId::Quarantine
            | TableId::Expiry => {}
        }
    }

    fn take_payload(&mut self, key: &Key, value: &Bytes) {
        match PayloadKey::read_key(key) {
            Ok(parts) => {
                if PayloadKey::key(&parts.job, parts.slot) != *key {
                    self.unreadable.insert(key.clone(), OTHERWISE.to_owned());
                }
                self.payloads.insert(parts, value.clone());
            }
            Err(error) => self.refuse(key, &error.to_string()),
        }
    }

    fn row<T: Table>(&mut self, key: &Key, value: &Bytes) -> Option<(T::Key, T::Row)> {
        let read = T::read_key(key)
            .map_err(|error| error.to_string())
            .and_then(|parts| {
                let row = T::read_row(value).map_err(|error| error.to_string())?;
                Ok((parts, row))
            });
        match read {
            Ok((parts, row)) => {
                // A row of an older version is written anew when it changes.
                let is_old = value
                    .first()
                    .is_some_and(|version| *version < T::Row::VERSION);
                if T::key(&parts) != *key || !is_old && encode(&row) != *value {
                    self.unreadable.insert(key.clone(), OTHERWISE.to_owned());
                }
                Some((parts, row))
            }
            Err(why) => {
                self.refuse(key, &why);
                None
            }
        }
    }

    fn refuse(&mut self, key: &Key, why: &str) {
        self.unreadable.insert(key.clone(), why.to_owned());
    }

    fn damage(&mut self, key: Option<JobKey>) {
        self.damaged_jobs.extend(key);
    }
}

/// The job that a ready row names.
pub(crate) fn job_of_ready(row: &ReadyKey) -> JobKey {
    JobKey {
        tenant: row.tenant.clone(),
        job: row.job.clone(),
    }
}

/// The job that a due row or an expiry row names.
pub(crate) fn job_of_due(row: &DueKey) -> JobKey {
    JobKey {
        tenant: row.tenant.clone(),
        job: row.job.clone(),
    }
}

/// The job that a waiter row names.
pub(crate) fn job_of_waiter(row: &WaiterKey) -> JobKey {
    JobKey {
        tenant: row.line.tenant.clone(),
        job: row.job.clone(),
    }
}

/// The job that an attempt belongs to.
pub(crate) fn job_of_attempt(key: AttemptKey) -> JobKey {
    JobKey {
        tenant: key.tenant,
        job: key.job,
    }
}

/// A key for people.
pub(crate) fn name(key: &JobKey) -> String {
    format!("job {} of tenant {}", key.job, key.tenant)
}
