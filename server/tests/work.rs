//! `silo work`: what a command is given, what its end says about its job, and how it is stopped.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects)]

mod process;

use process::Served;
use process::shell::{Ran, json_lines, read_to_end};
use serde_json::{Value, json};

/// What the one attempt of a job ended with.
fn attempt(served: &Served, id: &str) -> Value {
    served.job(id)["attempts"][0].clone()
}

#[silo::test]
fn a_command_is_told_what_its_job_is() {
    let served = Served::new();
    served.enqueue(
        "g",
        "a job",
        &[
            "{\"n\": 1}",
            "--priority",
            "4",
            "--metadata",
            "k=ü",
            "--metadata",
            "traceparent=00-a-b-01",
        ],
    );
    let exec = r#"read payload; test "$payload" = '{"n":1}'; echo "{\"failed\": $?}"; env >&2"#;
    let ran = served.work("g", exec, &["--once", "--worker-id", "me"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""), "{ran:?}");
    assert!(
        ran.err.contains(" me takes jobs of g, 1 at once"),
        "{ran:?}"
    );
    assert!(
        ran.err.contains(" job a job attempt 1 succeeded after "),
        "{ran:?}"
    );
    assert!(ran.err.contains(" done: 1 succeeded"), "{ran:?}");
    assert_eq!(
        served.run(&["job", "result", "a job"]).well(),
        "{\"failed\":0}"
    );

    let task = attempt(&served, "a job")["task_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let shards = served.run(&["shard", "list", "--output", "json"]).json();
    for line in [
        "SILO_JOB_ID=a job",
        &format!("SILO_TASK_ID={task}"),
        "SILO_ATTEMPT=1",
        "SILO_IS_LAST_ATTEMPT=true",
        "SILO_TASK_GROUP=g",
        "SILO_PRIORITY=4",
        "SILO_METADATA={\"k\":\"ü\",\"traceparent\":\"00-a-b-01\"}",
        "TRACEPARENT=00-a-b-01",
        &format!("SILO_SHARD={}", shards[0]["shard"].as_str().unwrap()),
        &format!("SILO_SERVER={}", served.site.addr),
    ] {
        let line = format!("[a job] {line}");
        assert!(
            ran.err.lines().any(|it| it == line),
            "{line} in:\n{}",
            ran.err
        );
    }
    assert!(!ran.err.contains("SILO_TENANT"), "{}", ran.err);
}

#[silo::test]
fn with_tenants_a_command_is_told_whose_job_it_has() {
    let served = Served::with("[tenancy]\nenabled = true");
    let args = [
        "job",
        "enqueue",
        "--task-group",
        "g",
        "--id",
        "x",
        "--tenant",
        "acme",
    ];
    assert_eq!(served.run(&args).well(), "x");
    let exec = "silo job get $SILO_JOB_ID --output json --no-attempts; echo >&2 $SILO_TENANT";
    let mut command = served.silo();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_silo"));
    let path = std::env::var("PATH").unwrap();
    command.env(
        "PATH",
        format!("{}:{path}", program.parent().unwrap().display()),
    );
    command.args([
        "work",
        "--task-group",
        "g",
        "--once",
        "--output",
        "json",
        "--exec",
        exec,
    ]);
    let ran = process::shell::end_of(command, b"");
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (Some(0), "[x] acme\n"),
        "{ran:?}"
    );
    assert_eq!(ran.json()[0]["tenant"], "acme");
    let result = served
        .run(&["job", "result", "x", "--tenant", "acme"])
        .well();
    let shown: Value = serde_json::from_str(&result).unwrap();
    assert_eq!(
        (&shown["id"], &shown["status"]),
        (&json!("x"), &json!("running"))
    );

    let said = served.run(&["job", "get", "x"]).failed(5);
    assert!(said.contains("tenant is absent"), "{said}");
}

