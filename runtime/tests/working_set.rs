//! The working set answers as the full map would, or says what it needs.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]

use std::cell::Cell;
use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use silo_core::shard::view::{Need, NeedItem, View as _};
use silo_core::table::key::{Key, KeyRange, successor};
use silo_runtime::executor::working_set::{Forgettable, Generation, Round, WorkingSet};

type Map = BTreeMap<Key, Bytes>;

/// One thing that happens; keys are small numbers, ranges go from one to another.
#[derive(Clone, Debug)]
enum Step {
    Write(u8, Option<u8>),
    EndRound,
    Durable(u8),
    Get(u8),
    Range(u8, u8, u8),
    Load(u8, u8, u8),
    LoadRow(u8),
    Arrive(u8, u8),
    ForgetOne(u8),
    ForgetAll,
    Shrink,
    Answered(u8, u8, u8),
}

fn step() -> impl Strategy<Value = Step> {
    let (a, b, limit) = (|| 0..24u8, || 0..26u8, || 1..6u8);
    prop_oneof![
        6 => (a(), proptest::option::weighted(0.6, any::<u8>()))
            .prop_map(|(k, v)| Step::Write(k, v)),
        3 => Just(Step::EndRound),
        2 => any::<u8>().prop_map(Step::Durable),
        4 => b().prop_map(Step::Get),
        5 => (b(), b(), limit()).prop_map(|(a, b, n)| Step::Range(a, b, n)),
        4 => (b(), b(), limit()).prop_map(|(a, b, n)| Step::Load(a, b, n)),
        2 => b().prop_map(Step::LoadRow),
        6 => (any::<u8>(), any::<u8>()).prop_map(|(i, later)| Step::Arrive(i, later)),
        3 => any::<u8>().prop_map(Step::ForgetOne),
        1 => Just(Step::ForgetAll),
        3 => Just(Step::Shrink),
        3 => (b(), b(), limit()).prop_map(|(a, b, n)| Step::Answered(a, b, n)),
    ]
}

/// Even numbers are keys of rows; odd ones lie between them, as bounds and as keys of nothing.
fn key(number: u8) -> Key {
    let row = Key::copy_from_slice(&[b'k', number / 2]);
    if number.is_multiple_of(2) {
        row
    } else {
        successor(&row)
    }
}

fn row_key(number: u8) -> Key {
    key(number & !1)
}

/// A working set, the full map, and storage that lags behind it.
struct World {
    set: WorkingSet,
    full: Map,
    /// What storage holds after each round; the last is what a load sees now.
    stored: Vec<Map>,
    written_in: BTreeMap<Key, Round>,
    durable: Round,
    loads: Vec<(NeedItem, Round)>,
    forgets_wrongly: bool,
    answers: usize,
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap()
}

fn index(round: Round) -> usize {
    usize::try_from(round.0).unwrap()
}

impl World {
    fn new(bytes_max: usize) -> Self {
        Self {
            set: WorkingSet::new(bytes_max),
            full: Map::new(),
            stored: vec![Map::new()],
            written_in: BTreeMap::new(),
            durable: Round(0),
            loads: Vec::new(),
            forgets_wrongly: false,
            answers: 0,
        }
    }

    fn accepted(&self) -> Round {
        Round(count(self.stored.len() - 1))
    }

    fn forgettable(&self) -> Forgettable {
        let sight = self.loads.iter().map(|(_, sight)| *sight).min();
        let round = sight.map_or(self.durable, |sight| sight.min(self.durable));
        Forgettable {
            round: if self.forgets_wrongly {
                Round(u64::MAX)
            } else {
                round
            },
            unused_since: Generation(self.set.generation().0 + 1),
        }
    }

