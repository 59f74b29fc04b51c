//! Whoever has something to do, each in its turn: the fairness ring of one task group, with the
//! tenants that have ready work; limits that are to be searched.

use std::collections::BTreeMap;

/// Members in the order in which they are served next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ring<T> {
    next_turn: u64,
    by_turn: BTreeMap<u64, T>,
    turn_of: BTreeMap<T, u64>,
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self {
            next_turn: 0,
            by_turn: BTreeMap::new(),
            turn_of: BTreeMap::new(),
        }
    }
}

impl<T: Clone + Ord> Ring<T> {
    /// Members in the order of their turns.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.by_turn.values()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_turn.is_empty()
    }

    pub(crate) fn contains(&self, member: &T) -> bool {
        self.turn_of.contains_key(member)
    }

    /// Joins at the end: whoever is in the ring is served once before.
    pub(crate) fn join(&mut self, member: &T) {
        if !self.contains(member) {
            self.give_turn(member);
        }
    }

    /// Goes to the end, after having been served.
    pub(crate) fn served(&mut self, member: &T) {
        if let Some(turn) = self.turn_of.get(member) {
            self.by_turn.remove(turn);
            self.give_turn(member);
        }
    }

    pub(crate) fn part(&mut self, member: &T) {
        if let Some(turn) = self.turn_of.remove(member) {
            self.by_turn.remove(&turn);
        }
    }

    fn give_turn(&mut self, member: &T) {
        let turn = self.next_turn;
        self.next_turn = turn.saturating_add(1);
        self.by_turn.insert(turn, member.clone());
        self.turn_of.insert(member.clone(), turn);
    }
}
