//! Rounds: the batch in the making, the one that storage was handed, the last one it accepted.

use std::collections::BTreeMap;

use bytes::Bytes;
use silo_core::shard::view::Overlay;
use silo_core::table::TableId;
use silo_core::table::key::Key;
use silo_core::types::time::Uptime;

use crate::executor::flushing::Accepted;
use crate::executor::form::Form;
use crate::executor::watched::Watched;
use crate::executor::working_set::{Round, WorkingSet};

/// A round's rows, each once, as storage gets them.
pub(crate) type Batch = Vec<(Key, Option<Bytes>)>;

/// The rounds of a shard. One batch is with storage at a time: two that it was handed and has not
/// accepted could change places.
#[derive(Clone)]
pub(crate) struct Rounds {
    open: BTreeMap<Key, Option<Bytes>>,
    open_bytes: usize,
    open_round: Round,
    /// Jobs whose end is looked out for.
    pub(crate) watched: Watched,
    writing: Option<Writing>,
    written: Round,
    accepted: Round,
}

/// A batch that storage was handed and has not accepted yet.
#[derive(Clone, Copy)]
struct Writing {
    round: Round,
    bytes: u64,
    since: Uptime,
}

impl Rounds {
    pub(crate) fn new() -> Self {
        Self {
            open: BTreeMap::new(),
            open_bytes: 0,
            open_round: Round(1),
            watched: Watched::default(),
            writing: None,
            written: Round(0),
            accepted: Round(0),
        }
    }

    /// The round that decisions go into now.
    pub(crate) const fn open(&self) -> Round {
        self.open_round
    }

    /// Its bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.open_bytes
    }

    /// The last round that storage was handed.
    pub(crate) const fn written(&self) -> Round {
        self.written
    }

    /// The last round that storage has accepted.
    pub(crate) const fn last_accepted(&self) -> Round {
        self.accepted
    }

    /// Whether nothing is to be written, and nothing is being written.
    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_empty() && self.writing.is_none()
    }

    /// The batch in the making and the one under way. Its bytes follow from its rows.
    pub(crate) fn form(&self, form: &mut Form<'_>) {
        form.part(&self.open);
        form.round(self.open_round);
        self.watched.form(form);
        form.part(&self.writing.is_some());
        if let Some(Writing {
            round,
            bytes,
            since,
        }) = self.writing
        {
            form.round(round);
            form.part(&bytes);
            form.age(since);
        }
        form.round(self.written);
        form.round(self.accepted);
    }

    /// Where a decision is folded into.
    pub(crate) const fn overlay<'a>(&'a mut self, set: &'a mut WorkingSet) -> RoundOverlay<'a> {
        RoundOverlay {
            set,
            open: &mut self.open,
            open_bytes: &mut self.open_bytes,
            watched: &mut self.watched,
            round: self.open_round,
        }
    }

    /// Hands the round over, when there is one and the last one was accepted.
    pub(crate) fn hand_over(&mut self, now: Uptime) -> Option<(Round, Batch)> {
        if self.writing.is_some() || self.open.is_empty() {
            return None;
        }
        let round = self.open_round;
        let bytes = u64::try_from(self.open_bytes).unwrap_or(u64::MAX);
        self.writing = Some(Writing {
            round,
            bytes,
            since: now,
        });
        self.written = round;
        self.open_round = round.next();
        self.open_bytes = 0;
        Some((round, std::mem::take(&mut self.open).into_iter().collect()))
    }

    /// Storage has accepted the batch that it was handed.
    pub(crate) fn accepted(&mut self, round: Round, seq: u64, now: Uptime) -> Option<Accepted> {
        let Writing { bytes, since, .. } =
            self.writing.take_if(|writing| writing.round == round)?;
        self.accepted = round;
        Some(Accepted {
            round,
            seq,
            bytes,
            since,
            at: now,
        })
    }
}

/// Where a round's decisions go: the cache for the next command, the batch for storage.
pub(crate) struct RoundOverlay<'a> {
    set: &'a mut WorkingSet,
    open: &'a mut BTreeMap<Key, Option<Bytes>>,
    open_bytes: &'a mut usize,
    watched: &'a mut Watched,
    round: Round,
}

impl Overlay for RoundOverlay<'_> {
    fn put(&mut self, key: &Key, value: Option<&Bytes>) {
        self.watched.see(key, value, self.round);
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
