//! Every invariant notices a state that breaks it.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use common::breaks::BREAKS;
use common::lines;

#[test]
fn every_broken_state_is_noticed_under_its_sigil() {
    for broken in BREAKS {
        let violations = broken.violations();
        assert!(
            violations.iter().any(|found| found.sigil == broken.sigil),
            "{}, {}: only\n{}",
            broken.sigil,
            broken.name,
            lines(&violations)
        );
    }
}
