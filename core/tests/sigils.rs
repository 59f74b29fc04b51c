//! Every sigil in the code stands in `specs/sigils.md`, and the other way round; every one stands
//! in an Alloy model, or has its reason there; every invariant that is registered has a state that
//! is known to break it. Which states those are is what `invariants.rs` runs, and which lines of a
//! model break its checks is what `scripts/specs --mutants` runs, so no list can go stale.
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
use std::path::{Path, PathBuf};

use common::breaks;
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
    for path in files(folder) {
        found.extend(sigils_in(&fs::read_to_string(path).unwrap()));
    }
}

/// Every file in a folder and in those below it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn is_transition(sigil: &str) -> bool {
    sigil.rsplit('-').next().unwrap().starts_with('T')
}

/// The sigils of all models: each stands in the comment right above the `check` that asserts it, or
/// above the `pred` that is the step.
fn in_models() -> BTreeSet<String> {
    let specs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs");
    let is_model = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "als");
    let mut found = BTreeSet::new();
    for path in files(&specs).into_iter().filter(is_model) {
        let text = fs::read_to_string(&path).unwrap();
        let mut above = BTreeSet::new();
        for line in text.lines() {
            if line.starts_with("--") {
                above.extend(sigils_in(line));
                continue;
            }
            let here = sigils_in(line);
            assert!(here.is_empty(), "{path:?}: {here:?} must stand above");
            for sigil in std::mem::take(&mut above) {
                let stands_above = if is_transition(&sigil) {
                    "pred "
                } else {
                    "check "
                };
                assert!(
                    line.starts_with(stands_above),
                    "{path:?}: {sigil} must stand above a {stands_above}"
                );
                found.insert(sigil);
            }
        }
    }
    found
}

/// The entries of one list of `specs/sigils.md`: a sigil and what is said of it.
fn listed(heading: &str) -> Vec<(String, String)> {
    let core = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(core.join("../specs/sigils.md")).unwrap();
    let (_, list) = table.split_once(&format!("\n## {heading}\n")).unwrap();
    let list = list.split("\n## ").next().unwrap();
    let entries = list.split("\n* ").skip(1);
    let entry = |entry: &str| {
        let (sigil, why) = entry.split_once(": ").unwrap();
        assert_eq!(sigils_in(sigil), BTreeSet::from([sigil.to_owned()]));
        (sigil.to_owned(), why.to_owned())
    };
    entries.map(entry).collect()
}

#[test]
fn every_sigil_of_the_code_stands_in_a_model_or_has_a_reason_not_to() {
    let core = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut in_code = BTreeSet::new();
    in_folder(&core.join("src"), &mut in_code);
    let in_models = in_models();
    assert!(in_models.len() > 20, "models are read at all");
    let excused = listed("In no model");
    for (sigil, why) in &excused {
        assert!(!in_models.contains(sigil), "{sigil} is in a model");
        assert!(why.len() > 20, "{sigil}: this is no reason: {why}");
    }
    let excused = excused.into_iter().map(|(sigil, _)| sigil);
    let all: BTreeSet<String> = in_models.iter().cloned().chain(excused).collect();
    assert_eq!(in_code, all);
    for (sigil, _) in listed("Said in part") {
        assert!(in_models.contains(&sigil), "{sigil} is in no model");
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
    let broken: BTreeSet<&str> = breaks::all().map(|broken| broken.sigil).collect();
    assert_eq!(once, broken);
}

#[test]
fn every_invariant_in_the_code_is_registered() {
    let core = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut in_code = BTreeSet::new();
    in_folder(&core.join("src"), &mut in_code);
    let invariants: BTreeSet<String> = in_code.into_iter().filter(|s| !is_transition(s)).collect();
    let registered: BTreeSet<String> = sigils().into_iter().map(str::to_owned).collect();
    assert_eq!(invariants, registered);
}
