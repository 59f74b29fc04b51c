//! Every sigil in the code stands in `specs/sigils.md`, and the other way round; every invariant
//! that is registered has a state that is known to break it. Which states those are is what
//! `invariants.rs` runs, so neither list can go stale.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use common::breaks::BREAKS;
use silo_core::invariants::{ALL, SOFT, STEPS, sigils};

/// The sigils in a text: `SILO-`, an area, a dash, a number that may begin with T.
fn sigils_in(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-';
    let words = text.split(|c| !is_part(c));
    let is_sigil = |word: &&str| {
        let mut parts = word.split('-');
        let (silo, area) = (parts.next(), parts.next());
        let number = parts.next().map(|n| n.strip_prefix('T').unwrap_or(n));
        let has_area = area.is_some_and(|a| a.chars().all(|c| c.is_ascii_uppercase()));
        let has_number = number.is_some_and(|n| n.parse::<u32>().is_ok());
        silo == Some("SILO") && has_area && has_number && parts.next().is_none()
    };
    words.filter(is_sigil).map(str::to_owned).collect()
}

fn in_folder(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            in_folder(&path, found);
        } else {
            found.extend(sigils_in(&fs::read_to_string(path).unwrap()));
        }
    }
}

#[test]
fn the_code_and_the_table_of_sigils_agree() {
    let core = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut in_code = BTreeSet::new();
    in_folder(&core.join("src"), &mut in_code);
    assert!(in_code.len() > 20, "sigils are found at all");
    let table = fs::read_to_string(core.join("../specs/sigils.md")).unwrap();
    let rows: Vec<&str> = table.lines().filter(|l| l.starts_with("| SILO-")).collect();
    let in_table: Vec<String> = rows.iter().flat_map(|l| sigils_in(l)).collect();
    let once: BTreeSet<String> = in_table.iter().cloned().collect();
    assert_eq!(
        in_table.len(),
        once.len(),
        "each row names one sigil, each once"
    );
    assert_eq!(in_code, once);
}

#[test]
fn the_table_states_invariants_as_the_code_does() {
    let core = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(core.join("../specs/sigils.md")).unwrap();
    let states = ALL.iter().map(|i| (i.sigil, i.statement));
    let steps = STEPS.iter().map(|i| (i.sigil, i.statement));
    let soft = SOFT.iter().map(|i| (i.sigil, i.statement));
    for (sigil, statement) in states.chain(steps).chain(soft) {
        let row = format!("| {sigil} | {statement} |");
        assert!(
            table.lines().any(|line| line == row),
            "specs/sigils.md lacks:\n{row}"
        );
    }
}

#[test]
fn every_registered_invariant_has_a_state_that_breaks_it_and_a_sigil_of_its_own() {
    let registered = sigils();
    let once: BTreeSet<&str> = registered.iter().copied().collect();
    assert_eq!(once.len(), registered.len(), "no sigil is registered twice");
    let broken: BTreeSet<&str> = BREAKS.iter().map(|broken| broken.sigil).collect();
    assert_eq!(once, broken);
}

#[test]
fn every_invariant_in_the_code_is_registered() {
    let core = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut in_code = BTreeSet::new();
    in_folder(&core.join("src"), &mut in_code);
    let is_transition = |sigil: &String| sigil.rsplit('-').next().unwrap().starts_with('T');
    let invariants: BTreeSet<String> = in_code.into_iter().filter(|s| !is_transition(s)).collect();
    let registered: BTreeSet<String> = sigils().into_iter().map(str::to_owned).collect();
    assert_eq!(invariants, registered);
}
