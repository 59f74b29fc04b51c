//! Where a job stands. One row per job, rewritten by each transition; it alone says which index row
//! represents the job now.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::table::attempt::Attempt;
use crate::table::codec::{Row, RowError, longer, whole};
use crate::table::job::JobKey;
use crate::table::key::{KeyParts as _, KeyRange, KeyWriter, within};
use crate::table::line::{LineId, WaitPlace};
use crate::table::place::Place;
use crate::table::state_v1::StateRowV1;
use crate::table::tenant::Queue;
use crate::table::{Table, TableId};
use crate::types::limit::Slot;
use crate::types::name::{JobId, WorkerId};
use crate::types::retention::Retention;
use crate::types::task::TaskId;
use crate::types::tenant::Tenant;
use crate::types::time::{Millis, Timestamp};

/// The table.
pub struct States;

impl Table for States {
    const ID: TableId = TableId::State;
    type Key = JobKey;
    type Row = StateRow;
}

impl States {
    /// Every job of a tenant whose id begins so.
    pub fn of_tenant(tenant: &Tenant, prefix: &str) -> KeyRange {
        let mut writer = KeyWriter::new(Self::ID.byte());
        tenant.write(&mut writer);
        writer.open_text(prefix);
        within(&writer.finish())
    }
}

/// Where a job stands, and what counts over its attempts.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct StateRow {
    /// What represents the job now. Written first: [`status_of_bytes`] reads it from a row whose
    /// rest is damaged.
    pub position: Position,
    /// The queue it waits in when it is ready.
    pub queue: Queue,
    /// When its status last changed.
    pub changed_at: Timestamp,
    /// Attempts that ended in an outcome or a crash: the number of the last such attempt.
    pub attempts_ended: u32,
    /// Attempts of earlier runs; numbers relative to the run start after them.
    pub attempts_before: u32,
    /// The number of the first attempt that is still kept. Since version 2.
    pub attempts_from: u32,
    /// Failures that the retry policy paid for in this run.
    pub retries_used: u32,
    /// The last delay before a retry, for decorrelated jitter.
    pub retry_delay: Millis,
    /// Crashes in a row.
    pub crashes: u32,
    /// Leases in a row that ended without one heartbeat.
    pub losses: u32,
    /// Somebody asked for cancellation while the job ran.
    pub cancel_asked_at: Option<Timestamp>,
    /// The latest attempt, running or ended; earlier ones stand in their own table.
    pub last: Option<Attempt>,
    /// The latest lease that ended without an outcome, its number used again. Kept while the job is
    /// leased anew, so that a release reported twice, or a report that came too late, is still told
    /// what became of its lease.
    pub returned: Option<Returned>,
    /// How long the job is kept once it has ended; what it leaves open the server's default says.
    /// Here rather than with what was asked for, so that the end of a job reads nothing. Since
    /// version 2.
    pub retention: Retention,
    /// Whether the payload may have a row of its own, so that the removal of a job reads nothing.
    /// Since version 2.
    pub has_payload_row: bool,
    /// What it holds a slot of exactly while it is ready or leased: each once, in the order of
    /// their keys, and the maximum that the job came with. Here so that no way into a queue reads
    /// what was asked for. Since version 3.
    pub slots: Vec<Slot>,
    /// Where it waited in line for the slots that it holds: when it is given back without an
    /// outcome, it stands there again if it must wait. Since version 4.
    pub waited: Option<WaitPlace>,
}

/// Most attempts kept beside the latest. A job that is restarted for ever, or retried ten thousand
/// times, neither grows without bound nor takes unbounded work to remove.
pub const EARLIER_ATTEMPTS_MAX: u32 = 1000;

/// An empty list, and that it has not waited.
const NO_SLOTS: &[u8] = &[0; 5];
/// That it has not waited.
const NO_WAIT: &[u8] = &[0; 1];

impl Row for StateRow {
    const VERSION: u8 = 4;

    fn upgrade(version: u8, body: &[u8]) -> Result<Self, RowError> {
        match version {
            1 => Ok(whole::<StateRowV1>(body)?.upgraded()),
            2 => longer(body, NO_SLOTS),
            3 => longer(body, NO_WAIT),
            other => Err(RowError::unknown(other)),
        }
    }
}

impl StateRow {
    /// A job that has just arrived.
    pub const fn new(position: Position, queue: Queue, now: Timestamp) -> Self {
        Self {
            position,
            queue,
            changed_at: now,
            attempts_ended: 0,
            attempts_before: 0,
            attempts_from: 1,
            retries_used: 0,
            retry_delay: Millis::ZERO,
            crashes: 0,
            losses: 0,
            cancel_asked_at: None,
            last: None,
            returned: None,
            retention: Retention::FOREVER,
            has_payload_row: false,
            slots: Vec::new(),
            waited: None,
        }
    }

