//! A judged command as a value.

use bytes::Bytes;

use crate::shard::counts::Counts;
use crate::shard::refusal::Refusal;
use crate::shard::reply::Reply;
use crate::shard::soft::SoftStep;
use crate::table::TableId;
use crate::table::job::JobKey;
use crate::table::key::Key;
use crate::types::name::TaskGroup;
use crate::types::task::TaskId;

/// What a command comes to. Nothing has happened until it is folded.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// For the caller, once `changes` are durable.
    pub reply: Reply,
    /// One atomic batch, in key order, each key once.
    pub changes: Vec<Change>,
    /// What the hints learn.
    pub steps: Vec<SoftStep>,
    /// What others may want to know.
    pub notices: Vec<Notice>,
    /// What happened, for counting.
    pub counts: Counts,
}

impl Decision {
    /// A decision that changes nothing.
    pub fn refused(refusal: Refusal) -> Self {
        Self {
            reply: Reply::Refused(refusal),
            changes: Vec::new(),
            steps: Vec::new(),
            notices: Vec::new(),
            counts: Counts::default(),
        }
    }
}

/// One row put or taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where.
    pub key: Key,
    /// The new row; `None` deletes.
    pub value: Option<Bytes>,
}

/// What others may want to know: for waking, for counting, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A task group has work that it did not have.
    Ready(TaskGroup),
    /// A worker should be told to stop.
    CancelAsked(TaskId),
    /// A lease expired and counts as a crash.
    Crashed(JobKey),
    /// A lease expired that was never heartbeated.
    Lost(JobKey),
    /// An index row did not match its job and was dropped. A bug, or damage.
    IndexDropped(TableId),
    /// A job was set aside.
    Quarantined(JobKey, String),
    /// A row or a count was not as it must be; it was mended. A bug, or damage.
    Mended(&'static str),
    /// A row that belongs to no job did not decode and was passed over.
    Unreadable(TableId),
}
