//! An open shard as one process sees it: what reads find, what is taken in and not durable, the
//! object under way. One object at a time, as production's storage does it.

use std::collections::BTreeMap;

use bytes::Bytes;
use silo_core::shard::view::NeedItem;
use silo_core::table::key::Key;
use silo_runtime::executor::output::Loaded;
use silo_runtime::executor::working_set::Round;

use crate::world::bucket::{Batch, Bucket, Taken, write};

/// An open shard.
#[derive(Debug)]
pub struct Handle {
    /// The epoch that this process has claimed.
    pub epoch: u64,
    next_object: u64,
    visible: BTreeMap<Key, Bytes>,
    unflushed: Vec<Taken>,
    seq: u64,
    /// The object under way, if there is one.
    pub putting: Option<Object>,
    /// The stage has asked for a flush that has not returned.
    pub flush_asked: bool,
    /// That flush was asked for while another object was under way: it needs one of its own.
    pub flush_waits: bool,
}

/// An object of the log that is being made.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its number.
    pub number: u64,
    /// Its writer.
    pub epoch: u64,
    /// What it holds.
    pub batches: Vec<Taken>,
}

impl Object {
    /// The last round in it.
    pub fn round(&self) -> Round {
        self.batches.last().map_or(Round(0), |taken| taken.round)
    }

    /// The last row's number in it.
    pub fn seq(&self) -> u64 {
        self.batches.last().map_or(0, |taken| taken.seq)
    }
}

impl Handle {
    /// A shard that was just opened under this epoch; its fence is the object of this number.
    pub fn open(bucket: &Bucket, epoch: u64, fence: u64) -> Self {
        Self {
            epoch,
            next_object: fence + 1,
            visible: bucket.rows().clone(),
            unflushed: Vec::new(),
            seq: bucket.seq,
            putting: None,
            flush_asked: false,
            flush_waits: false,
        }
    }

    /// Takes a batch in, and gives its last row a number.
    pub fn write(&mut self, round: Round, batch: Batch) -> u64 {
        // Numbers have gaps: storage counts rows.
        self.seq += batch.len() as u64;
        write(&mut self.visible, &batch);
        let seq = self.seq;
        self.unflushed.push(Taken { round, seq, batch });
        seq
    }

    /// Begins an object of all that is not durable; none while another is under way, or when there
    /// is nothing.
    pub fn begin_put(&mut self) -> Option<Object> {
        if self.putting.is_some() || self.unflushed.is_empty() {
            return None;
        }
        let object = Object {
            number: self.next_object,
            epoch: self.epoch,
            batches: std::mem::take(&mut self.unflushed),
        };
        self.next_object += 1;
        self.putting = Some(object.clone());
        Some(object)
    }

    /// What a read finds now.
    pub fn read(&self, item: &NeedItem) -> Loaded {
        read(&self.visible, item)
    }

    /// A row, by its key.
    pub fn get(&self, key: &Key) -> Option<&Bytes> {
        self.visible.get(key)
    }
}

/// What a read of these rows finds.
pub fn read(rows: &BTreeMap<Key, Bytes>, item: &NeedItem) -> Loaded {
    match item {
        NeedItem::Row(key) => Loaded::Row(rows.get(key).cloned()),
        NeedItem::Range { start, end, limit } => {
            let found = rows.range::<Key, _>(start.clone()..end.clone());
            let found = found.take(*limit);
            let rows: Vec<_> = found.map(|(k, v)| (k.clone(), v.clone())).collect();
            // Like storage, which does not look whether there is more behind the last one.
            let is_complete = rows.len() < *limit;
            Loaded::Range { rows, is_complete }
        }
    }
}