    /// The status, as a tally counts it.
    pub const fn status(&self) -> Status {
        self.position.status()
    }

    /// The lease that represents the job, if one does.
    pub const fn lease(&self) -> Option<&Lease> {
        match &self.position {
            Position::Leased(lease) => Some(lease),
            Position::Due(_)
            | Position::Ready(_)
            | Position::Ended { .. }
            | Position::Quarantined { .. }
            | Position::Parked { .. } => None,
        }
    }
}

/// What represents a job now. Exactly one of these holds (SILO-JOB-1).
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Position {
    /// Its time has not come: a row in `due`.
    Due(Place),
    /// It may be leased: a row in `ready`.
    Ready(Place),
    /// A worker has it: a row in `running`.
    Leased(Lease),
    /// It is over: a row in `expiry` if it is removed at a time, else no index row.
    Ended {
        /// How it ended.
        status: Ended,
        /// When.
        at: Timestamp,
        /// Why, when it ended without an attempt.
        code: Option<EndCode>,
        /// When it is removed, if ever.
        expires: Option<Place>,
    },
    /// It was set aside: a row in `quarantine`.
    Quarantined {
        /// When.
        at: Timestamp,
    },
    /// It waits for a slot of one of its limits: a row in `waiter`. Since version 3.
    Parked {
        /// In which line.
        line: LineId,
        /// Where in it.
        place: WaitPlace,
    },
}

impl Position {
    /// The status, as a tally counts it.
    pub const fn status(&self) -> Status {
        match self {
            Self::Due(_) | Self::Ready(_) | Self::Parked { .. } => Status::Scheduled,
            Self::Leased(_) => Status::Running,
            Self::Ended { status, .. } => match status {
                Ended::Succeeded => Status::Succeeded,
                Ended::Failed => Status::Failed,
                Ended::Cancelled => Status::Cancelled,
            },
            Self::Quarantined { .. } => Status::Quarantined,
        }
    }
}

/// A lease as rows know it. Its deadline is soft state: a heartbeat costs no write.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Lease {
    /// Which attempt.
    pub attempt: u32,
    /// Tells this lease from any other of the same attempt.
    pub nonce: u64,
    /// Who holds it.
    pub worker: WorkerId,
    /// How long it lasts from each heartbeat.
    pub duration: Millis,
    /// Where the job goes back to when it is released.
    pub place: Place,
}

impl Lease {
    /// Whether this is the lease that `task` names.
    pub const fn is(&self, task: &TaskId) -> bool {
        self.attempt == task.attempt && self.nonce == task.nonce
    }

    /// The id that the worker was given.
    pub fn task(&self, tenant: &Tenant, job: &JobId) -> TaskId {
        TaskId {
            tenant: tenant.clone(),
            job: job.clone(),
            attempt: self.attempt,
            nonce: self.nonce,
        }
    }
}

/// How a job ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum Ended {
    /// A worker reported success.
    Succeeded,
    /// A worker reported a failure that was final, or crashed once too often.
    Failed,
    /// Somebody asked for it.
    Cancelled,
}

/// Why a job ended without an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum EndCode {
    /// Cancelled while it waited.
    Cancelled,
}

impl EndCode {
    /// As the wire writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "CANCELLED",
        }
    }
}

/// A lease that ended without an outcome; its attempt's number is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Returned {
    /// The lease's nonce.
    pub nonce: u64,
    /// How it ended.
    pub how: Return,
}

/// How a lease ends without an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Return {
    /// Its worker gave it back.
    Released,
    /// It expired and was never heartbeated: it may have been lost on its way to the worker.
    Lost,
    /// Its worker wants the job to come back later.
    Snoozed {
        /// In how long.
        delay: Millis,
    },
}

/// What a tally counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Waits: not due, or for a slot, or ready.
    Scheduled,
    /// Leased.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed,
    /// Ended because somebody asked.
    Cancelled,
    /// Set aside.
    Quarantined,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 6] = [
        Self::Scheduled,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Quarantined,
    ];
}

/// The status that a state row says even when the rest of it does not decode: its position stands
/// first. None when not even that can be read.
pub fn status_of_bytes(row: &[u8]) -> Option<Status> {
    match row {
        [_, 0 | 1 | 5, ..] => Some(Status::Scheduled),
        [_, 2, ..] => Some(Status::Running),
        [_, 3, 0, ..] => Some(Status::Succeeded),
        [_, 3, 1, ..] => Some(Status::Failed),
        [_, 3, 2, ..] => Some(Status::Cancelled),
        [_, 4, ..] => Some(Status::Quarantined),
        _ => None,
    }
}

/// Whether a state row says that the job is ready or leased, and so holds slots, even when the rest
/// of it does not decode.
pub fn is_running_of_bytes(row: &[u8]) -> bool {
    matches!(row, [_, 1 | 2, ..])
}
