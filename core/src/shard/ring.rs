//! Whoever has something to do, each in its turn: the fairness ring of one task group, with the
//! tenants that have ready work; limits that are to be searched.

use std::collections::BTreeMap;

/// Members in the order in which they are served next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ring<T> {
    /// Who is in the middle of a turn, and how many tasks are left of it: at most the first.
    begun: Option<(T, u32)>,
    next_turn: u64,
    by_turn: BTreeMap<u64, T>,
    turn_of: BTreeMap<T, u64>,
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self {
            begun: None,
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

    /// What is left of a turn that a member has begun; none if it begins its turn anew.
    pub(crate) fn left_of(&self, member: &T) -> Option<u32> {
        let begun = self.begun.as_ref().filter(|(of, _)| of == member);
        begun.map(|(_, left)| *left)
    }

    /// Whoever is in the middle of a turn, and what is left of it.
    pub(crate) const fn begun(&self) -> Option<&(T, u32)> {
        self.begun.as_ref()
    }

    /// Stays where it is: so much is left of its turn.
    pub(crate) fn begin(&mut self, member: &T, left: u32) {
        if self.contains(member) {
            self.begun = Some((member.clone(), left));
        }
    }

    /// Joins at the end: whoever is in the ring has its turn before.
    pub(crate) fn join(&mut self, member: &T) {
        if !self.contains(member) {
            self.give_turn(member);
        }
    }

    /// Goes to the end: it has had its turn.
    pub(crate) fn served(&mut self, member: &T) {
        self.end_turn(member);
        if let Some(turn) = self.turn_of.get(member) {
            self.by_turn.remove(turn);
            self.give_turn(member);
        }
    }

    pub(crate) fn part(&mut self, member: &T) {
        self.end_turn(member);
        if let Some(turn) = self.turn_of.remove(member) {
            self.by_turn.remove(&turn);
        }
    }

    fn end_turn(&mut self, member: &T) {
        if self.left_of(member).is_some() {
            self.begun = None;
        }
    }

    fn give_turn(&mut self, member: &T) {
        let turn = self.next_turn;
        self.next_turn = turn.saturating_add(1);
        self.by_turn.insert(turn, member.clone());
        self.turn_of.insert(member.clone(), turn);
    }
}
