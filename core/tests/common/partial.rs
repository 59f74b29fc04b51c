//! A view that knows only some rows: loading what is asked for and judging again ends in the
//! decision that a complete view gives at once.

use std::collections::BTreeSet;

use bytes::Bytes;
use proptest::prelude::ProptestConfig;
use silo_core::shard::command::{Command, Stamp};
use silo_core::shard::decide;
use silo_core::shard::decision::Decision;
use silo_core::shard::view::{Need, NeedItem, Rows, View};
use silo_core::table::key::{Key, KeyRange, successor};

use crate::common::Shard;

/// Most rounds of loading that any command may take: six, and four more when slots are freed.
pub const ROUNDS_MAX: usize = 10;
/// The same for those that free slots for which very many wait.
pub const SEARCH_ROUNDS_MAX: usize = 14;

/// Some of a shard's rows: single keys, and intervals that are completely known.
pub struct Partial<'a> {
    pub rows: &'a Rows,
    pub keys: BTreeSet<Key>,
    pub intervals: Vec<KeyRange>,
}

impl Partial<'_> {
    pub fn knows(&self, key: &Key) -> bool {
        self.keys.contains(key) || self.intervals.iter().any(|known| known.contains(key))
    }

    /// How far everything from `start` on is known.
    fn reach(&self, start: &Key) -> Key {
        let mut reach = start.clone();
        loop {
            let further = self
                .intervals
                .iter()
                .filter(|known| known.start <= reach && known.end > reach)
                .map(|known| known.end.clone())
                .chain(self.keys.contains(&reach).then(|| successor(&reach)))
                .max();
            match further {
                Some(further) => reach = further,
                None => return reach,
            }
        }
    }

    pub fn load(&mut self, need: &Need) {
        assert!(!need.is_empty(), "a need names something");
        let mut has_learned = false;
        for item in &need.items {
            match item {
                NeedItem::Row(key) => has_learned |= self.keys.insert(key.clone()),
                NeedItem::Range { start, end, limit } => {
                    let range = start.clone()..end.clone();
                    let rows = self.rows.range(&range, *limit).unwrap();
                    let end = match rows.last() {
                        Some((last, _)) if rows.len() == *limit => successor(last),
                        _ => end.clone(),
                    };
                    has_learned |= self.reach(start) < end;
                    self.intervals.push(start.clone()..end);
                }
            }
        }
        assert!(has_learned, "asked again for what was known: {need:?}");
    }
}

impl View for Partial<'_> {
    fn get(&self, key: &Key) -> Result<Option<Bytes>, Need> {
        if self.knows(key) {
            self.rows.get(key)
        } else {
            Err(Need::row(key))
        }
    }

    fn range(&self, range: &KeyRange, limit: usize) -> Result<Vec<(Key, Bytes)>, Need> {
        let rows = self.rows.range(range, limit)?;
        let end = match rows.last() {
            Some((last, _)) if rows.len() == limit => successor(last),
            _ => range.end.clone(),
        };
        if limit == 0 || range.start >= range.end || self.reach(&range.start) >= end {
            Ok(rows)
        } else {
            Err(Need::range(range, limit))
        }
    }
}

/// The decision over rows of which only `keys` are known, and after how many rounds of loading.
pub fn judge(
    shard: &Shard,
    keys: BTreeSet<Key>,
    stamp: &Stamp,
    command: &Command,
) -> (Decision, usize) {
    let mut view = Partial {
        rows: &shard.rows,
        keys,
        intervals: Vec::new(),
    };
    for rounds in 0..1000 {
        match decide(&shard.soft, &view, stamp, command) {
            Ok(decision) => return (decision, rounds),
            Err(need) => view.load(&need),
        }
    }
    panic!("{command:?} asks without end");
}

/// Asserts that what is known of the rows makes no difference but the rounds; returns the rounds.
pub fn assert_same(shard: &mut Shard, command: &Command, known: &[bool]) -> usize {
    let stamp = shard.stamp();
    let before = (shard.rows.clone(), shard.soft.clone());
    let complete = decide(&shard.soft, &shard.rows, &stamp, command).expect("a complete map");
    let keys = shard.rows.map.keys().zip(known.iter().cycle());
    let keys = keys
        .filter(|(_, known)| **known)
        .map(|(key, _)| key.clone());
    let (decision, rounds) = judge(shard, keys.collect(), &stamp, command);
    assert_eq!(decision, complete, "{command:?}");
    assert!(
        before == (shard.rows.clone(), shard.soft.clone()),
        "judging changes nothing"
    );
    rounds
}

/// So many cases, unless the environment says another number.
pub fn config(cases: u32) -> ProptestConfig {
    let mut config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    config
}