    fn happen(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Write(number, value) => {
                let round = self.accepted().next();
                let key = row_key(*number);
                let value = value.map(|byte| Bytes::from(vec![byte; byte.into()]));
                self.set.put(&key, value.as_ref(), round);
                self.written_in.insert(key.clone(), round);
                match value {
                    Some(value) => self.full.insert(key, value),
                    None => self.full.remove(&key),
                };
            }
            Step::EndRound => self.stored.push(self.full.clone()),
            Step::Durable(number) => {
                let behind = self.accepted().0 - self.durable.0;
                self.durable.0 += u64::from(*number).min(behind);
            }
            Step::Get(number) => {
                let _ = self.get(&key(*number))?;
            }
            Step::Range(from, to, limit) => {
                let _ = self.range(&(key(*from)..key(*to)), (*limit).into())?;
            }
            Step::Load(from, to, limit) if from < to => {
                let (start, end, limit) = (key(*from), key(*to), (*limit).into());
                let sight = self.accepted();
                self.loads
                    .push((NeedItem::Range { start, end, limit }, sight));
            }
            Step::Load(..) => {}
            Step::LoadRow(number) => {
                let sight = self.accepted();
                self.loads.push((NeedItem::Row(key(*number)), sight));
            }
            Step::Arrive(which, later) => self.arrive((*which).into(), *later),
            Step::ForgetOne(which) => {
                let keys: Vec<Key> = self.set.keys().cloned().collect();
                if let Some(at) = usize::from(*which).checked_rem(keys.len()) {
                    let what = self.forgettable();
                    self.set.forget_one(&keys[at], what);
                }
            }
            Step::ForgetAll => {
                let what = self.forgettable();
                self.set.forget_all(what);
            }
            Step::Shrink => {
                let what = self.forgettable();
                self.set.shrink(what);
            }
            Step::Answered(from, to, limit) => {
                self.answered(&(key(*from)..key(*to)), (*limit).into())?;
            }
        }
        let (known, counted) = (self.set.bytes(), self.set.count_bytes());
        if known == counted {
            Ok(())
        } else {
            Err(format!("{known} bytes accounted for, {counted} held"))
        }
    }

    /// A load returns what storage held at some moment since it was issued.
    fn arrive(&mut self, which: usize, later: u8) {
        let Some(at) = which.checked_rem(self.loads.len()) else {
            return;
        };
        let (item, sight) = self.loads.swap_remove(at);
        let seen = (index(sight) + usize::from(later)).min(self.stored.len() - 1);
        let stored = self.stored[seen].clone();
        self.learn(&item, &stored);
    }

    fn learn(&mut self, item: &NeedItem, stored: &Map) {
        match item {
            NeedItem::Row(key) => self.set.learn_row(key, stored.get(key).cloned()),
            NeedItem::Range { start, end, limit } => {
                let rows = first(stored, &(start.clone()..end.clone()), *limit);
                let end = match rows.last() {
                    Some((last, _)) if rows.len() == *limit => successor(last),
                    _ => end.clone(),
                };
                self.set.learn_range(&(start.clone()..end), rows);
            }
        }
    }

    fn get(&mut self, key: &Key) -> Result<Result<(), Need>, String> {
        let judging = self.set.judge();
        let got = judging.get(key);
        let latest = judging.latest();
        match got {
            Ok(value) => {
                self.answers += 1;
                if value.as_ref() != self.full.get(key) {
                    return Err(format!("{key:?} is {value:?}"));
                }
                let dependence = self.dependence(|written| written == key);
                check_latest(latest, dependence)?;
                Ok(Ok(()))
            }
            Err(need) if need == Need::row(key) => Ok(Err(need)),
            Err(need) => Err(format!("{need:?} for {key:?}")),
        }
    }

    fn range(&mut self, range: &KeyRange, limit: usize) -> Result<Result<(), Need>, String> {
        let judging = self.set.judge();
        let got = judging.range(range, limit);
        let latest = judging.latest();
        match got {
            Ok(rows) => {
                self.answers += 1;
                let right = first(&self.full, range, limit);
                if rows != right {
                    return Err(format!("{range:?}, {limit}: {rows:?} instead of {right:?}"));
                }
                let end = match rows.last() {
                    Some((last, _)) if rows.len() == limit => successor(last),
                    _ => range.end.clone(),
                };
                let seen = range.start.clone()..end;
                let dependence = self.dependence(|written| seen.contains(written));
                check_latest(latest, dependence)?;
                Ok(Ok(()))
            }
            Err(need) => {
                let is_within = |item: &NeedItem| match item {
                    NeedItem::Row(_) => false,
                    NeedItem::Range {
                        start,
                        end,
                        limit: more,
                    } => {
                        *start >= range.start
                            && *end == range.end
                            && start < end
                            && (1..=limit).contains(more)
                    }
                };
                if need.items.len() == 1 && need.items.iter().all(is_within) {
                    Ok(Err(need))
                } else {
                    Err(format!("{need:?} for {range:?}, {limit}"))
                }
            }
        }
    }

    /// The last round that wrote any of these keys and is not durable.
    fn dependence(&self, is_seen: impl Fn(&Key) -> bool) -> Round {
        let rounds = self.written_in.iter().filter(|(key, _)| is_seen(key));
        let undurable = rounds
            .map(|(_, round)| *round)
            .filter(|r| *r > self.durable);
        undurable.max().unwrap_or_default()
    }

    /// Asks until there is an answer, loading what is needed each time.
    fn answered(&mut self, range: &KeyRange, limit: usize) -> Result<(), String> {
        // Each load brings a row more, or the end; rows deleted since are loaded for nothing.
        for _ in 0..32 {
            let Err(need) = self.range(range, limit)? else {
                return Ok(());
            };
            let stored = self.stored.last().cloned().unwrap_or_default();
            for item in &need.items {
                self.learn(item, &stored);
            }
        }
        Err(format!("never answered: {range:?}, {limit}"))
    }
}

