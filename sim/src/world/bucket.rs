//! The object store, as far as a shard sees it: a manifest with the epoch of the last writer, and a
//! log of objects with consecutive numbers, each made only if there is none of its number. Nothing
//! else is shared by processes, and nothing else survives them.

use std::collections::BTreeMap;

use bytes::Bytes;
use silo_core::table::key::Key;
use silo_runtime::executor::working_set::Round;

use crate::plan::config::Wrong;

/// Rows of one round.
pub type Batch = Vec<(Key, Option<Bytes>)>;

/// A batch that storage has taken in.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Of which round.
    pub round: Round,
    /// Under which number.
    pub seq: u64,
    /// The rows.
    pub batch: Batch,
}

/// What came of making an object of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is there.
    Made,
    /// There is another one: whoever made it has deposed us.
    Taken,
}

/// The object store.
#[derive(Debug, Default)]
pub struct Bucket {
    /// The epoch that was claimed last.
    pub epoch: u64,
    /// The epoch of each object of the log, by number.
    log: Vec<u64>,
    /// The rows of all objects of the log together.
    rows: BTreeMap<Key, Bytes>,
    /// The last number given to a row.
    pub seq: u64,
    /// What is wrong with it on purpose.
    wrong: Option<Wrong>,
}

impl Bucket {
    /// An empty one, which may be wrong on purpose.
    pub fn new(wrong: Option<Wrong>) -> Self {
        Self {
            wrong,
            ..Self::default()
        }
    }

    /// Claims the next epoch, of the manifest as it is.
    pub const fn claim(&mut self) -> u64 {
        self.epoch += 1;
        self.epoch
    }

    /// Makes the object that says who writes from now on, and yields its number; none if somebody
    /// who claimed later has done so already.
    pub fn fence(&mut self, epoch: u64) -> Option<u64> {
        if self.log.iter().rev().any(|by| *by > epoch) {
            return None;
        }
        self.log.push(epoch);
        self.log.len().checked_sub(1).map(|last| last as u64)
    }

    /// Makes an object of the log, if there is none of its number.
    pub fn put(&mut self, number: u64, epoch: u64, batches: &[Taken]) -> Put {
        if number != self.log.len() as u64 && self.wrong != Some(Wrong::NoFence) {
            return Put::Taken;
        }
        self.log.push(epoch);
        for taken in batches {
            if self.wrong == Some(Wrong::LosesARow) {
                let mut fewer = taken.batch.clone();
                fewer.pop();
                write(&mut self.rows, &fewer);
                continue;
            }
            write(&mut self.rows, &taken.batch);
            self.seq = self.seq.max(taken.seq);
        }
        Put::Made
    }

    /// Everything that is durable.
    pub const fn rows(&self) -> &BTreeMap<Key, Bytes> {
        &self.rows
    }
}

/// Puts a batch into rows.
pub fn write(rows: &mut BTreeMap<Key, Bytes>, batch: &Batch) {
    for (key, value) in batch {
        match value {
            Some(value) => rows.insert(key.clone(), value.clone()),
            None => rows.remove(key),
        };
    }
}
