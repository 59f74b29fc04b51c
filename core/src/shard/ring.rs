//! The fairness ring of one task group: tenants with ready work, each in its turn.

use std::collections::BTreeMap;

use crate::types::tenant::Tenant;

/// Tenants in the order in which they are served next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ring {
    next_turn: u64,
    by_turn: BTreeMap<u64, Tenant>,
    turn_of: BTreeMap<Tenant, u64>,
}

impl Ring {
    /// Tenants in the order of their turns.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Tenant> {
        self.by_turn.values()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_turn.is_empty()
    }

    pub(crate) fn contains(&self, tenant: &Tenant) -> bool {
        self.turn_of.contains_key(tenant)
    }

    /// Joins at the end: whoever is in the ring is served once before.
    pub(crate) fn join(&mut self, tenant: &Tenant) {
        if !self.contains(tenant) {
            self.give_turn(tenant);
        }
    }

    /// Goes to the end, after having been served.
    pub(crate) fn served(&mut self, tenant: &Tenant) {
        if let Some(turn) = self.turn_of.get(tenant) {
            self.by_turn.remove(turn);
            self.give_turn(tenant);
        }
    }

    pub(crate) fn part(&mut self, tenant: &Tenant) {
        if let Some(turn) = self.turn_of.remove(tenant) {
            self.by_turn.remove(&turn);
        }
    }

    fn give_turn(&mut self, tenant: &Tenant) {
        let turn = self.next_turn;
        self.next_turn = turn.saturating_add(1);
        self.by_turn.insert(turn, tenant.clone());
        self.turn_of.insert(tenant.clone(), turn);
    }
}
