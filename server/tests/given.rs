//! What a command makes of its words and of its environment.

#![cfg(test)]

mod process;

use std::process::Command;

use process::shell::{Ran, Running, end_of};
use process::{Served, Site, free_addr, silo};
use serde_json::Value;

fn within(mut command: Command, variables: &[(&str, &str)], args: &[&str]) -> Ran {
    command.args(args).envs(variables.iter().copied());
    end_of(command, b"")
}

#[silo::test]
fn a_word_goes_before_a_variable_that_contradicts_it() {
    let served = Served::new();
    for id in ["a", "b"] {
        served.enqueue("g", id, &[]);
    }
    let limit = [("SILO_LIST_LIMIT", "1"), ("SILO_LIST_IDS", "yes")];
    let all = within(served.silo(), &limit, &["job", "list", "--all"]);
    assert_eq!(all.well(), "a\nb");
    let lines = [("SILO_ENQUEUE_LINES", "true")];
    let args = ["job", "enqueue", "--task-group", "g", "--id", "c", "7"];
    assert_eq!(within(served.silo(), &lines, &args).well(), "c");
    // Before the command's name or behind it.
    let output = [("SILO_OUTPUT", "xml")];
    for args in [
        ["job", "list", "--ids", "--output", "text"],
        ["--output", "text", "job", "list", "--ids"],
    ] {
        assert_eq!(within(served.silo(), &output, &args).well(), "a\nb\nc");
    }
    let file = served.site.config_at(served.site.addr, "");
    let file = file.to_str().unwrap();
    let other = [("SILO_CONFIG", "no-such.toml")];
    for args in [
        &["-c", file, "config", "check"][..],
        &["config", "check", file],
    ] {
        assert!(
            within(silo(), &other, args)
                .well()
                .starts_with(&format!("ok: {file}\n"))
        );
    }
}

#[silo::test]
fn variables_that_contradict_each_other_are_refused_by_name() {
    let both = [("SILO_ENQUEUE_LINES", "1"), ("SILO_ENQUEUE_JOBS", "1")];
    let said = within(silo(), &both, &["job", "enqueue", "--task-group", "g"]).failed(2);
    for (name, _) in both {
        let tip = format!("is set by the environment variable {name}");
        assert!(said.contains(&tip), "{said}");
    }
}

#[silo::test]
fn an_empty_variable_is_not_set() {
    let served = Served::new();
    served.enqueue("g", "a", &[]);
    let empty = [
        "SILO_OUTPUT",
        "SILO_TENANT",
        "SILO_TOKEN",
        "SILO_CONFIG",
        "SILO_LIST_LIMIT",
        "SILO_LIST_IDS",
        "SILO_LIST_STATUS",
        "SILO_TASK_GROUP",
        "SILO_TLS_CA",
        "SILO_TIMEOUT_MS",
        "SILO_METRICS_ADDR",
    ];
    let empty = empty.map(|name| (name, ""));
    let said = within(served.silo(), &empty, &["job", "list"]).well();
    assert!(said.starts_with("ID  TASK GROUP"), "{said}");
}

#[silo::test]
fn flags_are_raised_by_yes_and_not_by_no() {
    let served = Served::new();
    for id in ["a", "b"] {
        served.enqueue("g", id, &[]);
    }
    for yes in ["1", "true", "YES", "on"] {
        let said = within(served.silo(), &[("SILO_LIST_IDS", yes)], &["job", "list"]);
        assert_eq!(said.well(), "a\nb", "{yes}");
    }
    for no in ["0", "false", "NO", "off"] {
        let variables = [("SILO_LIST_ALL", no), ("SILO_LIST_LIMIT", "1")];
        let said = within(served.silo(), &variables, &["job", "list", "--ids"]);
        assert_eq!((said.code, said.out.as_str()), (Some(0), "a\n"), "{no}");
    }
    let small = ["bench", "enqueue", "--jobs", "1", "--output", "json"];
    let bench = |name: &str| {
        let shown = within(silo(), &[(name, "1")], &small).json();
        shown[0]["setting"]["fsync"].clone()
    };
    assert_eq!(bench("SILO_BENCH_NO_FSYNC"), false);
    assert_eq!(bench("SILO_BENCH_FSYNC"), true);
    let folder = tempfile::tempdir().unwrap();
    let mut dev = silo();
    dev.args(["dev", "--output", "json", "--grpc-addr", "127.0.0.1:0"])
        .env("SILO_TENANCY", "1")
        .current_dir(folder.path());
    let ready: Value = serde_json::from_str(&Running::start(dev).says("{\"addr\"")).unwrap();
    assert_eq!(ready["shards"], 8);
}

