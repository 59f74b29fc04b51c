//! `silo job`: what each command says, for people and for programs, and how it ends.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects)]

mod process;

use process::Served;
use serde_json::{Value, json};

#[silo::test]
fn a_job_is_shown_as_it_was_enqueued() {
    let served = Served::new();
    let enqueued = served.run(&[
        "job",
        "enqueue",
        "--task-group",
        "mail",
        "--id",
        "one",
        "--priority",
        "7",
        "--metadata",
        "to=ada",
        "--metadata",
        "re=a=b",
        "--limit",
        "mail=2",
        "--limit",
        "a=b=0",
        "--retries",
        "3",
        "--retry-initial",
        "2s",
        "--retry-max",
        "1m",
        "--retry-factor",
        "1.5",
        "--retry-jitter",
        "equal",
        "--max-crashes",
        "2",
        "--lease-ms",
        "4000",
        "--delay",
        "1h",
        r#"{"z": [1, -2, 1.5, null, true], "a": {"ü": "\u0007"}}"#,
    ]);
    assert_eq!(enqueued.well(), "one");

    let text = served.run(&["job", "get", "one"]).well();
    for line in [
        "id          one",
        "task group  mail",
        "status      scheduled",
        "priority    7",
        "retries     0 of 3 used",
        "limits      mail=2 a=b=0",
        "metadata    re=a=b to=ada",
        r#"payload     {"z":[1,-2,1.5,null,true],"a":{"ü":"\u0007"}}"#,
    ] {
        assert!(text.lines().any(|it| it == line), "{line:?} in:\n{text}");
    }

    let job = served.job("one");
    let began = job["enqueue_time_ms"].as_i64().unwrap();
    let starts = job["next_attempt_starts_after_ms"].as_i64().unwrap();
    assert!((starts - began - 3_600_000).abs() < 60_000, "{job}");
    let expected = json!({
        "id": "one", "task_group": "mail", "status": "scheduled", "priority": 7,
        "enqueue_time_ms": began, "status_changed_at_ms": job["status_changed_at_ms"],
        "next_attempt_starts_after_ms": starts, "retries_used": 0, "crashes": 0, "end_code": null,
        "retry_policy": {
            "retry_count": 3, "initial_interval_ms": 2000, "max_interval_ms": 60_000,
            "backoff_factor": 1.5, "jitter": "equal",
        },
        "limits": [
            {"kind": "concurrency", "key": "mail", "max_concurrency": 2},
            {"kind": "concurrency", "key": "a=b", "max_concurrency": 0},
        ],
        "metadata": {"to": "ada", "re": "a=b"},
        "payload": {"z": [1, -2, 1.5, null, true], "a": {"ü": "\u{7}"}},
        "result": null, "attempts": [],
    });
    assert_eq!(job, expected);

    let bare = served.run(&["job", "get", "one", "--no-attempts", "--output=json"]);
    assert_eq!(bare.json()[0]["attempts"], Value::Null);
}

