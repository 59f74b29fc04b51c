//! `silo limit` and `silo job explain`: what each says, for people and for programs.

#![cfg(test)]

mod process;

use process::Served;
use serde_json::{Value, json};

/// A server with five jobs of which two may run at once, and one of another limit.
fn served() -> Served {
    let served = Served::new();
    for id in ["1", "2", "3", "4", "5"] {
        served.enqueue("g", id, &["--limit", "mail=2"]);
    }
    served.enqueue("g", "6", &["--limit", "print=1"]);
    served
}

fn one(served: &Served, args: &[&str]) -> Value {
    let mut told = served.run(&[args, &["--output", "json"]].concat()).json();
    assert_eq!(told.len(), 1, "{told:?}");
    told.remove(0)
}

/// The jobs that run until none is ready, in the order of their ids: several run at once.
fn worked(served: &Served) -> String {
    let args = ["--exit-when-empty", "--output", "json"];
    let ran = served.work("g", "true", &args).json();
    let ids = ran.iter().map(|run| run["job_id"].as_str().unwrap());
    let mut ids: Vec<_> = ids.collect();
    ids.sort_unstable();
    ids.join(" ")
}

#[silo::test]
fn limits_are_listed_filtered_and_cut_off() {
    let served = served();
    let list = |more: &[&str]| {
        let args = [&["limit", "list", "--output", "json"], more].concat();
        let listed = served.run(&args).json();
        let keys = listed
            .iter()
            .map(|it| it["key"].as_str().unwrap().to_owned());
        keys.collect::<Vec<_>>()
    };
    assert_eq!(list(&[]), ["mail", "print"]);
    assert_eq!(list(&["--prefix", "p"]), ["print"]);
    assert_eq!(list(&["--limit", "1"]), ["mail"]);
    assert_eq!(list(&["--all"]), ["mail", "print"]);
    let cut = served.run(&["limit", "list", "--limit", "1"]);
    assert!(cut.err.contains("there are more"), "{cut:?}");

    let mail = one(&served, &["limit", "list", "--prefix", "mail"]);
    let expected = json!({
        "key": "mail", "kind": "concurrency", "held": 2, "slots": 2, "max_concurrency": 2,
        "set_max_concurrency": null, "paused": false,
        "waiting": {"number": 3, "at_least": false},
        "first_waiting_id": "3", "first_waits_since_ms": mail["first_waits_since_ms"],
        "tickets": 0, "to_be_searched": false,
    });
    assert_eq!(mail, expected);
    assert!(mail["first_waits_since_ms"].is_i64());
    let text = served.run(&["limit", "list"]).well();
    let words = |line: &str| {
        line.split_whitespace()
            .take(4)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let lines: Vec<_> = text.lines().map(words).collect();
    assert_eq!(
        lines,
        ["KEY HELD SLOTS WAITING", "mail 2 2 3", "print 1 1 0"]
    );
    assert!(text.contains("  FIRST SINCE  "), "{text}");
    let (mail_line, print_line) = (text.lines().nth(1), text.lines().nth(2));
    let year = |line: Option<&str>| line.unwrap().contains("  20");
    assert!(year(mail_line) && !year(print_line), "{text}");
    worked(&served);
    let none = served.run(&["limit", "list"]).well();
    assert_eq!(none, "no limit is in use or set");
}

#[silo::test]
fn a_limit_is_shown_with_its_jobs() {
    let served = served();
    let shown = one(&served, &["limit", "show", "mail"]);
    let ids = |of: &str| {
        let jobs = shown[of].as_array().unwrap().iter();
        jobs.map(|job| job["id"].as_str().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids("holders"), ["1", "2"]);
    assert_eq!(ids("waiting"), ["3", "4", "5"]);
    assert_eq!(shown["limit"]["held"], 2);
    assert_eq!(shown["holders"][0]["worker_id"], Value::Null, "ready");
    let cut = one(&served, &["limit", "show", "mail", "--jobs", "1"]);
    for of in ["holders", "waiting"] {
        assert_eq!(cut[of].as_array().unwrap().len(), 1, "{of}");
    }
    let text = served.run(&["limit", "show", "mail"]).well();
    for line in [
        "key           mail",
        "held          2 of 2",
        "waiting       3",
        "first waits   3",
    ] {
        assert!(text.lines().any(|it| it == line), "{line:?} in:\n{text}");
    }
    assert!(text.contains("\n\nHOLDS A SLOT  "), "{text}");
    assert!(text.contains("\n\nWAITS  "), "{text}");
    let unused = served.run(&["limit", "show", "none"]).well();
    assert_eq!(unused, "limit none is not in use, and nothing is set");
}

#[silo::test]
fn a_limit_is_set_cleared_paused_and_resumed() {
    let served = served();
    let said = |verb: &str, more: &[&str]| {
        let args = [&["limit", verb, "mail"], more].concat();
        served.run(&args).well()
    };
    let held = || one(&served, &["limit", "list", "--prefix", "mail"])["held"].clone();
    assert_eq!(said("set", &["3"]), "set mail");
    assert_eq!(held(), 3);
    let listed = served.run(&["limit", "list", "--prefix", "mail"]).well();
    assert!(listed.ends_with("set to 3"), "{listed}");
    assert_eq!(said("clear", &[]), "cleared mail");
    assert_eq!(said("pause", &[]), "paused mail");
    assert_eq!(worked(&served), "1 2 3 6", "those that had their slots");
    assert_eq!(said("resume", &[]), "resumed mail");
    assert_eq!(worked(&served), "4 5");
    let told = [("set", "set"), ("clear", "cleared"), ("pause", "paused")];
    for (verb, done) in [&told[..], &[("resume", "resumed")]].concat() {
        let slots: &[&str] = if verb == "set" { &["1"] } else { &[] };
        let told = one(&served, &[&["limit", verb, "k"], slots].concat());
        assert_eq!(told, json!({"key": "k", "done": done}));
    }
    let wrong = served.run(&["limit", "set", "", "1"]);
    let said = wrong.failed(5);
    assert!(said.contains("1 to 256 bytes"), "{said}");
}

#[silo::test]
fn limits_are_counted_anew() {
    let served = served();
    assert_eq!(served.run(&["limit", "recount"]).well(), "nothing differed");
    assert_eq!(one(&served, &["limit", "recount"]), json!({"differed": 0}));
}

#[silo::test]
fn it_is_said_why_a_job_does_not_run() {
    let served = served();
    served.enqueue("g", "late", &["--start-at", "2100-01-01T00:00:00Z"]);
    let text = |id: &str| served.run(&["job", "explain", id]).well();
    assert_eq!(
        text("late"),
        "job late: it is not due until 2100-01-01T00:00:00.000Z: its start"
    );
    let ready = text("2");
    let is_ready = "job 2: it is ready: 1 come before it, of 3 of its tenant that are ready in \
                    task group g; no worker waits for one";
    assert!(ready.starts_with(is_ready), "{ready}");
    let waits = text("4");
    for line in [
        "job 4",
        "waits for  limit mail",
        "before it  1 of 3 that want the same limits, and 0 other sets of jobs",
        "mail   2     2      full",
    ] {
        assert!(waits.lines().any(|it| it == line), "{line:?} in:\n{waits}");
    }
    let told = one(&served, &["job", "explain", "4"]);
    assert_eq!(
        (&told["why"], &told["limit_key"]),
        (&json!("waits"), &json!("mail"))
    );
    assert_eq!(told["holders"][0]["id"], "1");
    served.run(&["limit", "pause", "mail"]).well();
    let paused = text("4");
    assert!(paused.contains("paused by an operator"), "{paused}");
    served.run(&["limit", "resume", "mail"]).well();
    worked(&served);
    let ended = text("4");
    assert!(
        ended.starts_with("job 4: it has ended: succeeded at 20"),
        "{ended}"
    );
    let several = served.run(&["job", "explain", "late", "nobody", "--output", "json"]);
    assert_eq!(several.code, Some(4), "{several:?}");
    assert_eq!(several.errors()[0]["id"], "nobody");
}
