//! Every invariant notices a state that breaks it.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use common::breaks;
use common::lines;

#[test]
fn every_broken_state_is_noticed_under_its_sigil() {
    for broken in breaks::all() {
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

#[test]
fn a_violation_says_which_invariant_and_whose_job() {
    let all = breaks::all().flat_map(|broken| broken.violations());
    let said: Vec<String> = all.map(|violation| violation.to_string()).collect();
    assert!(said.iter().all(|text| text.starts_with("SILO-")));
    assert!(
        said.iter()
            .any(|text| text.contains("job leased of tenant t"))
    );
}