#[silo::test]
fn a_wrong_variable_is_named() {
    for (name, value, args) in [
        ("SILO_METRICS_ADDR", "x", &["job", "list"][..]),
        ("SILO_OUTPUT", "xml", &["config", "check"]),
        ("SILO_WAIT_TIMEOUT", "7", &["job", "wait", "x"]),
        ("SILO_TENANCY", "perhaps", &["dev"]),
    ] {
        let said = within(silo(), &[(name, value)], args).failed(2);
        let tip = format!("is set by the environment variable {name}");
        assert!(said.contains(&tip), "{said}");
    }
    let wrong = [("SILO_WAIT_TIMEOUT", "7"), ("SILO_OUTPUT", "json")];
    let told = within(silo(), &wrong, &["job", "wait", "x"]);
    let error = &told.errors()[0];
    let help = error["help"].as_str().unwrap();
    assert!(help.contains("SILO_WAIT_TIMEOUT"), "{error}");
    // The last word on the output holds.
    let text = [("SILO_OUTPUT", "json")];
    let said = within(silo(), &text, &["--output", "text", "job", "enque"]).failed(2);
    assert!(said.starts_with("error: unrecognized"), "{said}");
}

#[silo::test]
fn a_command_that_is_missing_is_told_as_json() {
    for args in [
        &["--output", "json"][..],
        &["job", "--output", "json"],
        &["shard", "--output", "json"],
        &["config", "--output", "json"],
    ] {
        let told = within(silo(), &[], args);
        assert_eq!((told.code, told.out.as_str()), (Some(2), ""), "{told:?}");
        let errors = told.errors();
        let [error] = &errors[..] else {
            panic!("{told:?}");
        };
        assert_eq!(error["code"], "silo::usage");
        assert_eq!(error["message"], "a command is missing");
    }
    let wrong = ["completions", "bsh", "--output", "json"];
    assert_eq!(within(silo(), &[], &wrong).errors()[0]["exit_code"], 2);
    let wrong = ["serve", "-c", "no-such", "--output", "json"];
    let told = within(silo(), &[], &wrong);
    assert_eq!(told.errors()[0]["code"], "silo::config::unreadable");
}

#[silo::test]
fn flags_of_a_server_count_before_the_commands_name_and_behind_it() {
    for verb in ["serve", "dev"] {
        for is_before in [true, false] {
            let site = Site::new();
            let (metrics, spans) = (free_addr().to_string(), site.folder().join("spans.json"));
            let observe = [
                "--metrics-addr",
                &metrics,
                "--perfetto",
                spans.to_str().unwrap(),
            ];
            let mut command = silo();
            // The word holds.
            command.env("SILO_METRICS_ADDR", "off");
            if is_before {
                command.args(observe);
            }
            command.arg(verb).current_dir(site.folder());
            if verb == "serve" {
                command.arg("-c").arg(site.config_at(site.addr, ""));
            } else {
                command.args(["--grpc-addr", &site.addr.to_string()]);
            }
            if !is_before {
                command.args(observe);
            }
            let server = Running::start(command);
            let said = server.says("metrics are at /metrics");
            assert!(said.contains(&metrics), "{said}");
            server.says("every shard is open");
            server.signal("-TERM");
            assert!(server.ended().success());
            let spans = std::fs::read_to_string(spans).unwrap();
            assert!(spans.contains("\"name\""), "{spans}");
        }
    }
}
