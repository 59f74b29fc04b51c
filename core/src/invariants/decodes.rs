//! SILO-KEY-1.

use crate::invariants::Invariant;
use crate::invariants::image::Image;

/// Nothing unreadable is ever written. Checkers that damage rows on purpose expect this one.
pub const INVARIANT: Invariant = Invariant {
    sigil: "SILO-KEY-1",
    statement: "Every row is of a known table, decodes, and is written in the one way there is.",
    check,
};

fn check(image: &Image) -> Vec<String> {
    let rows = image.unreadable.iter();
    rows.map(|(key, why)| format!("{key:?}: {why}")).collect()
}
