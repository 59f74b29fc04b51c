//! Many jobs at once: `silo job enqueue --lines` and `--jobs`, and `silo job import`.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects)]

mod process;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use process::Served;
use serde_json::{Value, json};

#[silo::test]
fn each_line_is_a_payload() {
    let served = Served::new();
    let args = [
        "job",
        "enqueue",
        "--task-group",
        "g",
        "--lines",
        "--priority",
        "3",
    ];
    let said = served.run_on("1\n\n{\"a\": 2}\r\n\"last\"", &args).well();
    let payloads = said.lines().map(|id| served.job(id)["payload"].clone());
    let payloads: Vec<_> = payloads.collect();
    assert_eq!(payloads, [json!(1), json!({"a": 2}), json!("last")]);
    assert_eq!(served.run_on("", &args).well(), "");
}

#[silo::test]
fn a_wrong_line_is_told_and_the_others_are_taken() {
    let served = Served::new();
    let args = [
        "job",
        "enqueue",
        "--task-group",
        "g",
        "--lines",
        "--output",
        "json",
    ];
    let said = served.run_on(b"1\n{\n\"\xff\"\n4\n", &args);
    assert_eq!(said.code, Some(2), "{said:?}");
    let lines: Vec<_> = said.json().iter().map(|it| it["line"].clone()).collect();
    assert_eq!(lines, [1, 4]);
    let errors = said.errors();
    assert_eq!(
        (&errors[0]["line"], &errors[1]["line"]),
        (&json!(2), &json!(3))
    );
    assert_eq!(errors[0]["code"], "silo::input::json");
}

