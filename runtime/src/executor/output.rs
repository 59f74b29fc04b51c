//! What a stage asks its driver to do, and the rows that come back.

use bytes::Bytes;
use silo_core::shard::decision::Notice;
use silo_core::shard::view::NeedItem;
use silo_core::table::job::JobKey;
use silo_core::table::key::Key;

use crate::executor::loads::LoadId;
use crate::executor::replies::Answer;
#[cfg(doc)]
use crate::executor::stage::Stage;
use crate::executor::working_set::Round;

/// What the stage asks its driver to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Output<C> {
    /// Read this; answer with [`Stage::loaded`], [`Stage::load_failed`] or [`Stage::load_damaged`].
    Load(LoadId, NeedItem),
    /// Write this batch; answer with [`Stage::accepted`].
    Write(Round, Vec<(Key, Option<Bytes>)>),
    /// Make what was accepted durable; answer with [`Stage::flushed`].
    Flush,
    /// Find out whether this process still owns the shard; answer with [`Stage::proven`] or
    /// [`Stage::proof_failed`].
    Prove,
    /// Answer a caller.
    Release(C, Answer),
    /// A job that was watched ([`Stage::watched`]) has ended or is gone, and that is durable.
    Over(JobKey),
    /// Something happened that others may want to know.
    Notice(Notice),
}

/// Rows that were loaded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Loaded {
    /// One row, or its absence.
    Row(Option<Bytes>),
    /// The first rows of a range.
    Range {
        /// In key order.
        rows: Vec<(Key, Bytes)>,
        /// Whether the range has no more.
        is_complete: bool,
    },
}
