//! A bounded cache of rows by key interval.
//!
//! What is known is kept in *slots*, in key order. A slot says what is known of its own key, and
//! whether the gap up to the next slot is known to be empty. So absence is knowledge too: a range
//! that was loaded once is answered from memory, rows, holes and all. For every sequence of
//! commands the working set answers as the full map would, or says what it needs.
//!
//! Three things must not be forgotten: rows written and not yet durable (replies that look at them
//! depend on them), rows that a load under way was issued too early to see, and rows that a waiting
//! command has looked at (or it might wait for ever). Everything else goes when it is cold.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use silo_core::shard::view::{Need, View};
use silo_core::table::key::{Key, KeyRange, successor};

use crate::executor::form::Form;

/// The number of a write batch; 0 is before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Round(pub u64);

impl Round {
    /// The round after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// How often something was judged: the cache's sense of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(pub u64);

/// What a slot costs besides its key and its row, in bytes, about.
const SLOT_BYTES: usize = 160;
/// Slots looked at by one call of [`WorkingSet::shrink`].
const SHRINK_STEPS_MAX: usize = 1024;
/// Laps of the hand in one call. Nothing is looked at meanwhile: what two laps spare, all would.
const LAPS_MAX: u32 = 3;

/// The cache.
#[derive(Clone)]
pub struct WorkingSet {
    slots: BTreeMap<Key, Slot>,
    bytes: usize,
    bytes_max: usize,
    generation: Generation,
    hand: Key,
    lap: Generation,
    lap_before: Generation,
}

#[derive(Clone, Debug)]
struct Slot {
    value: Value,
    /// Nothing stands between this key and the next slot's.
    gap_known: bool,
    /// The last round that wrote this key.
    round: Round,
    /// When it was last looked at.
    used: Cell<Generation>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Value {
    /// Only marks the end of a known gap.
    Unknown,
    Absent,
    Present(Bytes),
}

/// What may be forgotten.
#[derive(Clone, Copy, Debug)]
pub struct Forgettable {
    /// Rows last written in this round or before.
    pub round: Round,
    /// Rows last looked at before this.
    pub unused_since: Generation,
}

impl WorkingSet {
    /// An empty cache that shrinks to `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            slots: BTreeMap::new(),
            bytes: 0,
            bytes_max,
            generation: Generation(1),
            hand: Key::new(),
            lap: Generation(1),
            lap_before: Generation(0),
        }
    }

