//! `silo bench`: what each flag changes.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects)]

mod process;

use std::path::Path;
use std::time::Instant;

use process::shell::{PATIENCE, Ran, Running, end_of};
use process::{Served, free_addr, silo};
use serde_json::{Value, json};

fn bench(words: &str, more: &[&str]) -> Ran {
    let mut command = silo();
    command.arg("bench").args(words.split(' ')).args(more);
    command.args(["--output", "json"]);
    end_of(command, b"")
}

/// What a benchmark shows that goes well.
fn shown(words: &str, more: &[&str]) -> Value {
    let ran = bench(words, more);
    assert_eq!(ran.code, Some(0), "{words}: {ran:?}");
    ran.json().remove(0)
}

/// How long it measured, in seconds.
fn seconds(words: &str) -> f64 {
    let shown = shown(words, &["--store", "memory"]);
    assert!(shown["results"][0]["stopped_early"].is_null(), "{shown:#}");
    shown["results"][0]["seconds"].as_f64().unwrap()
}

#[silo::test]
fn it_lasts_as_long_as_it_is_told() {
    for (words, default) in [
        ("enqueue --duration 1 --callers 1", 10.0),
        ("lifecycle --duration 1 --callers 1 --workers 1", 10.0),
        ("latency --duration 1 --rate 5 --workers 1", 10.0),
        ("limits --duration 1 --callers 1 --workers 1", 10.0),
        ("noisy --duration 1 --rate 5 --workers 1 --backlog 9", 10.0),
        ("idle --duration 1", 30.0),
    ] {
        let seconds = seconds(words);
        assert!(
            (0.5..default * 0.9).contains(&seconds),
            "{words}: {seconds}"
        );
    }
    // It is given up when the queue is not full in time.
    for words in [
        "claim --fill 1 --depth 10000000",
        "noisy --fill 1 --backlog 10000000 --duration 1",
    ] {
        let late = bench(words, &["--store", "memory"]);
        assert_eq!(late.code, Some(1), "{late:?}");
        let faults = &late.json()[0]["results"][0]["faults"]["by_kind"];
        assert_eq!(faults["not_filled"], 1, "{faults}");
    }
}

#[silo::test]
fn it_does_as_much_as_it_is_told() {
    for (words, jobs) in [
        ("enqueue --jobs 7 --callers 2", 7),
        ("lifecycle --jobs 7 --callers 2 --workers 2", 7),
        ("latency --rate 9 --duration 1 --workers 2", 9),
        ("claim --depth 9 --consumed 3 --samples 5", 5),
        ("limits --jobs 7 --callers 2 --workers 2", 7),
        ("limits --waiters 6", 6),
        // Those of the neighbour, and the others while it has them.
        ("noisy --rate 9 --duration 1 --backlog 20 --workers 2", 29),
    ] {
        let shown = shown(words, &["--store", "memory"]);
        assert_eq!(shown["results"][0]["jobs"], jobs, "{words}: {shown:#}");
    }
    let shown = shown(
        "claim --depth 9 --consumed 3 --samples 5",
        &["--store", "memory"],
    );
    let parameters = &shown["results"][0]["parameters"];
    assert_eq!(
        (&parameters["depth"], &parameters["consumed"]),
        (&json!(9), &json!(3))
    );
}

#[silo::test]
fn a_store_is_as_slow_as_it_is_told() {
    let here = [
        "--target",
        "in-process",
        "--store",
        "memory",
        "--shards",
        "1",
    ];
    let line = "limits --waiters 3 --duration 9";
    let slow = shown(&format!("{line} --read-delay 200 --write-delay 30"), &here);
    let result = &slow["results"][0];
    assert_eq!(result["parameters"]["read_delay_ms"], 200);
    assert_eq!(result["parameters"]["write_delay_ms"], 30);
    for what in ["write", "reported", "hand_over"] {
        let fastest = result["latency_ms"][what]["p50"].as_f64().unwrap();
        assert!(fastest >= 30.0, "{what}: {result:#}");
    }
    // Opening a shard reads.
    let began = Instant::now();
    shown(&format!("{line} --read-delay 500"), &here);
    assert!(began.elapsed().as_millis() >= 1000, "two reads");
    for place in [&["--store", "memory"][..], &["--target", "in-process"]] {
        for flag in ["--read-delay", "--write-delay"] {
            let refused = bench(&format!("{line} {flag} 1"), place);
            assert_eq!(refused.code, Some(1), "{refused:?}");
            assert_eq!(refused.errors()[0]["code"], "silo::bench::not_slow");
        }
    }
}