#[silo::test]
fn what_a_command_prints_is_the_result() {
    let served = Served::new();
    for (id, exec, result) in [
        ("json", "echo ' [1, 2] '", json!([1, 2])),
        ("text", "printf 'two\\nlines\\n'", json!("two\nlines")),
        ("nothing", "cat >/dev/null", Value::Null),
        ("number", "echo 007", json!("007")),
        ("bytes", "printf '\\377'", json!({"$base64": "/w=="})),
        // It need not read its payload, nor close what it was given.
        ("background", "sleep 1000 & echo 1", json!(1)),
        // Beyond its process group.
        ("daemon", "setsid sleep 5 & echo 2", json!(2)),
    ] {
        served.enqueue(id, id, &["[1]"]);
        let ran = served.work(id, exec, &["--once"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let told = served
            .run(&["job", "result", id, "--output", "json"])
            .json();
        assert_eq!(told[0]["result"], result, "{id}");
    }
}

#[silo::test]
fn an_exit_code_says_what_follows() {
    let served = Served::new();
    let retries = ["--retries", "5", "--retry-initial", "1h"];
    let cases = [
        // Exit code, status, code of the attempt, what is said.
        (
            "exit 3",
            "scheduled",
            json!("EXIT_3"),
            "failed with EXIT_3, to be retried after",
        ),
        (
            "exit 65",
            "failed",
            json!("EXIT_65"),
            "failed with EXIT_65, for good after",
        ),
        (
            "exit 75",
            "scheduled",
            Value::Null,
            "comes back later after",
        ),
        (
            "kill -9 $$",
            "scheduled",
            json!("SIGNAL_KILL"),
            "failed with SIGNAL_KILL",
        ),
        (
            "kill -s SEGV $$",
            "scheduled",
            json!("SIGNAL_SEGV"),
            "failed with SIGNAL_SEGV",
        ),
        (
            "no-such-command",
            "scheduled",
            json!("EXIT_127"),
            "failed with EXIT_127",
        ),
        (
            "echo 12345",
            "scheduled",
            json!("RESULT_TOO_LARGE"),
            "failed with RESULT_TOO_LARGE",
        ),
        (
            "sleep 1000",
            "scheduled",
            json!("TIMEOUT"),
            "failed with TIMEOUT",
        ),
    ];
    for (number, (exec, status, code, said)) in cases.into_iter().enumerate() {
        let id = &format!("job-{number}");
        served.enqueue(id, id, &retries);
        let exec = format!("echo complaint >&2; {exec}");
        let more = [
            "--exit-when-empty",
            "--result-bytes-max",
            "5",
            "--timeout",
            "5s",
            "--snooze",
            "1h",
        ];
        let ran = served.work(id, &exec, &more);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.err.contains(said), "{said} in:\n{}", ran.err);
        assert!(ran.err.contains(&format!("[{id}] complaint\n")), "{ran:?}");
        let job = served.job(id);
        assert_eq!(job["status"], status, "{exec}: {job}");
        if code == Value::Null {
            let starts = job["next_attempt_starts_after_ms"].as_i64().unwrap();
            assert!(
                starts > job["enqueue_time_ms"].as_i64().unwrap() + 3_000_000,
                "{job}"
            );
            assert_eq!(job["retries_used"], 0);
        } else {
            assert_eq!(job["attempts"][0]["error_code"], code, "{job}");
            let complaint = job["attempts"][0]["error_data"]["stderr"].as_str().unwrap();
            assert!(complaint.starts_with("complaint"), "{job}");
        }
    }
}

#[silo::test]
fn each_run_is_a_line_of_json() {
    let served = Served::new();
    served.enqueue("g", "a", &["--priority", "1"]);
    served.enqueue("g", "b", &["--priority", "2", "--retries", "1"]);
    let exec = "test $SILO_JOB_ID = a || exit 9";
    let ran = served.work("g", exec, &["--max-jobs", "2", "--output", "json"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
    let runs = ran.json();
    let expected = |id: &str, outcome: &str, code: Value, is_retryable: bool, run: &Value| {
        json!({
            "job_id": id, "task_id": run["task_id"], "tenant": null, "attempt_number": 1,
            "outcome": outcome, "error_code": code, "snooze_ms": null,
            "is_retryable": is_retryable, "duration_ms": run["duration_ms"],
        })
    };
    assert_eq!(
        runs[0],
        expected("a", "succeeded", Value::Null, false, &runs[0])
    );
    assert_eq!(
        runs[1],
        expected("b", "failed", json!("EXIT_9"), true, &runs[1])
    );
    assert_eq!(runs.len(), 2);
}

#[silo::test]
fn it_ends_after_so_many_jobs_or_when_there_are_none() {
    let served = Served::new();
    let done = |ran: Ran| {
        assert_eq!(ran.code, Some(0), "{ran:?}");
        json_lines(&ran.out).len()
    };
    assert_eq!(
        done(served.work("g", "cat", &["--exit-when-empty", "--output", "json"])),
        0
    );
    for id in ["a", "b", "c", "d"] {
        served.enqueue("g", id, &[]);
    }
    let many = ["--max-jobs", "2", "--concurrency", "7", "--output", "json"];
    assert_eq!(done(served.work("g", "cat", &many)), 2);
    let left = served
        .run(&["job", "list", "--status", "scheduled", "--ids"])
        .well();
    assert_eq!(left.lines().count(), 2);
    assert_eq!(
        done(served.work("g", "cat", &["--exit-when-empty", "--output", "json"])),
        2
    );
    let said = served
        .work("g", "cat", &["--once", "--max-jobs", "1"])
        .failed(2);
    assert!(said.contains("cannot be used with"), "{said}");
}

#[silo::test]
fn jobs_run_at_once() {
    let served = Served::new();
    let pipe = served.pipe("pipe");
    served.enqueue("g", "reader", &["--priority", "1"]);
    served.enqueue("g", "writer", &["--priority", "2"]);
    // Each waits for the other.
    let exec = format!(
        "test $SILO_JOB_ID = reader && cat {0:?} || echo 5 > {0:?}",
        pipe
    );
    let ran = served.work("g", &exec, &["--exit-when-empty", "--concurrency", "2"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(served.run(&["job", "result", "reader"]).well(), "5");
}

/// A command whose child does not hear SIGTERM and has the pipe open for writing.
fn stubborn(pipe: &std::path::Path) -> String {
    format!("(trap '' TERM; exec 3> {pipe:?}; echo up >&2; sleep 1000) & wait")
}

#[silo::test]
fn a_cancel_kills_the_whole_process_group() {
    let served = Served::new();
    let pipe = served.pipe("pipe");
    served.enqueue("g", "a", &["--lease-ms", "3000"]);
    let worker = served.worker("g", &stubborn(&pipe), &["--kill-grace", "200ms", "--once"]);
    let reading = std::thread::spawn(move || read_to_end(&pipe));
    worker.says("[a] up");
    served.run(&["job", "cancel", "a"]).well();
    assert_eq!(reading.join().unwrap(), "");
    worker.says("job a attempt 1 was cancelled after");
    assert_eq!(served.run(&["job", "wait", "a"]).code, Some(9));
    assert!(worker.ended().success());
}

#[silo::test]
fn a_command_may_finish_although_it_was_cancelled() {
    let served = Served::new();
    served.enqueue("g", "a", &[]);
    let exec = "trap 'echo 1; exit 0' TERM; echo up >&2; while :; do sleep 0.1; done";
    let worker = served.worker("g", exec, &["--lease-ms", "3000", "--once"]);
    worker.says("[a] up");
    served.run(&["job", "cancel", "a"]).well();
    worker.says("job a attempt 1 succeeded after");
    assert_eq!(served.run(&["job", "wait", "a"]).well(), "1");
}

#[silo::test]
fn what_a_command_leaves_in_its_group_is_killed() {
    let served = Served::new();
    let pipe = served.pipe("pipe");
    served.enqueue("g", "a", &[]);
    let ready = served.pipe("ready");
    let child = format!("(exec 3> {pipe:?}; echo > {ready:?}; sleep 1000) > /dev/null 2>&1 &");
    let exec = format!("{child} read up < {ready:?}; echo 1");
    let reading = std::thread::spawn(move || read_to_end(&pipe));
    let ran = served.work("g", &exec, &["--once"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(reading.join().unwrap(), "");
}

#[silo::test]
fn a_lost_lease_kills_at_once() {
    let served = Served::new();
    let pipe = served.pipe("pipe");
    served.enqueue("g", "a", &["--lease-ms", "1000"]);
    let worker = served.worker("g", &stubborn(&pipe), &["--kill-grace", "1h"]);
    let reading = std::thread::spawn(move || read_to_end(&pipe));
    worker.says("[a] up");
    served.server.kill_nine();
    assert_eq!(reading.join().unwrap(), "");
    worker.says("job a attempt 1 lost its lease after");
}

#[silo::test]
fn a_signal_lets_commands_end() {
    let served = Served::new();
    for signal in ["TERM", "INT"] {
        let pipe = served.pipe(signal);
        served.enqueue("g", signal, &[]);
        let worker = served.worker("g", &format!("echo up >&2; cat {pipe:?}"), &[]);
        worker.says(&format!("[{signal}] up"));
        worker.signal(&format!("-{signal}"));
        worker.says(&format!("SIG{signal}: running commands may end"));
        std::fs::write(&pipe, "7").unwrap();
        worker.says(&format!("job {signal} attempt 1 succeeded after"));
        worker.says("done: 1 succeeded, 0 did not");
        assert!(worker.ended().success());
        assert_eq!(served.run(&["job", "result", signal]).well(), "7");
    }
}

#[silo::test]
fn a_second_signal_gives_jobs_back() {
    let served = Served::new();
    let pipe = served.pipe("pipe");
    served.enqueue("g", "a", &[]);
    let worker = served.worker("g", &stubborn(&pipe), &["--kill-grace", "100ms"]);
    let reading = std::thread::spawn(move || read_to_end(&pipe));
    worker.says("[a] up");
    worker.signal("-TERM");
    worker.says("running commands may end");
    worker.signal("-TERM");
    worker.says("giving their jobs back");
    assert_eq!(reading.join().unwrap(), "");
    worker.says("job a attempt 1 was given back after");
    assert!(worker.ended().success());
    let job = served.job("a");
    assert_eq!(
        (&job["status"], &job["crashes"]),
        (&json!("scheduled"), &json!(0))
    );
}

#[silo::test]
fn a_drain_does_not_last_for_ever() {
    let served = Served::new();
    served.enqueue("g", "a", &[]);
    let more = ["--drain-timeout", "100ms", "--output", "json"];
    let worker = served.worker("g", "echo up >&2; sleep 1000", &more);
    worker.says("[a] up");
    worker.signal("-TERM");
    worker.says("\"outcome\":\"released\"");
    assert!(worker.ended().success());
    assert_eq!(served.job("a")["status"], "scheduled");
}

#[silo::test]
fn a_payload_and_a_result_may_be_as_large_as_the_server_takes() {
    let served = Served::new();
    let file = |name: &str, length: usize| {
        let path = served.site.folder().join(name);
        std::fs::write(&path, format!("\"{}\"", "x".repeat(length))).unwrap();
        path.to_str().unwrap().to_owned()
    };
    // Five bytes say how long a MessagePack string is.
    let length = (16 << 20) - 5;
    let (fits, beyond) = (file("fits", length), file("beyond", length + 1));
    served.enqueue("g", "a", &["--file", &fits]);
    let ran = served.work("g", "cat", &["--once", "--result-bytes-max", "20000000"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let result = served.run(&["job", "result", "a"]).well();
    assert!(
        result == std::fs::read_to_string(fits).unwrap(),
        "{} bytes",
        result.len()
    );
    let args = ["job", "enqueue", "--task-group", "g", "--file", &beyond];
    let said = served.run(&args).failed(5);
    assert!(said.contains("silo::call::invalid_field"), "{said}");
    assert!(said.contains("payload is 16777217 bytes long"), "{said}");
}
