//! SILO-KEY-1.

use crate::invariants::Invariant;
use crate::invariants::image::Image;

/// Rows that say the same are the same bytes.
pub const INVARIANT: Invariant = Invariant {
    sigil: "SILO-KEY-1",
    statement: "Every key and row that decodes is written in the one way in which it is written.",
    check,
};

fn check(image: &Image) -> Vec<String> {
    let keys = image.not_canonical.iter();
    keys.map(|key| format!("{key:?} would be written otherwise"))
        .collect()
}