#[silo::test]
fn each_line_is_a_job() {
    let served = Served::new();
    let args = [
        "job",
        "enqueue",
        "--jobs",
        "--priority",
        "3",
        "--metadata",
        "k=v",
        "--limit",
        "all=3",
    ];
    let jobs = [
        json!({"id": "a", "task_group": "g", "payload": {"z": 1, "a": 2}}),
        json!({"id": "b", "task_group": "h", "priority": 9, "start_at_ms": 4_102_538_645_000_i64,
               "retry_policy": {"retry_count": 2}, "metadata": {}, "max_crashes": 1,
               "limits": [{"kind": "concurrency", "key": "own", "max_concurrency": 7}],
               "lease_ms": 5000, "retention": {"failed_ms": 1},
               "request_id": "00112233445566778899aabbccddeeff"}),
    ];
    let lines = jobs.map(|job| job.to_string()).join("\n");
    assert_eq!(served.run_on(&lines, &args).well(), "a\nb");
    let a = served.job("a");
    assert_eq!(
        (&a["priority"], &a["metadata"]),
        (&json!(3), &json!({"k": "v"}))
    );
    let b = served.job("b");
    assert_eq!((&b["priority"], &b["metadata"]), (&json!(9), &json!({})));
    assert_eq!(b["next_attempt_starts_after_ms"], 4_102_538_645_000_i64);
    assert_eq!(b["retry_policy"]["jitter"], "none");
    assert_eq!(
        (&a["limits"][0]["key"], &b["limits"][0]["key"]),
        (&json!("all"), &json!("own"))
    );

    for (line, why) in [
        (r#"{"id": "c"}"#, "it has no task_group"),
        (
            r#"{"task_group": "g", "prioritty": 1}"#,
            "unknown field `prioritty`, expected one of",
        ),
        ("[]", "line 1 of standard input is not a job"),
        (
            r#"{"task_group": "g", "retry_policy": {"retry_count": 1, "jitter": "fll"}}"#,
            "fll",
        ),
    ] {
        let said = served.run_on(line, &["job", "enqueue", "--jobs"]).failed(2);
        assert!(said.contains(why), "{line}: {said}");
    }
    let taken = served.run_on(&lines, &args);
    assert_eq!(taken.code, Some(5), "{taken:?}");
    let taken = taken.err;
    assert!(
        taken.contains("cannot enqueue the job of line 1"),
        "{taken}"
    );
}

#[silo::test]
fn all_or_none_are_taken() {
    let served = Served::new();
    let args = ["job", "enqueue", "--task-group", "g", "--jobs", "--atomic"];
    let said = served
        .run_on("{\"id\": \"a\"}\n{\"id\": \"b\"}", &args)
        .well();
    assert_eq!(said, "a\nb");
    let said = served
        .run_on("{\"id\": \"c\"}\n{\"id\": \"a\"}", &args)
        .failed(5);
    assert!(said.contains("cannot enqueue 2 jobs at once"), "{said}");
    assert!(said.contains("none of the batch was taken"), "{said}");
    assert_eq!(served.run(&["job", "get", "c"]).code, Some(4));
}

#[silo::test]
fn lines_are_taken_as_they_come() {
    let served = Served::new();
    let mut command = served.silo();
    command.args(["job", "enqueue", "--task-group", "g", "--lines"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        writeln!(stdin, "1").unwrap();
        let id = stdout.next().unwrap().unwrap();
        assert_eq!(served.job(&id)["status"], "scheduled");
    }
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[silo::test]
fn more_lines_than_a_call_takes() {
    let served = Served::new();
    let lines: String = (0..2500).map(|number| format!("{number}\n")).collect();
    let args = ["job", "enqueue", "--task-group", "g", "--lines"];
    let said = served.run_on(lines, &args).well();
    assert_eq!(said.lines().count(), 2500);
    let last = served.job(said.lines().last().unwrap());
    assert_eq!(last["payload"], 2499);
    let listed = served.run(&["job", "list", "--ids", "--all"]).well();
    let mut sent: Vec<_> = said.lines().collect();
    sent.sort_unstable();
    assert_eq!(listed.lines().collect::<Vec<_>>(), sent);
}

/// How each attempt of a job ended.
fn history(job: &Value) -> Vec<(Value, Value)> {
    let attempts = job["attempts"].as_array().unwrap().iter();
    let ended = |it: &Value| (it["status"].clone(), it["error_code"].clone());
    attempts.map(ended).collect()
}

#[silo::test]
fn what_one_server_shows_another_imports() {
    let (first, second) = (Served::new(), Served::new());
    first.enqueue("g", "good", &["{\"n\": 1}", "--metadata", "k=v"]);
    first.enqueue("g", "bad", &["--retries", "1", "--retry-initial", "0s"]);
    first.enqueue("h", "new", &["--limit", "k=2"]);
    first.work(
        "g",
        "test $SILO_JOB_ID = good && cat",
        &["--exit-when-empty"],
    );
    let shown = first.run(&["job", "get", "good", "bad", "new", "--output", "json"]);
    let jobs = shown.json();
    assert_eq!(
        jobs[1]["attempts"].as_array().unwrap().len(),
        2,
        "{shown:?}"
    );

    let said = second.run_on(&shown.out, &["job", "import"]).well();
    assert_eq!(said, "good succeeded\nbad failed\nnew scheduled");
    for job in &jobs {
        let imported = second.job(job["id"].as_str().unwrap());
        for name in [
            "status",
            "payload",
            "result",
            "limits",
            "metadata",
            "enqueue_time_ms",
        ] {
            assert_eq!(imported[name], job[name], "{name} of {imported}");
        }
        assert_eq!(history(job), history(&imported));
    }

    let again = second.run_on(&shown.out, &["job", "import", "--output", "json"]);
    assert_eq!(again.code, Some(5), "{again:?}");
    let error = &again.errors()[0];
    assert_eq!(
        (&error["code"], &error["id"]),
        (&json!("silo::import::refused"), &json!("good"))
    );
    assert_eq!(error["line"], 1);
}

#[silo::test]
fn a_job_that_runs_keeps_no_other_from_being_imported() {
    let served = Served::new();
    served.enqueue("g", "running", &["--lease-ms", "3000"]);
    let worker = served.worker("g", "echo up >&2; sleep 1000", &["--kill-grace", "0s"]);
    worker.says("[running] up");
    let line = |id: &str| format!("{{\"id\": \"{id}\", \"task_group\": \"h\"}}\n");
    let lines = ["a", "running", "b"].map(line).concat();
    let said = served.run_on(lines, &["job", "import"]);
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(5), "a scheduled\nb scheduled\n")
    );
    assert!(said.err.contains("silo::call::job_running"), "{said:?}");
    assert!(said.err.contains("cannot import job running"), "{said:?}");
    assert!(said.err.contains("`silo job cancel` stops it"), "{said:?}");
    served.run(&["job", "cancel", "running"]).well();
    assert_eq!(served.run(&["job", "wait", "running"]).code, Some(9));
}

#[silo::test]
fn what_is_no_history_is_not_imported() {
    let served = Served::new();
    for (line, why) in [
        (r#"{"task_group": "g"}"#, "missing field `id`"),
        (
            r#"{"id": "a", "task_group": "g", "x": 1}"#,
            "unknown field `x`",
        ),
        (
            r#"{"id": "a", "task_group": "g",
                "attempts": [{"status": "running", "started_at_ms": 1, "finished_at_ms": 2}]}"#,
            "an attempt must have succeeded, failed or been cancelled",
        ),
    ] {
        let line = line.replace('\n', " ");
        let said = served.run_on(&line, &["job", "import"]).failed(2);
        assert!(said.contains(why), "{line}: {said}");
    }
    let attempts = r#"[{"status": "failed", "started_at_ms": 1, "finished_at_ms": 2,
                       "error_code": "E", "error_data": {"why": 1}}]"#;
    let line = format!(r#"{{"id": "a", "task_group": "g", "attempts": {attempts}}}"#);
    let said = served.run_on(
        line.replace('\n', " "),
        &["job", "import", "--output", "json"],
    );
    assert_eq!(
        said.json(),
        [json!({"line": 1, "id": "a", "status": "failed"})]
    );
    assert_eq!(
        served.job("a")["attempts"][0]["error_data"],
        json!({"why": 1})
    );
}
