//! The pages that name tests name tests that are there, and leave no reason out.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join("docs/reference").join(name)).expect("a page")
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Every `file.rs::test` of a page that does not name a test of that file.
fn missing(text: &str) -> (usize, Vec<String>) {
    let mut count = 0;
    let mut missing = Vec::new();
    for name in quoted(text) {
        let Some((file, test)) = name.split_once("::") else {
            continue;
        };
        count += 1;
        let source = fs::read_to_string(root().join(file)).unwrap_or_default();
        let lines: Vec<&str> = source.lines().map(str::trim).collect();
        let is_named = |line: &str| {
            let line = line.strip_prefix("async ").unwrap_or(line);
            line.strip_prefix("fn ")
                .and_then(|rest| rest.strip_prefix(test))
                .is_some_and(|rest| rest.starts_with('('))
        };
        let at = lines.iter().position(|line| is_named(line));
        let is_test = at.is_some_and(|at| {
            let before = lines[..at].iter().rev();
            let mut attributes = before.take_while(|line| line.starts_with("#["));
            attributes.any(|line| line.contains("test"))
        });
        // Property tests stand in a macro, without an attribute on the line before.
        let may_be_property = at.is_some() && source.contains("proptest!");
        if !is_test && !may_be_property {
            missing.push(name.to_owned());
        }
    }
    (count, missing)
}

#[test]
fn transitions_are_shown_by_tests_that_exist() {
    let (count, missing) = missing(&page("jobs.md"));
    assert!(count > 25, "{count} tests are named");
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn refusals_are_shown_by_tests_that_exist() {
    let (count, missing) = missing(&page("refusals.md"));
    assert!(count > 40, "{count} tests are named");
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn every_reason_of_the_server_has_a_line() {
    let text = page("refusals.md");
    let lines: BTreeSet<&str> = text
        .lines()
        .filter(|line| line.starts_with("| `"))
        .filter_map(|line| quoted(line).next())
        .collect();
    let mut reasons = BTreeSet::new();
    for file in ["core/src/shard/refusal.rs", "runtime/src/service/status.rs"] {
        let source = fs::read_to_string(root().join(file)).expect("a source");
        let words = source.split('"').skip(1).step_by(2);
        let is_reason = |word: &&str| {
            word.len() > 2 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_')
        };
        reasons.extend(words.filter(is_reason).map(str::to_owned));
    }
    assert!(reasons.len() > 40, "reasons are found at all: {reasons:?}");
    let named: BTreeSet<String> = lines.into_iter().map(str::to_owned).collect();
    assert_eq!(reasons, named);
}

#[test]
fn a_test_that_is_not_there_is_noticed() {
    let (count, missing) = missing("`tests/tests/reference.rs::no_such_test` and `x`");
    assert_eq!((count, missing.len()), (1, 1));
}

#[test]
fn every_call_and_field_of_our_own_has_a_line() {
    let page = page("extensions.md");
    let named: BTreeSet<&str> = quoted(&page).collect();
    let contract = root().join("runtime/tests/wire_contract/contract.txt");
    let contract = fs::read_to_string(contract).expect("the contract");
    let (_, ours) = contract.split_once("# Our extensions.").expect("ours");
    let mut count = 0;
    for line in ours.lines() {
        let (name, rest) = line.split_once(": ").unwrap_or_default();
        if let Some(call) = name.strip_prefix("call ") {
            count += 1;
            assert!(named.contains(call), "{call} has no line");
        } else if let Some(message) = name.strip_prefix("extend ") {
            for field in rest.split("; ") {
                let field = field.split([' ', ':']).nth(1).unwrap_or_default();
                count += 1;
                let field = format!("{message}.{field}");
                assert!(named.contains(field.as_str()), "{field} has no line");
            }
        }
    }
    assert!(count >= 22, "{count} calls and fields");
    let tests = named.iter().filter(|name| name.starts_with("tests/tests/"));
    for test in tests.clone() {
        assert!(root().join(test).exists(), "{test} is not there");
    }
    assert!(tests.count() >= 5);
}
