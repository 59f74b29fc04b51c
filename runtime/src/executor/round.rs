//! A round in the making.

use std::collections::BTreeMap;

use bytes::Bytes;
use silo_core::shard::view::Overlay;
use silo_core::table::TableId;
use silo_core::table::key::Key;

use crate::executor::working_set::{Round, WorkingSet};

/// Where a round's decisions go: the cache for the next command, the batch for storage.
pub(crate) struct RoundOverlay<'a> {
    pub(crate) set: &'a mut WorkingSet,
    pub(crate) open: &'a mut BTreeMap<Key, Option<Bytes>>,
    pub(crate) open_bytes: &'a mut usize,
    pub(crate) round: Round,
}

impl Overlay for RoundOverlay<'_> {
    fn put(&mut self, key: &Key, value: Option<&Bytes>) {
        // Large data is never decided upon: it goes to storage and does not stay here.
        if TableId::of(key) != Some(TableId::Payload) {
            self.set.put(key, value, self.round);
        }
        let size = |value: Option<&Bytes>| key.len().saturating_add(value.map_or(0, Bytes::len));
        *self.open_bytes = self.open_bytes.saturating_add(size(value));
        if let Some(before) = self.open.insert(key.clone(), value.cloned()) {
            *self.open_bytes = self.open_bytes.saturating_sub(size(before.as_ref()));
        }
    }
}