    /// Bytes held, about.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The present generation.
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// Begins a judgement: reads through the answer are remembered as of now, and it knows the last
    /// round that wrote what was read.
    pub fn judge(&mut self) -> Judging<'_> {
        self.generation = Generation(self.generation.0.saturating_add(1));
        Judging {
            set: self,
            latest: Cell::new(Round(0)),
        }
    }

    /// Puts a row, or its absence, written in `round`.
    pub fn put(&mut self, key: &Key, value: Option<&Bytes>, round: Round) {
        let value = value.map_or(Value::Absent, |value| Value::Present(value.clone()));
        let size = cost(key, &value);
        let gap_known = self.gap_known_at(key);
        let used = Cell::new(self.generation);
        match self.slots.get_mut(key) {
            Some(slot) => {
                self.bytes = self.bytes.saturating_sub(cost(key, &slot.value));
                *slot = Slot {
                    value,
                    round,
                    used,
                    gap_known: slot.gap_known,
                };
            }
            None => {
                self.slots.insert(
                    key.clone(),
                    Slot {
                        value,
                        gap_known,
                        round,
                        used,
                    },
                );
            }
        }
        self.bytes = self.bytes.saturating_add(size);
    }

    /// Takes in a row that was loaded. What is known already is newer.
    pub fn learn_row(&mut self, key: &Key, value: Option<Bytes>) {
        let known = match self.slots.get(key) {
            Some(slot) => slot.value != Value::Unknown,
            None => self.gap_known_at(key),
        };
        if !known {
            self.put(key, value.as_ref(), Round(0));
        }
    }

    /// Takes in every row of `range`. What is known already is newer.
    pub fn learn_range(&mut self, range: &KeyRange, rows: Vec<(Key, Bytes)>) {
        if range.start >= range.end {
            return;
        }
        // The end first, while what is known there still stands.
        if !self.slots.contains_key(&range.end) {
            let known = self.gap_known_at(&range.end);
            let value = if known { Value::Absent } else { Value::Unknown };
            self.insert_mark(&range.end, value, known);
        }
        for (key, value) in rows {
            self.learn_row(&key, Some(value));
        }
        if !self.slots.contains_key(&range.start) {
            self.insert_mark(&range.start, Value::Absent, true);
        }
        for (_, slot) in self.slots.range_mut::<Key, _>(range.clone()) {
            slot.gap_known = true;
            slot.used.set(self.generation);
            if slot.value == Value::Unknown {
                slot.value = Value::Absent;
            }
        }
    }

    /// Forgets what is cold until the cache is small enough, looking at a bounded number of slots.
    /// A clock (Corbató, 1968): what was looked at since the hand last came by is spared.
    pub fn shrink(&mut self, what: Forgettable) {
        let mut steps = SHRINK_STEPS_MAX;
        let mut laps = 0;
        while self.bytes > self.bytes_max && steps > 0 && laps < LAPS_MAX {
            match self.sweep(what, &mut steps) {
                Swept::Forgettable(key) => {
                    self.forget(&key);
                    self.hand = key;
                }
                Swept::Paused(key) => self.hand = key,
                Swept::Lap => {
                    self.hand = Key::new();
                    self.lap_before = self.lap;
                    self.lap = self.generation;
                    laps = laps.saturating_add(1);
                }
            }
        }
    }

    /// Looks from the hand on for a slot that may be forgotten.
    fn sweep(&self, what: Forgettable, steps: &mut usize) -> Swept {
        let from = (Bound::Excluded(&self.hand), Bound::Unbounded);
        let mut before = self.before(&self.hand, true);
        for (key, slot) in self.slots.range::<Key, _>(from) {
            let used = slot.used.get();
            let is_cold = used < what.unused_since && used < self.lap_before.max(Generation(1));
            let may = slot.round <= what.round
                && (slot.says_nothing(before) || (is_cold && !slot.ends_gap_in_use(before, what)));
            *steps = steps.saturating_sub(1);
            if may {
                return Swept::Forgettable(key.clone());
            }
            if *steps == 0 {
                return Swept::Paused(key.clone());
            }
            before = Some(slot);
        }
        Swept::Lap
    }

    /// Forgets everything that may be forgotten, cold or not. For tests and the simulator.
    pub fn forget_all(&mut self, what: Forgettable) {
        let keys: Vec<Key> = self.slots.keys().cloned().collect();
        for key in keys {
            self.forget_one(&key, what);
        }
    }

    /// Forgets one row, if it may be forgotten. For tests and the simulator.
    pub fn forget_one(&mut self, key: &Key, what: Forgettable) {
        let may = |slot: &Slot| {
            slot.round <= what.round
                && slot.used.get() < what.unused_since
                && !slot.ends_gap_in_use(self.before(key, false), what)
        };
        if self.slots.get(key).is_some_and(may) {
            self.forget(key);
        }
    }

    /// The bytes held, counted anew: [`WorkingSet::bytes`]. For tests and the simulator.
    pub fn count_bytes(&self) -> usize {
        let costs = self.slots.iter().map(|(key, slot)| cost(key, &slot.value));
        costs.fold(0, usize::saturating_add)
    }

    /// What is known, and what of it may be forgotten. When a row was looked at matters only beside
    /// when those who wait began to: [`Form::used`]. What the clock's hand does is left out: models
    /// have caches that never fill, and forget by [`WorkingSet::forget_all`].
    pub(crate) fn form(&self, form: &mut Form<'_>) {
        for (key, slot) in &self.slots {
            form.part(&(key, &slot.value, slot.gap_known));
            form.round(slot.round);
            form.used(slot.used.get());
        }
        form.end();
    }

    /// The keys of the slots, in order. For tests and the simulator.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.slots.keys()
    }

    fn forget(&mut self, key: &Key) {
        let Some(slot) = self.slots.remove(key) else {
            return;
        };
        self.bytes = self.bytes.saturating_sub(cost(key, &slot.value));
        let knows_gaps = slot.value == Value::Absent && slot.gap_known;
        if let Some((_, before)) = self.slots.range_mut::<Key, _>(..key).next_back() {
            // Where nothing stands between two known gaps, the two are one, in use if either is.
            before.gap_known = before.gap_known && knows_gaps;
            before.used.set(before.used.get().max(slot.used.get()));
        }
    }

    fn insert_mark(&mut self, key: &Key, value: Value, gap_known: bool) {
        self.bytes = self.bytes.saturating_add(cost(key, &value));
        let used = Cell::new(self.generation);
        self.slots.insert(
            key.clone(),
            Slot {
                value,
                gap_known,
                round: Round(0),
                used,
            },
        );
    }

    /// Whether `key`, when it has no slot, is known to be absent: it lies in a known gap.
    fn gap_known_at(&self, key: &Key) -> bool {
        self.before(key, false).is_some_and(|slot| slot.gap_known)
    }

    /// The last slot before `key`, or at it.
    fn before(&self, key: &Key, at_it_too: bool) -> Option<&Slot> {
        let end = if at_it_too {
            Bound::Included(key)
        } else {
            Bound::Excluded(key)
        };
        let mut slots = self.slots.range::<Key, _>((Bound::Unbounded, end));
        slots.next_back().map(|(_, slot)| slot)
    }
}