#[silo::test]
fn a_payload_comes_from_where_it_is_said_to() {
    let served = Served::new();
    let file = |name: &str, bytes: &[u8]| {
        let path = served.site.folder().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let json_file = file("payload.json", b" [1,2]\n");
    // A map {nil: bytes}, an extension, and no MessagePack: bytes without their length.
    let map = file("map", &[0x81, 0xc0, 0xc4, 2, 1, 2]);
    let extension = file("extension", &[0xd4, 5, 255]);
    let other = file("other", &[0xc4]);
    let sent: [(&str, &[&str], &str, Value); 9] = [
        ("argument", &["-12"], "", json!(-12)),
        ("none", &[], "", Value::Null),
        ("input", &["-"], "\"text\"\n", json!("text")),
        ("file", &["--file", &json_file], "", json!([1, 2])),
        ("input file", &["--file", "-"], "{}", json!({})),
        (
            "map",
            &["--msgpack", &map],
            "",
            json!({"null": {"$base64": "AQI="}}),
        ),
        (
            "extension",
            &["--msgpack", &extension],
            "",
            json!({"$ext": 5, "$base64": "/w=="}),
        ),
        (
            "other",
            &["--msgpack", &other],
            "",
            json!({"$not_msgpack": "xA=="}),
        ),
        ("input bytes", &["--msgpack", "-"], "\u{7}", json!(7)),
    ];
    for (id, args, stdin, payload) in sent {
        let enqueue = ["job", "enqueue", "--task-group", "g", "--id", id];
        served.run_on(stdin, &[&enqueue[..], args].concat()).well();
        assert_eq!(served.job(id)["payload"], payload, "{id}");
    }

    let wrong = |args: &[&str], stdin: &[u8]| {
        let enqueue = ["job", "enqueue", "--task-group", "g"];
        served
            .run_on(stdin, &[&enqueue[..], args].concat())
            .failed(2)
    };
    assert!(wrong(&["{"], b"").contains("the payload is not JSON: EOF"));
    assert!(wrong(&["-"], b"\"\xff\"").contains("standard input is not JSON: invalid unicode"));
    assert!(wrong(&["1 2"], b"").contains("trailing characters"));
    assert!(wrong(&["--file", "no-such"], b"").contains("cannot read no-such"));
    assert!(wrong(&["1", "--file", "x"], b"").contains("cannot be used with"));
}

#[silo::test]
fn an_enqueue_may_be_repeated_and_an_id_is_taken_once() {
    let served = Served::new();
    let wish = "00112233-4455-6677-8899-aabbccddeeff";
    let enqueue = |request: &str| {
        let args = [
            "job",
            "enqueue",
            "--task-group",
            "g",
            "--request-id",
            request,
            "1",
        ];
        served.run(&args).well()
    };
    let id = enqueue(wish);
    assert_eq!(enqueue(&wish.replace('-', "")), id);

    served.enqueue("g", "mine", &[]);
    let again = ["job", "enqueue", "--task-group", "g", "--id", "mine", "2"];
    let said = served.run(&again).failed(5);
    assert!(said.contains("silo::call::job_exists"), "{said}");
    assert!(said.contains("choose another --id"), "{said}");
}

#[silo::test]
fn a_job_starts_when_it_is_said_to() {
    let served = Served::new();
    for (id, at) in [
        ("rfc", "2100-01-02T03:04:05+01:00"),
        ("ms", "4102538645000"),
    ] {
        served.enqueue("g", id, &["--start-at", at]);
        let starts = served.job(id)["next_attempt_starts_after_ms"].clone();
        assert_eq!(starts, json!(4_102_538_645_000_i64), "{id}");
    }
    let args = [
        "job",
        "enqueue",
        "--task-group",
        "g",
        "--start-at",
        "tomorrow",
    ];
    assert!(served.run(&args).failed(2).contains("neither RFC 3339"));
    let args = [
        "job",
        "enqueue",
        "--task-group",
        "g",
        "--delay",
        "1h",
        "--start-at",
        "1",
    ];
    assert!(served.run(&args).failed(2).contains("cannot be used with"));

    assert_eq!(
        served.run(&["job", "expedite", "rfc"]).well(),
        "expedited rfc"
    );
    let said = served.run(&["job", "expedite", "rfc"]).failed(5);
    assert!(said.contains("silo::call::job_ready"), "{said}");
}

#[silo::test]
fn an_end_is_shown_and_is_the_exit_code() {
    let served = Served::new();
    served.enqueue("g", "a", &["{\"n\": 1}"]);
    served.enqueue("g", "b", &[]);
    served.enqueue("g", "c", &["--priority", "99"]);
    let early = served.run(&["job", "result", "a"]).failed(5);
    assert!(
        early.contains("`silo job wait` waits for its end"),
        "{early}"
    );
    served.work("g", "test $SILO_JOB_ID = a && cat", &["--max-jobs", "2"]);
    assert_eq!(served.run(&["job", "cancel", "c"]).well(), "cancelled c");

    for verb in ["result", "wait"] {
        assert_eq!(served.run(&["job", verb, "a"]).well(), "{\"n\":1}");
        let failed = served.run(&["job", verb, "b"]).failed(8);
        assert!(failed.contains("job b failed with code EXIT_1"), "{failed}");
        assert!(failed.contains("the command ended with 1"), "{failed}");
        let cancelled = served.run(&["job", verb, "c"]).failed(9);
        assert!(cancelled.contains("job c was cancelled"), "{cancelled}");

        let all = served.run(&["job", verb, "a", "b", "c", "--output", "json"]);
        assert_eq!((all.code, all.err.as_str()), (Some(8), ""), "{all:?}");
        let all = all.json();
        let data = json!({"message": "the command ended with 1", "stderr": ""});
        for (at, end) in [
            json!({"id": "a", "status": "succeeded", "result": {"n": 1}, "error_code": null,
                   "error_data": null}),
            json!({"id": "b", "status": "failed", "result": null, "error_code": "EXIT_1",
                   "error_data": data}),
            json!({"id": "c", "status": "cancelled", "result": null, "error_code": null,
                   "error_data": null}),
        ]
        .into_iter()
        .enumerate()
        {
            let mut told = all[at].clone();
            let finished = told.as_object_mut().unwrap().remove("finished_at_ms");
            assert!(finished.unwrap().as_i64().unwrap() > 0);
            assert_eq!(told, end);
        }
    }

    let text = served.run(&["job", "get", "b"]).well();
    assert!(text.contains("ATTEMPT  STATUS  STARTED"), "{text}");
    let attempt = &served.job("b")["attempts"][0];
    assert_eq!(attempt["attempt_number"], 1);
    assert_eq!(attempt["error_code"], "EXIT_1");
}

#[silo::test]
fn a_wait_ends_in_time_and_with_the_job() {
    let served = Served::new();
    served.enqueue("g", "slow", &[]);
    let late = served
        .run(&["job", "wait", "slow", "--timeout", "10ms"])
        .failed(11);
    assert!(
        late.contains("job slow has not ended yet: it is scheduled"),
        "{late}"
    );

    let waiting = std::thread::scope(|scope| {
        let waiting =
            scope.spawn(|| served.run(&["job", "enqueue", "--task-group", "h", "--wait", "[3]"]));
        let worked = served.work("h", "cat", &["--once"]);
        assert_eq!(worked.code, Some(0), "{worked:?}");
        waiting.join().unwrap()
    });
    assert_eq!(waiting.well(), "[3]");
}

#[silo::test]
fn what_is_asked_of_several_jobs_is_done_for_each_that_can_be() {
    let served = Served::new();
    for id in ["a", "b", "c"] {
        served.enqueue("g", id, &[]);
    }
    let said = served.run_on(
        "b\n\n",
        &["job", "cancel", "a", "no", "-", "--output", "json"],
    );
    assert_eq!(said.code, Some(4), "{said:?}");
    let done = |id: &str| json!({"id": id, "done": "cancelled"});
    assert_eq!(said.json(), [done("a"), done("b")]);
    let [error] = &said.errors()[..] else {
        panic!("{said:?}");
    };
    assert_eq!(error["code"], "silo::call::job_not_found");
    assert_eq!(error["reason"], "JOB_NOT_FOUND");
    assert_eq!(error["message"], "cannot cancel job no");
    assert_eq!(
        error["causes"][0],
        "job not found (NotFound, JOB_NOT_FOUND)"
    );
    assert!(error["help"].as_str().unwrap().contains("silo job list"));
    assert_eq!(
        (&error["exit_code"], &error["id"]),
        (&json!(4), &json!("no"))
    );

    let said = served.run(&["job", "restart", "a", "b"]).well();
    assert_eq!(said, "restarted a\nrestarted b");
    let said = served.run(&["job", "restart", "c"]).failed(5);
    assert!(said.contains("silo::call::job_not_restartable"), "{said}");
    let said = served.run(&["job", "delete", "a", "b", "no"]).well();
    assert_eq!(said, "deleted a\ndeleted b\ndeleted no");
    assert_eq!(served.run(&["job", "get", "a"]).code, Some(4));
    assert_eq!(
        served.run_on(b"\xff", &["job", "cancel", "-"]).code,
        Some(2)
    );
    assert_eq!(served.run(&["job", "cancel"]).code, Some(2));

    let two = served.run(&["job", "get", "c", "c"]).well();
    assert_eq!(two.matches("id          c").count(), 2, "{two}");
}

#[silo::test]
fn jobs_are_listed_filtered_and_cut_off() {
    let served = Served::new();
    assert_eq!(served.run(&["job", "list"]).well(), "");
    for (group, id) in [("g", "a1"), ("g", "a2"), ("h", "b1")] {
        served.enqueue(group, id, &["--priority", "5"]);
    }
    served.run(&["job", "cancel", "a2"]).well();

    let ids = |args: &[&str]| {
        let list = ["job", "list", "--ids"];
        let said = served.run(&[&list[..], args].concat()).well();
        said.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(ids(&[]), ["a1", "a2", "b1"]);
    assert_eq!(ids(&["--task-group", "h"]), ["b1"]);
    assert_eq!(ids(&["--prefix", "a"]), ["a1", "a2"]);
    assert_eq!(ids(&["--status", "cancelled"]), ["a2"]);
    assert_eq!(
        ids(&["--status", "cancelled", "--status", "scheduled", "--all"]).len(),
        3
    );

    let cut = served.run(&["job", "list", "--ids", "--limit", "2"]);
    assert_eq!((cut.code, cut.out.as_str()), (Some(0), "a1\na2\n"));
    assert!(cut.err.contains("there are more"), "{cut:?}");
    assert_eq!(ids(&["--limit", "3"]).len(), 3);
    let cut = served.run(&["job", "list", "--limit", "1", "--output", "json"]);
    let warning: Value = serde_json::from_str(&cut.err).unwrap();
    assert!(warning["warning"].is_string());

    let text = served.run(&["job", "list"]).well();
    let lines: Vec<_> = text.lines().collect();
    assert!(
        lines[0].starts_with("ID  TASK GROUP  STATUS     SINCE"),
        "{text}"
    );
    assert!(
        lines[2].starts_with("a2  g           cancelled  20"),
        "{text}"
    );
    assert_eq!(lines.len(), 4);

    let told = served
        .run(&["job", "list", "--output", "json", "--prefix", "a2"])
        .json();
    let [job] = &told[..] else { panic!("{told:?}") };
    for (name, value) in [
        ("id", json!("a2")),
        ("task_group", json!("g")),
        ("status", json!("cancelled")),
        ("priority", json!(5)),
        ("next_attempt_starts_after_ms", Value::Null),
        ("attempt_number", json!(0)),
    ] {
        assert_eq!(job[name], value, "{name}");
    }
    let said = served
        .run(&["job", "list", "--status", "cancelld"])
        .failed(2);
    assert!(
        said.contains("a similar value exists: 'cancelled'"),
        "{said}"
    );
}

#[silo::test]
fn nothing_is_quarantined_here() {
    let served = Served::new();
    assert_eq!(
        served.run(&["job", "quarantined"]).well(),
        "no job is quarantined"
    );
    assert_eq!(
        served
            .run(&["job", "quarantined", "--output", "json"])
            .well(),
        ""
    );
    let said = served
        .run(&["job", "quarantined", "--shard", "zz"])
        .failed(4);
    assert!(said.contains("silo::shard::unknown"), "{said}");
}

#[silo::test]
fn retention_is_kept() {
    let served = Served::new();
    let kept = |gone: &str| {
        let flag = |name: &str| {
            let time = if name == gone { "0s" } else { "7d" };
            [format!("--retain-{name}"), time.to_owned()]
        };
        ["succeeded", "failed", "cancelled"].map(flag).concat()
    };
    for end in ["succeeded", "failed", "cancelled"] {
        for (id, gone) in [("gone", end), ("kept", "")] {
            let flags = kept(gone);
            let flags: Vec<_> = flags.iter().map(String::as_str).collect();
            served.enqueue(end, &format!("{id}-{end}"), &flags);
        }
    }
    served.work("succeeded", "cat", &["--exit-when-empty"]);
    served.work("failed", "false", &["--exit-when-empty"]);
    let both = ["job", "cancel", "gone-cancelled", "kept-cancelled"];
    served.run(&both).well();
    // They are removed by a later turn of their shard.
    let began = std::time::Instant::now();
    let list = || {
        served
            .run(&["job", "list", "--ids", "--prefix", "gone-"])
            .well()
    };
    while !list().is_empty() {
        assert!(began.elapsed() < process::shell::PATIENCE);
    }
    let left = served.run(&["job", "list", "--ids"]).well();
    assert_eq!(left, "kept-cancelled\nkept-failed\nkept-succeeded");
}

#[silo::test]
fn what_was_done_is_told_in_a_word() {
    let served = Served::new();
    served.enqueue("g", "a", &["--delay", "1h"]);
    for (verb, done) in [
        ("expedite", "expedited"),
        ("cancel", "cancelled"),
        ("restart", "restarted"),
        ("delete", "deleted"),
    ] {
        let told = served.run(&["job", verb, "a", "--output", "json"]);
        assert_eq!(told.json(), [json!({"id": "a", "done": done})], "{told:?}");
    }
    let told = served.run(&["job", "enqueue", "--task-group", "g", "--output", "json"]);
    assert!(told.json()[0]["id"].is_string(), "{told:?}");
}

#[silo::test]
fn a_key_has_one_value() {
    let args = ["--metadata", "k=1", "--metadata", "k=2"];
    let served = Served::new();
    let said = served.run(&[&["job", "enqueue", "--task-group", "g"][..], &args].concat());
    assert!(said.failed(2).contains("silo::input::twice"));
}