/// What is in the flags that make it, as it tells.
#[silo::test]
fn it_tells_what_it_was_made_with() {
    let load = ["--callers", "3", "--payload-bytes", "99"];
    let work = ["--workers", "2", "--tasks", "5"];
    let many = ["--batch", "4", "--jobs", "20"];
    let tenants = ["--tenants", "6"];
    let place = ["--store", "memory", "--shards", "3", "--connections", "1"];
    for (name, flags, told) in [
        (
            "enqueue",
            [&load[..], &many, &tenants].concat(),
            json!({"batch": 4, "callers": 3, "payload_bytes": 99, "tenants": 6}),
        ),
        (
            "lifecycle",
            [&load[..], &work, &many, &tenants].concat(),
            json!({"batch": 4, "callers": 3, "payload_bytes": 99, "tasks": 5, "tenants": 6,
                   "workers": 2}),
        ),
        (
            "latency",
            [
                &load[2..],
                &work,
                &tenants,
                &["--rate", "7", "--duration", "1"],
            ]
            .concat(),
            json!({"payload_bytes": 99, "rate": 7, "tasks": 5, "tenants": 6, "workers": 2}),
        ),
        (
            "limits",
            [&load[..], &work, &many, &tenants].concat(),
            json!({"batch": 4, "callers": 3, "payload_bytes": 99, "tasks": 5, "tenants": 6,
                   "workers": 2}),
        ),
        (
            "noisy",
            [
                &load[2..],
                &work,
                &tenants,
                &["--rate", "7", "--duration", "1", "--backlog", "9"],
            ]
            .concat(),
            json!({"backlog": 9, "payload_bytes": 99, "rate": 7, "tasks": 5, "tenants": 6,
                   "workers": 2}),
        ),
        (
            "claim",
            [
                &load[2..],
                &tenants,
                &["--depth", "8", "--consumed", "4", "--samples", "2"],
            ]
            .concat(),
            json!({"consumed": 4, "depth": 8, "payload_bytes": 99, "tenants": 6}),
        ),
        (
            "idle",
            [&tenants[..], &["--duration", "1"]].concat(),
            json!({"tenants": 6}),
        ),
        (
            "idle",
            vec!["--tenant", "own", "--duration", "1"],
            json!({"tenants": 1}),
        ),
    ] {
        let shown = shown(name, &[&flags[..], &place].concat());
        assert_eq!(shown["results"][0]["parameters"], told, "{name}");
        let setting = &shown["setting"];
        for (key, value) in [
            ("target", json!("own-server")),
            ("store", json!("memory")),
            ("fsync", Value::Null),
            ("shards", json!(3)),
            ("connections", json!(1)),
        ] {
            assert_eq!(setting[key], value, "{name}: {key}");
        }
    }
}

#[silo::test]
fn each_keeps_files_where_and_as_it_is_told() {
    for words in [
        "enqueue --jobs 1 --callers 1",
        "lifecycle --jobs 1 --callers 1 --workers 1",
        "latency --rate 1 --duration 1 --workers 1",
        "claim --depth 1 --consumed 0 --samples 1",
        "limits --jobs 1 --callers 1 --workers 1",
        "noisy --rate 1 --duration 1 --workers 1 --backlog 1",
        "idle --duration 1",
    ] {
        let nowhere = bench(words, &["--data", "/no/such/folder"]);
        assert_eq!(nowhere.code, Some(1), "{words}: {nowhere:?}");
        let said = &nowhere.errors()[0]["causes"][0];
        assert!(
            said.as_str().unwrap().contains("/no/such/folder/"),
            "{said}"
        );
        let fsync = |flags: &[&str]| shown(words, flags)["setting"]["fsync"].clone();
        assert_eq!(fsync(&["--no-fsync", "--store", "fs"]), false, "{words}");
        assert_eq!(fsync(&["--no-fsync", "--fsync"]), true, "{words}");
    }
}