fn first(map: &Map, range: &KeyRange, limit: usize) -> Vec<(Key, Bytes)> {
    if range.start >= range.end {
        return Vec::new();
    }
    let rows = map.range(range.clone()).take(limit);
    rows.map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn check_latest(latest: Round, dependence: Round) -> Result<(), String> {
    if latest >= dependence {
        Ok(())
    } else {
        Err(format!("depends on {dependence:?}, and says {latest:?}"))
    }
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: ProptestConfig::default().cases * 2,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

#[silo::test]
fn it_answers_as_the_full_map_or_says_what_it_needs() {
    let budget = prop_oneof![Just(0_usize), 200..1500usize, Just(1 << 20)];
    let steps = prop::collection::vec(step(), 1..200);
    let answers = Cell::new(0);
    proptest!(config(), |(budget in budget, steps in steps)| {
        let mut world = World::new(budget);
        for step in &steps {
            world.happen(step).map_err(TestCaseError::fail)?;
        }
        answers.set(answers.get() + world.answers);
    });
    assert!(
        answers.get() > 1000,
        "only {answers:?} answers were compared"
    );
}

#[silo::test]
fn a_cache_that_forgets_what_a_late_load_cannot_see_is_found_out() {
    let mut runner = proptest::test_runner::TestRunner::new(config());
    let steps = prop::collection::vec(step(), 1..200);
    let found = runner.run(&steps, |steps| {
        let mut world = World::new(0);
        world.forgets_wrongly = true;
        for step in &steps {
            world.happen(step).map_err(TestCaseError::fail)?;
        }
        Ok(())
    });
    assert!(found.is_err(), "nothing was found");
}

#[silo::test]
fn it_shrinks_below_its_budget_when_all_may_be_forgotten() {
    let steps = prop::collection::vec(step(), 1..200);
    proptest!(config(), |(budget in 0..2000usize, steps in steps)| {
        let mut world = World::new(budget);
        for step in &steps {
            world.happen(step).map_err(TestCaseError::fail)?;
        }
        world.stored.push(world.full.clone());
        world.durable = world.accepted();
        world.loads.clear();
        // What was looked at last is spared until something else has been looked at, twice.
        for _ in 0..3 {
            let what = world.forgettable();
            world.set.shrink(what);
            let _ = world.set.judge();
        }
        let what = world.forgettable();
        world.set.shrink(what);
        prop_assert!(world.set.bytes() <= budget, "{} of {budget}", world.set.bytes());
        prop_assert_eq!(world.set.bytes(), world.set.count_bytes());
    });
}

#[silo::test]
fn what_a_waiting_command_has_looked_at_is_kept() {
    let steps = prop::collection::vec(step(), 1..150);
    let looks = prop::collection::vec((0..26u8, 0..26u8, 1..6usize), 1..5);
    proptest!(config(), |(steps in steps, looks in looks, before in any::<bool>())| {
        let mut world = World::new(if before { 0 } else { 1 << 20 });
        for step in &steps {
            world.happen(step).map_err(TestCaseError::fail)?;
        }
        world.durable = world.accepted();
        world.loads.clear();
        let _ = world.set.judge();
        let since = world.set.generation();
        let mut known = Vec::new();
        for (from, to, limit) in looks {
            let range = key(from)..key(to);
            if world.range(&range, limit).map_err(TestCaseError::fail)?.is_ok() {
                known.push((range, limit));
            }
            let one = key(from);
            if world.get(&one).map_err(TestCaseError::fail)?.is_ok() {
                known.push((one.clone()..successor(&one), 1));
            }
        }
        let what = Forgettable { round: world.durable, unused_since: since };
        for _ in 0..4 {
            world.set.shrink(what);
            world.set.forget_all(what);
        }
        for (range, limit) in known {
            let again = world.range(&range, limit).map_err(TestCaseError::fail)?;
            prop_assert!(again.is_ok(), "forgot {range:?}, {limit}");
        }
    });
}
