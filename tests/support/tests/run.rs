//! How a test is run: what its subscriber reaches, where its trace goes, how it fails.

#![cfg(test)]

extern crate silo_test_support as silo;

use std::fs;
use std::future::Future;
use std::path::Path;
use std::process::{ExitCode, Termination};

use serde_json::Value;
use silo::run::{Flavor, Test};
use silo::settings::{Settings, Traces};
use tempfile::tempdir;
use tracing::{Level, info, info_span};

const MULTI_THREAD: Flavor = Flavor::MultiThread {
    worker_threads: Some(2),
};

#[silo::test]
fn an_error_fails_the_test() {
    let failed = test("info", None).run(|| Err::<(), _>("broken"));
    assert_ne!(format!("{failed:?}"), format!("{:?}", ExitCode::SUCCESS));
    let failed = test("info", None).run_async(MULTI_THREAD, || async { Err::<(), _>("broken") });
    assert_ne!(format!("{failed:?}"), format!("{:?}", ExitCode::SUCCESS));
    let passed = test("info", None).run(|| Ok::<(), &str>(()));
    assert_eq!(format!("{passed:?}"), format!("{:?}", ExitCode::SUCCESS));
}

#[silo::test]
#[should_panic(expected = "RUST_LOG is not a filter")]
fn a_filter_that_cannot_be_read_fails_the_test() {
    test("silo=loud", None).run(|| ());
}

#[silo::test]
#[should_panic(expected = "cannot write the trace")]
fn a_trace_that_cannot_be_written_fails_the_test() {
    test("info", Some(Path::new("/dev/null/trace.json"))).run(|| ());
}

#[silo::test]
fn levels_follow_the_filter() {
    test("warn", None).run(|| {
        assert!(tracing::enabled!(Level::WARN));
        assert!(!tracing::enabled!(Level::INFO));
    });
    test("info,run=debug", None).run(|| {
        assert!(tracing::enabled!(Level::DEBUG));
        assert!(!tracing::enabled!(target: "elsewhere", Level::DEBUG));
    });
}

#[silo::test]
fn a_subscriber_does_not_outlive_its_test() {
    test("info", None).run(|| {
        test("off", None).run(|| assert!(!tracing::enabled!(Level::ERROR)));
        assert!(
            tracing::enabled!(Level::INFO),
            "the outer test's subscriber holds again"
        );
    });
}

#[silo::test]
fn the_subscriber_reaches_every_thread_of_the_runtime() {
    let trace = traced(MULTI_THREAD, || async {
        let task = tokio::spawn(async { info_span!("in_a_task").in_scope(|| info!("task")) });
        task.await.unwrap();
        let blocking = || info_span!("in_a_blocking_thread").in_scope(|| info!("blocking"));
        tokio::task::spawn_blocking(blocking).await.unwrap();
    });
    assert_eq!(names(&trace, "B"), ["in_a_task", "in_a_blocking_thread"]);

    let paused = Flavor::CurrentThread { start_paused: true };
    let trace = traced(paused, || async {
        tokio::spawn(async { info_span!("in_a_task").in_scope(|| ()) })
            .await
            .unwrap();
        let blocking = || info_span!("in_a_blocking_thread").in_scope(|| ());
        tokio::task::spawn_blocking(blocking).await.unwrap();
    });
    assert_eq!(names(&trace, "B"), ["in_a_task", "in_a_blocking_thread"]);
}

#[silo::test]
fn a_trace_has_spans_with_their_fields_on_named_threads() {
    let trace = traced(MULTI_THREAD, || async {
        let span = info_span!("outer", job = "j-1");
        let _entered = span.enter();
        info_span!("inner").in_scope(|| info!(attempt = 2, "leased"));
    });
    assert_eq!(names(&trace, "B"), ["outer", "inner"]);
    assert_eq!(names(&trace, "E"), ["inner", "outer"]);
    assert_eq!(names(&trace, "M").len(), 1, "all on the test's thread");
    let outer = trace.iter().find(|entry| entry["name"] == "outer").unwrap();
    assert_eq!(outer["args"]["job"], "\"j-1\"");
    for entry in trace.iter().filter(|entry| entry["ph"] != "M") {
        assert!(entry["ts"].is_f64() && entry["tid"].is_u64(), "{entry}");
    }
}

#[silo::test]
fn a_test_that_panics_still_leaves_a_whole_trace() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("trace.json");
    let panicking = test("info", Some(&file));
    let outcome = std::panic::catch_unwind(|| {
        panicking.run_async::<(), _>(MULTI_THREAD, || async {
            let _entered = info_span!("broken_off").entered();
            panic!("as it should")
        })
    });
    assert_eq!(outcome.unwrap_err().downcast_ref(), Some(&"as it should"));
    assert_eq!(names(&read(&file), "E"), ["broken_off"]);
}

#[silo::test]
fn traces_of_several_tests_do_not_mix() {
    let folder = tempdir().unwrap();
    let settings = Settings {
        filter: "info".to_owned(),
        traces: Some(Traces::Folder(folder.path().join("made/here"))),
    };
    for function in ["first", "second"] {
        Test::new("silo-core", "shard", function)
            .with_settings(settings.clone())
            .run_async(MULTI_THREAD, || async {
                info_span!("here").in_scope(|| ());
                let span = info_span!("there");
                tokio::spawn(async move { span.in_scope(|| ()) })
                    .await
                    .unwrap();
            });
    }
    for function in ["first", "second"] {
        let file = folder
            .path()
            .join(format!("made/here/silo-core.shard.{function}.json"));
        let trace = read(&file);
        assert_eq!(names(&trace, "B"), ["here", "there"]);
        let mut threads: Vec<_> = entries(&trace, "B").map(|entry| &entry["tid"]).collect();
        threads.dedup();
        assert_eq!(threads.len(), 2, "each thread has a track of its own");
    }
}

#[silo::test]
fn a_name_is_unique_in_the_workspace() {
    assert_eq!(
        silo::run::name("silo-core", "silo_core::key", "f"),
        "silo_core::key::f"
    );
    assert_eq!(
        silo::run::name("silo-core", "purity", "f"),
        "silo-core::purity::f"
    );
}

/// The trace of a test that must pass.
fn traced<T, F>(flavor: Flavor, body: fn() -> F) -> Vec<Value>
where
    T: Termination,
    F: Future<Output = T>,
{
    let folder = tempdir().unwrap();
    let file = folder.path().join("trace.json");
    let passed = test("info", Some(&file)).run_async(flavor, body);
    assert_eq!(format!("{passed:?}"), format!("{:?}", ExitCode::SUCCESS));
    read(&file)
}

fn test(filter: &str, trace: Option<&Path>) -> Test {
    let traces = trace.map(|file| Traces::File(file.to_owned()));
    Test::new("silo-test-support", "run", "inner").with_settings(Settings {
        filter: filter.to_owned(),
        traces,
    })
}

fn read(file: &Path) -> Vec<Value> {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// The names of the entries of this phase: `B` begins a span, `E` ends it, `M` names a thread.
fn names<'a>(trace: &'a [Value], phase: &'a str) -> Vec<&'a str> {
    entries(trace, phase)
        .map(|entry| entry["name"].as_str().unwrap())
        .collect()
}

fn entries<'a>(trace: &'a [Value], phase: &'a str) -> impl Iterator<Item = &'a Value> {
    trace.iter().filter(move |entry| entry["ph"] == phase)
}