impl Slot {
    /// Whether forgetting the slot would lose where the gap before it ends, and somebody who may
    /// not lose it has looked at that gap.
    fn ends_gap_in_use(&self, before: Option<&Self>, what: Forgettable) -> bool {
        let joins = self.value == Value::Absent && self.gap_known;
        !joins && before.is_some_and(|b| b.gap_known && b.used.get() >= what.unused_since)
    }

    /// Whether forgetting the slot loses no knowledge: an absent key between two known gaps, or a
    /// mark that ends no gap.
    fn says_nothing(&self, before: Option<&Self>) -> bool {
        let gap_before = before.is_some_and(|slot| slot.gap_known);
        match self.value {
            Value::Absent => self.gap_known && gap_before,
            Value::Unknown => !gap_before,
            Value::Present(_) => false,
        }
    }
}

/// What the hand of the clock came to.
enum Swept {
    /// A slot that may be forgotten.
    Forgettable(Key),
    /// It has looked at enough slots for now, and this is the last of them.
    Paused(Key),
    /// The end: it goes on from the beginning.
    Lap,
}

/// Reads on behalf of one judgement.
pub struct Judging<'a> {
    set: &'a WorkingSet,
    latest: Cell<Round>,
}

impl Judging<'_> {
    /// The last round that wrote anything that was read.
    pub const fn latest(&self) -> Round {
        self.latest.get()
    }

    fn looked_at(&self, slot: &Slot) {
        slot.used.set(self.set.generation);
        self.latest.set(self.latest.get().max(slot.round));
    }
}

impl View for Judging<'_> {
    fn get(&self, key: &Key) -> Result<Option<Bytes>, Need> {
        let at_or_before = self.set.slots.range::<Key, _>(..=key).next_back();
        match at_or_before {
            Some((at, slot)) if at == key => {
                self.looked_at(slot);
                match &slot.value {
                    Value::Unknown => Err(Need::row(key)),
                    Value::Absent => Ok(None),
                    Value::Present(bytes) => Ok(Some(bytes.clone())),
                }
            }
            Some((_, slot)) if slot.gap_known => {
                self.looked_at(slot);
                Ok(None)
            }
            Some(_) | None => Err(Need::row(key)),
        }
    }

    fn range(&self, range: &KeyRange, limit: usize) -> Result<Vec<(Key, Bytes)>, Need> {
        if range.start >= range.end || limit == 0 {
            return Ok(Vec::new());
        }
        let mut rows = Vec::new();
        // Everything up to `last`, or before the range's start, is known; so is the gap that begins
        // there, when `gap_known`.
        let mut last: Option<&Key> = None;
        let from = |last: Option<&Key>| match last {
            Some(last) => successor(last),
            None => range.start.clone(),
        };
        let before = self.set.slots.range::<Key, _>(..&range.start).next_back();
        let mut gap_known = before.is_some_and(|(_, slot)| slot.gap_known);
        if let Some((_, slot)) = before.filter(|_| gap_known) {
            self.looked_at(slot);
        }
        let missing = |last: Option<&Key>, found: usize| {
            let rest = from(last)..range.end.clone();
            Need::range(&rest, limit.saturating_sub(found))
        };
        for (key, slot) in self.set.slots.range::<Key, _>(range.clone()) {
            let is_next = gap_known || *key == from(last);
            if !is_next || slot.value == Value::Unknown {
                return Err(missing(last, rows.len()));
            }
            self.looked_at(slot);
            if let Value::Present(bytes) = &slot.value {
                rows.push((key.clone(), bytes.clone()));
                if rows.len() == limit {
                    return Ok(rows);
                }
            }
            gap_known = slot.gap_known;
            last = Some(key);
        }
        if gap_known || from(last) >= range.end {
            Ok(rows)
        } else {
            Err(missing(last, rows.len()))
        }
    }
}

fn cost(key: &Key, value: &Value) -> usize {
    let row = match value {
        Value::Present(bytes) => bytes.len(),
        Value::Unknown | Value::Absent => 0,
    };
    key.len().saturating_add(row).saturating_add(SLOT_BYTES)
}
