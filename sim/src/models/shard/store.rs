//! Storage as models have it: a manifest that says who claimed the shard last, a log of objects
//! each made only if there is none of its number, and what one owner has on its way there.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use silo_core::shard::view::Rows;
use silo_core::table::key::Key;
use silo_runtime::executor::working_set::Round;
use xxhash_rust::xxh3::Xxh3Default;

/// Rows of one round.
pub type Batch = Vec<(Key, Option<Bytes>)>;

/// Rows that states share as long as nobody changes them, with their hash.
#[derive(Clone, Debug)]
pub struct Shelf {
    /// The rows.
    pub rows: Arc<Rows>,
    digest: u64,
}

impl Shelf {
    /// These rows.
    pub fn new(rows: Arc<Rows>) -> Self {
        let digest = digest(&rows.map);
        Self { rows, digest }
    }

    /// The same with these batches.
    pub fn with<'a>(&self, batches: impl Iterator<Item = &'a Arc<Taken>>) -> Self {
        let mut rows = Arc::clone(&self.rows);
        for taken in batches {
            write(&mut rows, &taken.batch);
        }
        Self::new(rows)
    }
}

impl Hash for Shelf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl PartialEq for Shelf {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

/// Puts a batch into rows.
pub fn write(rows: &mut Arc<Rows>, batch: &Batch) {
    let rows = Arc::make_mut(rows);
    for (key, value) in batch {
        match value {
            Some(value) => rows.map.insert(key.clone(), value.clone()),
            None => rows.map.remove(key),
        };
    }
}

/// A batch that was handed to storage.
#[derive(Debug)]
pub struct Taken {
    /// Its round.
    pub round: Round,
    /// The number of its last row.
    pub seq: u64,
    /// Decisions that changed something, up to the last one in it.
    pub decided: u32,
    /// The rows.
    pub batch: Batch,
    digest: u64,
}

impl Taken {
    /// A batch.
    pub fn new(round: Round, seq: u64, decided: u32, batch: Batch) -> Arc<Self> {
        let digest = digest(&batch);
        Arc::new(Self {
            round,
            seq,
            decided,
            batch,
            digest,
        })
    }

    /// Its rows as a number.
    pub const fn digest(&self) -> u64 {
        self.digest
    }
}

/// An object of the log on its way.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its number.
    pub number: u64,
    /// What it holds.
    pub batches: Vec<Arc<Taken>>,
}

/// The object store.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// The epoch that was claimed last.
    pub epoch: u64,
    /// The epoch of the last fence.
    pub fence: u64,
    /// How many objects the log has.
    pub length: u64,
    /// All rows of the log.
    pub shelf: Shelf,
}

impl Bucket {
    /// One that holds these rows.
    pub fn new(rows: Rows) -> Self {
        Self {
            epoch: 0,
            fence: 0,
            length: 0,
            shelf: Shelf::new(Arc::new(rows)),
        }
    }

    /// Makes an object, if there is none of its number.
    pub fn put(&mut self, object: &Object, is_fenced: bool) -> bool {
        if is_fenced && object.number != self.length {
            return false;
        }
        self.length += 1;
        self.shelf = self.shelf.with(object.batches.iter());
        true
    }
}

/// Anything as a number.
pub fn digest(what: &impl Hash) -> u64 {
    let mut hasher = Xxh3Default::new();
    what.hash(&mut hasher);
    hasher.digest()
}
