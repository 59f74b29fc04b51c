//! A small model of storage as the executor uses it: a batch that was applied is seen by reads from
//! then on; it is durable when a put of the log has been done after it was applied.

use std::collections::BTreeMap;

use bytes::Bytes;
use silo_core::shard::view::NeedItem;
use silo_core::table::key::Key;
use silo_runtime::executor::output::Loaded;
use silo_runtime::executor::working_set::Round;

pub type Batch = Vec<(Key, Option<Bytes>)>;

#[derive(Clone, Debug, Default)]
pub struct ModelStore {
    /// Rows as reads see them.
    pub visible: BTreeMap<Key, Bytes>,
    /// Rows that survive a crash.
    pub durable: BTreeMap<Key, Bytes>,
    /// The last round and sequence number that survive a crash.
    pub durable_round: Round,
    pub durable_seq: u64,
    /// Applied and not durable.
    log: Vec<(Round, u64, Batch)>,
    seq: u64,
}

impl ModelStore {
    /// Takes a batch in and gives it the next sequence number.
    pub fn apply(&mut self, round: Round, batch: Batch) -> u64 {
        // Sequence numbers have gaps: storage counts rows.
        self.seq += u64::try_from(batch.len()).unwrap();
        write(&mut self.visible, &batch);
        self.log.push((round, self.seq, batch));
        self.seq
    }

    /// The last sequence number given.
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// Makes durable what was applied.
    pub fn put(&mut self) {
        for (round, seq, batch) in self.log.drain(..) {
            write(&mut self.durable, &batch);
            self.durable_round = round;
            self.durable_seq = seq;
        }
    }

    /// What is left when the process dies, opened again: rounds are counted anew.
    pub fn reopen(&mut self) {
        self.log.clear();
        self.visible = self.durable.clone();
        self.durable_round = Round(0);
        self.seq = self.durable_seq;
    }

    /// What a read finds now.
    pub fn read(&self, item: &NeedItem) -> Loaded {
        read(&self.visible, item)
    }

    /// What a read would find that does not see what is not durable.
    pub fn read_durable(&self, item: &NeedItem) -> Loaded {
        read(&self.durable, item)
    }
}

pub fn write(rows: &mut BTreeMap<Key, Bytes>, batch: &Batch) {
    for (key, value) in batch {
        match value {
            Some(value) => rows.insert(key.clone(), value.clone()),
            None => rows.remove(key),
        };
    }
}

pub fn read(rows: &BTreeMap<Key, Bytes>, item: &NeedItem) -> Loaded {
    match item {
        NeedItem::Row(key) => Loaded::Row(rows.get(key).cloned()),
        NeedItem::Range { start, end, limit } => {
            let found = rows.range::<Key, _>(start.clone()..end.clone());
            let found = found.take(*limit).map(|(k, v)| (k.clone(), v.clone()));
            let rows: Vec<_> = found.collect();
            // Like storage, which does not look whether there is more behind the last one.
            let is_complete = rows.len() < *limit;
            Loaded::Range { rows, is_complete }
        }
    }
}

/// What is wrong with the rows found.
pub fn differences(right: &BTreeMap<Key, Bytes>, found: &BTreeMap<Key, Bytes>) -> String {
    let missing: Vec<_> = right
        .iter()
        .filter(|(k, v)| found.get(*k) != Some(v))
        .collect();
    let extra: Vec<_> = found
        .iter()
        .filter(|(k, _)| !right.contains_key(*k))
        .collect();
    format!("missing or different {missing:?}, too many {extra:?}")
}
