//! SILO-TEN-3.

use crate::invariants::Invariant;
use crate::invariants::image::{Image, name};
use crate::table::place::Place;
use crate::table::state::{Position, StateRow};

/// No two jobs of a tenant ever get the same place.
pub const INVARIANT: Invariant = Invariant {
    sigil: "SILO-TEN-3",
    statement: "A tenant's next sequence number is above that of every place of its jobs, and \
                every ticket.",
    check,
};

fn check(image: &Image) -> Vec<String> {
    let mut violations = Vec::new();
    for (key, state) in &image.states {
        let next = image.tenants.get(&key.tenant).map(|row| row.next_seq);
        if let (Some(place), Some(next)) = (place(state), next)
            && place.seq >= next
        {
            violations.push(format!("{} has {place:?}, next is {next}", name(key)));
        }
    }
    for row in &image.tickets {
        let next = image.tenants.get(&row.limit.tenant).map(|row| row.next_seq);
        if next.is_some_and(|next| row.ticket >= next) {
            violations.push(format!("{row:?}, next is {next:?}"));
        }
    }
    violations
}

const fn place(state: &StateRow) -> Option<Place> {
    match &state.position {
        Position::Due(place) | Position::Ready(place) => Some(*place),
        Position::Leased(lease) => Some(lease.place),
        Position::Parked { place, .. } => Some(place.place()),
        Position::Ended { expires, .. } => *expires,
        Position::Quarantined { .. } => None,
    }
}
