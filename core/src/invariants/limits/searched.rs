//! SILO-LIMIT-4.

use crate::invariants::Invariant;
use crate::invariants::image::Image;

/// Nobody waits beside a free slot.
pub const INVARIANT: Invariant = Invariant {
    sigil: "SILO-LIMIT-4",
    statement: "A limit that has a slot for a line parked on it has a row that says that it is to \
                be searched.",
    check,
};

fn check(image: &Image) -> Vec<String> {
    let parked = image.parked.keys().filter(|row| {
        let limit = image.limits.get(&row.limit);
        limit.is_some_and(|limit| limit.fits(Some(row.line))) && !image.admits.contains(&row.limit)
    });
    parked
        .map(|row| format!("{:?} has a slot for {:?}", row.limit, row.line))
        .collect()
}