#[silo::test]
fn a_servers_jobs_are_of_the_tenants_that_are_named() {
    let served = Served::with("[tenancy]\nenabled = true\n[shards]\ncount = 2");
    let addr = served.site.addr.to_string();
    let list = |tenant: &str| {
        let args = ["job", "list", "--ids", "--all", "--tenant", tenant];
        let ids = served.run(&args).well();
        ids.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    // Wait until it answers.
    assert!(list("bench-0").is_empty());
    let wide = [
        "--server",
        &addr,
        "--tenants",
        "2",
        "--payload-bytes",
        "1000",
    ];
    for (words, jobs) in [
        ("enqueue --jobs 8 --callers 2", 8),
        ("lifecycle --jobs 8 --callers 2", 8),
        ("latency --rate 8 --duration 1", 8),
        ("claim --depth 8 --consumed 0 --samples 1", 8),
        ("limits --jobs 8 --callers 2", 8),
        ("noisy --rate 2 --duration 1 --backlog 4", 8),
    ] {
        let before = list("bench-0").len() + list("bench-1").len();
        shown(words, &wide);
        let after = list("bench-0").len() + list("bench-1").len();
        assert_eq!(after - before, jobs, "{words}");
        let own = format!("own-{}", words.split(' ').next().unwrap());
        shown(words, &["--server", &addr, "--tenant", &own]);
        assert_eq!(list(&own).len(), jobs, "{words}");
    }
    assert!(list("bench-2").is_empty());
    let id = list("bench-0").remove(0);
    let args = ["job", "get", &id, "--tenant", "bench-0", "--output", "json"];
    let payload = served.run(&args).json().remove(0)["payload"].to_string();
    // As JSON it is longer: bytes are in base64.
    assert!((1000..1500).contains(&payload.len()), "{payload}");
    // Tenancy is on: somebody must be named.
    let nobody = bench("enqueue --jobs 1", &["--server", &addr, "--tenants", "0"]);
    assert_eq!(nobody.code, Some(1), "{nobody:?}");
}

#[silo::test]
fn what_a_server_costs_is_read_where_it_is_told() {
    let metrics = free_addr().to_string();
    let site = process::Site::new();
    let server = site.start_within(&[("SILO_METRICS_ADDR", &metrics)]);
    let served = Served { site, server };
    served.run(&["shard", "list"]).well();
    let addr = served.site.addr.to_string();
    let url = format!("http://{metrics}/metrics");
    for words in [
        "enqueue --jobs 1 --callers 1",
        "lifecycle --jobs 1 --callers 1 --workers 1",
        "latency --rate 1 --duration 1 --workers 1",
        "claim --depth 1 --consumed 0 --samples 1",
        "limits --jobs 1 --callers 1 --workers 1",
        "noisy --rate 1 --duration 1 --workers 1 --backlog 1",
        "idle --duration 1",
    ] {
        let with = shown(words, &["--server", &addr, "--metrics", &url]);
        assert!(with["results"][0]["resident_bytes"].is_number(), "{words}");
        let without = shown(words, &["--server", &addr]);
        assert!(without["results"][0]["resident_bytes"].is_null(), "{words}");
        let wrong = bench(
            words,
            &["--server", &addr, "--metrics", "http://127.0.0.1:1/"],
        );
        assert_eq!(wrong.errors()[0]["code"], "silo::bench::metrics", "{words}");
    }
}

/// How many files there are below a folder.
fn files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let entries = entries.filter_map(Result::ok).map(|entry| entry.path());
    let count = entries.map(|path| match path.is_dir() {
        true => files(&path),
        false => 1,
    });
    count.sum()
}

/// Starts the standard set, and interrupts it when it has begun.
fn standard(flags: &[&str], variables: &[(&str, &str)], has_begun: impl Fn() -> bool) -> Value {
    let mut command = silo();
    command.args(["bench", "--output", "json"]).args(flags);
    command.envs(variables.iter().copied());
    let running = Running::start(command);
    let began = Instant::now();
    while !has_begun() {
        assert!(began.elapsed() < PATIENCE, "it does not begin");
        std::thread::yield_now();
    }
    running.signal("-INT");
    let shown = serde_json::from_str(&running.says("\"stopped_early\"")).unwrap();
    assert!(running.ended().success(), "{shown:#}");
    shown
}

#[silo::test]
fn the_standard_set_is_made_with_the_same_flags() {
    let folder = tempfile::tempdir().unwrap();
    let load = ["--callers", "3", "--payload-bytes", "99", "--tenants", "6"];
    let place = ["--shards", "3", "--no-fsync"];
    let data = ["--data", folder.path().to_str().unwrap()];
    // It is made while its shards are opened; a flush has made these.
    let has_begun = || files(folder.path()) > 100;
    let more = ["--target", "in-process", "--store", "fs"];
    let shown = standard(&[&load[..], &place, &data, &more].concat(), &[], has_begun);
    let told = json!({"batch": 1, "callers": 3, "payload_bytes": 99, "tenants": 6});
    assert_eq!(shown["results"][0]["parameters"], told);
    assert_eq!(shown["results"][0]["stopped_early"], "interrupted");
    for (key, value) in [
        ("target", json!("in-process")),
        ("store", json!("fs")),
        ("fsync", json!(false)),
        ("shards", json!(3)),
    ] {
        assert_eq!(shown["setting"][key], value, "{key}");
    }
    assert_eq!(files(folder.path()), 0);
    // A word goes before a variable, also before the one that contradicts it.
    let words = ["--fsync", "--target", "in-process"];
    let shown = standard(
        &[&words[..], &data].concat(),
        &[("SILO_BENCH_NO_FSYNC", "true")],
        has_begun,
    );
    assert_eq!(shown["setting"]["fsync"], true);
}

#[silo::test]
fn the_standard_set_measures_a_server_that_runs() {
    let metrics = free_addr().to_string();
    let site = process::Site::new();
    let server = site.start_with_metrics("[tenancy]\nenabled = true", &metrics);
    let served = Served { site, server };
    served.run(&["shard", "list"]).well();
    let addr = served.site.addr.to_string();
    let url = format!("http://{metrics}/metrics");
    let flags = [
        "--server",
        &addr,
        "--metrics",
        &url,
        "--connections",
        "1",
        "--tenant",
        "own",
    ];
    let args = ["job", "list", "--ids", "--tenant", "own"];
    let has_begun = || !served.run(&args).out.is_empty();
    let shown = standard(&flags, &[], has_begun);
    assert_eq!(shown["setting"]["server"], addr);
    assert_eq!(shown["setting"]["connections"], 1);
    assert!(
        shown["results"][0]["resident_bytes"].is_number(),
        "{shown:#}"
    );
}
