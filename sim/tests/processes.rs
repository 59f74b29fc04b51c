//! What the binary promises: the same in every process, and red when something is wrong.

#![cfg(test)]

use std::process::{Command, Output};

fn silo_sim(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_silo-sim"));
    command.args(arguments).output().unwrap()
}

/// The part of a summary that says what the worlds were.
fn hash(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let (_, rest) = text.split_once("hash ").expect("a summary with a hash");
    rest.split_whitespace().next().unwrap().to_owned()
}

#[silo::test]
fn two_processes_make_the_same_worlds() {
    let arguments = ["run", "--seeds", "1..15", "--jobs", "2"];
    let (first, second) = (silo_sim(&arguments), silo_sim(&arguments));
    assert!(first.status.success(), "{first:?}");
    assert_eq!(hash(&first), hash(&second));
    let other = silo_sim(&["run", "--seeds", "2..16"]);
    assert_ne!(hash(&first), hash(&other));
}

#[silo::test]
fn the_canary_turns_the_alarm_red() {
    let output = silo_sim(&["canary"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("WRONG"));
}

#[silo::test]
fn a_replay_shows_what_happens_and_writes_a_trace_and_a_plan() {
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("plan.json");
    let trace = folder.path().join("trace.json");
    let (plan, trace) = (plan.to_str().unwrap(), trace.to_str().unwrap());
    let output = silo_sim(&["replay", "3", "--plan", plan, "--perfetto", trace]);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("nothing wrong"));
    let events: serde_json::Value = serde_json::from_slice(&std::fs::read(trace).unwrap()).unwrap();
    assert!(
        events["traceEvents"]
            .as_array()
            .is_some_and(|events| events.len() > 10)
    );
    let again = silo_sim(&["replay", plan]);
    assert_eq!(hash(&output), hash(&again));
}
