//! How a command reads rows, and what a missing row is.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::table::key::{Key, KeyRange};

/// Rows to read from. A row may be present, absent, or not known.
pub trait View {
    /// The row at `key`; `None` when there is none.
    ///
    /// # Errors
    /// [`Need`] when it is not known whether there is one.
    fn get(&self, key: &Key) -> Result<Option<Bytes>, Need>;

    /// The first `limit` rows of `range`, in key order; fewer only when there are no more.
    ///
    /// # Errors
    /// [`Need`] when they are not all known.
    fn range(&self, range: &KeyRange, limit: usize) -> Result<Vec<(Key, Bytes)>, Need>;
}

/// Rows to write to.
pub trait Overlay {
    /// Puts a row, or takes it away.
    fn put(&mut self, key: &Key, value: Option<&Bytes>);
}

/// Rows that must be loaded before a command can be judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// What to load, in no order.
    pub items: Vec<NeedItem>,
}

/// One thing to load.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NeedItem {
    /// One row, which may turn out to be absent.
    Row(Key),
    /// The first rows of a range.
    Range {
        /// The first key.
        start: Key,
        /// Before this key.
        end: Key,
        /// How many rows are enough.
        limit: usize,
    },
}

impl NeedItem {
    /// The same, of a range at least so many rows: reading ahead.
    #[must_use]
    pub fn at_least(self, rows: usize) -> Self {
        match self {
            Self::Row(key) => Self::Row(key),
            Self::Range { start, end, limit } => {
                let limit = limit.max(rows);
                Self::Range { start, end, limit }
            }
        }
    }
}

impl Need {
    /// One row.
    pub fn row(key: &Key) -> Self {
        Self {
            items: vec![NeedItem::Row(key.clone())],
        }
    }

    /// The first `limit` rows of a range.
    pub fn range(range: &KeyRange, limit: usize) -> Self {
        let (start, end) = (range.start.clone(), range.end.clone());
        Self {
            items: vec![NeedItem::Range { start, end, limit }],
        }
    }

    /// Both.
    pub fn add(&mut self, other: Self) {
        self.items.extend(other.items);
    }

    /// Whether nothing is needed.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// A complete map: nothing is ever missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// The rows.
    pub map: BTreeMap<Key, Bytes>,
}

impl View for Rows {
    fn get(&self, key: &Key) -> Result<Option<Bytes>, Need> {
        Ok(self.map.get(key).cloned())
    }

    fn range(&self, range: &KeyRange, limit: usize) -> Result<Vec<(Key, Bytes)>, Need> {
        if range.start >= range.end {
            return Ok(Vec::new());
        }
        let rows = self.map.range(range.clone()).take(limit);
        Ok(rows
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }
}

impl Overlay for Rows {
    fn put(&mut self, key: &Key, value: Option<&Bytes>) {
        match value {
            Some(value) => self.map.insert(key.clone(), value.clone()),
            None => self.map.remove(key),
        };
    }
}
