//! `silo bench` over the real binary: what each benchmark shows, and that it finds what is wrong.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

mod process;

use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use process::{Server, Site, silo};
use serde_json::Value;
use silo_runtime::proto::silo_client::SiloClient;
use silo_runtime::proto::{GetNodeInfoRequest, ResetShardsRequest};
use tokio::time::sleep;
use tonic::transport::Channel;

const BENCHMARKS: [&str; 7] = [
    "enqueue",
    "lifecycle",
    "latency",
    "claim",
    "limits",
    "noisy",
    "idle",
];

/// Small enough for a test.
fn small(bench: &str) -> Vec<&'static str> {
    match bench {
        "enqueue" => vec!["--jobs", "200", "--callers", "8", "--batch", "3"],
        "lifecycle" | "limits" => vec![
            "--jobs",
            "300",
            "--callers",
            "8",
            "--batch",
            "7",
            "--workers",
            "4",
        ],
        "latency" => vec!["--rate", "100", "--duration", "1", "--workers", "4"],
        "claim" => vec!["--depth", "300", "--consumed", "200", "--samples", "20"],
        "noisy" => vec![
            "--rate",
            "100",
            "--duration",
            "1",
            "--workers",
            "4",
            "--backlog",
            "500",
        ],
        "idle" => vec!["--duration", "1"],
        other => panic!("there is no benchmark {other}"),
    }
}

fn run(bench: &str, more: &[&str]) -> Output {
    let mut command = silo();
    command.args(["bench", bench]).args(small(bench)).args(more);
    command.output().unwrap()
}

/// What a benchmark shows that goes well.
fn good(bench: &str, more: &[&str]) -> Value {
    let output = run(bench, &[&["--output", "json"], more].concat());
    let shown = json(&output);
    assert_eq!(output.status.code(), Some(0), "{shown:#}");
    assert_eq!(shown["is_good"], true, "{shown:#}");
    assert_eq!(shown["results"][0]["faults"]["total"], 0, "{shown:#}");
    shown
}

fn json(output: &Output) -> Value {
    let shown = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_str(&shown).unwrap_or_else(|error| panic!("{error}: {shown}{said}"))
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

/// What holds for each of them, wherever the server is.
fn check(bench: &str, result: &Value) {
    assert_eq!(result["bench"], bench);
    assert!(number(&result["seconds"]) > 0.0, "{result:#}");
    assert!(result["stopped_early"].is_null(), "{result:#}");
    let (jobs, timed): (_, &[&str]) = match bench {
        "enqueue" => (Some(200), &["enqueue"]),
        "lifecycle" => (Some(300), &["enqueue"]),
        "latency" => (Some(100), &["sent_late", "acknowledged", "leased", "done"]),
        "claim" => (Some(20), &["lease"]),
        "limits" => (Some(300), &["enqueue"]),
        // The quiet tenant's, and all of its neighbour's.
        "noisy" => (Some(600), &["done_alone", "done_beside"]),
        _ => (None, &[]),
    };
    assert_eq!(result["jobs"], jobs.unwrap_or(0), "{result:#}");
    for name in timed {
        let times = &result["latency_ms"][name];
        let parts = ["p50", "p90", "p99", "max"].map(|part| number(&times[part]));
        assert!(parts.is_sorted() && parts[3] > 0.0, "{name}: {result:#}");
        assert!(number(&times["count"]) >= 20.0, "{name}: {result:#}");
    }
    if jobs.is_some() {
        assert!(number(&result["jobs_per_second"]) > 0.0, "{result:#}");
        // Nothing is durable without a request.
        assert!(
            number(&result["store_requests"]["per_job"]) > 0.0,
            "{result:#}"
        );
        assert!(number(&result["store_requests"]["by_kind"]["put"]["count"]) > 0.0);
    }
    assert!(number(&result["resident_bytes"]) > 1e6, "{result:#}");
    assert!(
        result["cpu"]["server_ms_per_second"].is_number(),
        "{result:#}"
    );
}

#[silo::test]
fn each_measures_a_server_of_its_own() {
    for bench in BENCHMARKS {
        let shown = good(bench, &["--store", "memory"]);
        let result = &shown["results"][0];
        check(bench, result);
        assert_eq!(shown["setting"]["target"], "own-server");
        assert_eq!(shown["setting"]["store"], "memory");
        assert!(shown["setting"]["fsync"].is_null(), "{shown:#}");
        assert!(number(&shown["machine"]["cores"]) >= 1.0);
        assert_eq!(shown["machine"]["version"], env!("CARGO_PKG_VERSION"));
        let cpu = &result["cpu"];
        if bench != "idle" {
            assert!(cpu["server_us_per_job"].is_number(), "{shown:#}");
            assert!(cpu["loader_us_per_job"].is_number(), "{shown:#}");
        }
        assert!(cpu["together_us_per_job"].is_null(), "{shown:#}");
    }
}

#[silo::test]
fn each_measures_without_grpc() {
    for bench in BENCHMARKS {
        let shown = good(
            bench,
            &["--target", "in-process", "--no-fsync", "--shards", "2"],
        );
        let result = &shown["results"][0];
        check(bench, result);
        assert_eq!(shown["setting"]["target"], "in-process");
        assert_eq!(shown["setting"]["store"], "fs");
        assert_eq!(shown["setting"]["fsync"], false);
        assert_eq!(shown["setting"]["shards"], 2);
        let cpu = &result["cpu"];
        assert!(cpu["server_us_per_job"].is_null(), "{shown:#}");
        assert_eq!(
            cpu["together_us_per_job"].is_number(),
            bench != "idle",
            "{shown:#}"
        );
    }
}

#[silo::test]
fn people_are_shown_the_same() {
    let output = run("latency", &["--tenants", "0"]);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{shown}");
    for part in [
        "cores",
        "commit",
        "own-server, 8 shards",
        "fsync on",
        "open loop: times count from when each job was scheduled",
        "rate 100",
        "tenants 0",
        "jobs      100 in",
        "acknowledged",
        "leased",
        "done",
        "µs a job",
        "requests a second",
        "MiB resident",
        "Nothing went wrong.",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[silo::test]
fn its_folder_is_made_where_it_is_told_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let mut command = silo();
    command.args(["bench", "enqueue", "--jobs", "10"]);
    let output = command.env("SILO_BENCH_DATA", data).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let left: Vec<_> = std::fs::read_dir(data).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");

    let nowhere = run("enqueue", &["--data", "/no/such/folder"]);
    let said = String::from_utf8(nowhere.stderr).unwrap();
    assert_eq!(nowhere.status.code(), Some(1), "{said}");
    assert!(said.contains("silo::bench::folder"), "{said}");
}

#[silo::test]
fn every_flag_names_its_environment_variable() {
    for bench in [&[""][..], &BENCHMARKS].concat() {
        let mut command = silo();
        command
            .arg("bench")
            .args(Some(bench).filter(|bench| !bench.is_empty()));
        let help = command.arg("--help").output().unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        let is_flag = |line: &&str| line.starts_with("--") || line.contains(", --");
        let flags = help.lines().map(str::trim_start).filter(is_flag);
        let flags = flags.filter(|line| !line.contains("--help")).count();
        assert!(flags > 10, "{help}");
        assert_eq!(help.matches("[env: SILO_").count(), flags, "{help}");
    }
    let help = silo()
        .args(["bench", "latency", "--help"])
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("coordinated omission"), "{help}");
}

#[silo::test]
fn wrong_flags_are_refused() {
    for (line, said) in [
        ("enqueue --callers 0", "--callers"),
        ("enqueue --batch 1001", "1..=1000"),
        ("enqueue --payload-bytes 15", "16..=1048576"),
        ("lifecycle --workers 0", "--workers"),
        ("latency --rate 0", "1..=50000"),
        ("claim --depth 0", "--depth"),
        ("idle --duration 0", "--duration"),
        ("idle --callers 1", "--callers"),
        ("--shards 257", "1..=256"),
        ("--store floppy", "[possible values: fs, memory]"),
        ("--target mars", "own-server"),
        ("--server 127.0.0.1:1 --store fs", "cannot be used with"),
        ("--server 127.0.0.1:1 --no-fsync", "cannot be used with"),
        ("--metrics http://127.0.0.1:1/metrics", "--server"),
        ("enqueu", "enqueue"),
    ] {
        let words = line.split(' ');
        let output = silo().arg("bench").args(words).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}: {error}");
        assert!(error.contains(said), "{line}: {error}");
    }
}

#[silo::test]
fn a_server_that_is_not_there_is_said() {
    let output = run(
        "enqueue",
        &["--server", "127.0.0.1:1", "--timeout-ms", "300"],
    );
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert!(said.contains("silo::call::unavailable"), "{said}");
}

#[silo::test]
fn what_it_is_measured_with_is_what_was_asked_for() {
    let shown = good(
        "lifecycle",
        &["--connections", "1", "--tasks", "3", "--fsync"],
    );
    assert_eq!(shown["setting"]["connections"], 1, "{shown:#}");
    assert_eq!(shown["setting"]["fsync"], true, "{shown:#}");
    assert_eq!(shown["results"][0]["parameters"]["tasks"], 3, "{shown:#}");
    let shown = good("claim", &["--fill", "20"]);
    assert_eq!(shown["results"][0]["jobs"], 20, "{shown:#}");
}

/// A benchmark that runs beside the test, of a server of the test's.
fn begin(site: &Site, bench: &str, more: &[&str]) -> Child {
    let mut command = silo();
    let addr = site.addr.to_string();
    command.args(["bench", bench, "--output", "json", "--server", &addr]);
    command
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

async fn end(child: Child) -> (Option<i32>, Value) {
    let wait = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    let output = tokio::time::timeout(Duration::from_secs(100), wait).await;
    let output = output.expect("it ends").unwrap();
    (output.status.code(), json(&output))
}

/// The server's raw client, once it answers.
async fn ready(server: &Server, site: &Site) -> SiloClient<Channel> {
    drop(server.client().await);
    SiloClient::connect(format!("http://{}", site.addr))
        .await
        .unwrap()
}

/// Jobs of the server, and how many of them have ended.
async fn totals(client: &mut SiloClient<Channel>) -> (i64, i64) {
    let info = client.get_node_info(GetNodeInfoRequest {}).await.unwrap();
    let shards = info.into_inner().owned_shards;
    let total = |of: fn(&_) -> i64| shards.iter().map(of).sum();
    (
        total(|shard| shard.total_jobs),
        total(|shard| shard.completed_jobs),
    )
}

/// Waits until the benchmark has begun.
async fn begun(client: &mut SiloClient<Channel>) {
    have_come(client, 1).await;
}

/// Waits until so many jobs have come.
async fn have_come(client: &mut SiloClient<Channel>, jobs: i64) {
    let began = Instant::now();
    while totals(client).await.0 < jobs {
        assert!(began.elapsed() < Duration::from_secs(30), "no jobs come");
        sleep(Duration::from_millis(5)).await;
    }
}

#[silo::test]
async fn a_server_that_stalls_shows_in_every_job_that_was_due() {
    let site = Site::new();
    let server = site.start();
    let mut client = ready(&server, &site).await;
    let child = begin(&site, "latency", &["--rate", "100", "--duration", "3"]);
    begun(&mut client).await;
    server.pause();
    // The stall itself.
    sleep(Duration::from_millis(500)).await;
    server.resume();
    let (code, shown) = end(child).await;
    assert_eq!(code, Some(0), "{shown:#}");
    let result = &shown["results"][0];
    assert_eq!(result["loop"], "open");
    for name in ["acknowledged", "leased", "done"] {
        let times = &result["latency_ms"][name];
        // None was left out: 50 of 300 came while it stood still, evenly from its beginning to its
        // end. A closed loop would have seen a few slow calls.
        assert_eq!(times["count"], 300, "{name}: {shown:#}");
        assert!(number(&times["max"]) >= 450.0, "{name}: {shown:#}");
        assert!(number(&times["p99"]) >= 400.0, "{name}: {shown:#}");
        assert!(number(&times["p90"]) >= 150.0, "{name}: {shown:#}");
    }
    // The load itself was not late by that much.
    assert!(
        number(&result["latency_ms"]["sent_late"]["p99"]) < 400.0,
        "{shown:#}"
    );
}

#[silo::test]
async fn ctrl_c_shows_what_was_measured() {
    let site = Site::new();
    let server = site.start();
    let mut client = ready(&server, &site).await;
    let child = begin(&site, "lifecycle", &["--duration", "600", "--callers", "4"]);
    begun(&mut client).await;
    let pid = child.id().to_string();
    let mut kill = std::process::Command::new("kill");
    assert!(kill.args(["-INT", &pid]).status().unwrap().success());
    let (code, shown) = end(child).await;
    assert_eq!(code, Some(0), "{shown:#}");
    let result = &shown["results"][0];
    assert_eq!(result["stopped_early"], "interrupted");
    assert!(number(&result["jobs"]) > 0.0, "{shown:#}");
    assert!(number(&result["seconds"]) < 60.0, "{shown:#}");
}

#[silo::test]
async fn jobs_that_are_lost_fail_it() {
    let site = Site::new();
    let server = site.start_with("dev_mode = true");
    let mut client = ready(&server, &site).await;
    let child = begin(
        &site,
        "lifecycle",
        &["--duration", "2", "--callers", "4", "--batch", "50"],
    );
    begun(&mut client).await;
    client.reset_shards(ResetShardsRequest {}).await.unwrap();
    let (code, shown) = end(child).await;
    assert_eq!(code, Some(1), "{shown:#}");
    assert_eq!(shown["is_good"], false);
    let faults = &shown["results"][0]["faults"];
    assert!(number(&faults["by_kind"]["lost"]) > 0.0, "{shown:#}");
}

#[silo::test]
async fn a_server_that_dies_fails_it_and_what_was_measured_is_shown() {
    let site = Site::new();
    let server = site.start();
    let mut client = ready(&server, &site).await;
    let few = [
        "--duration",
        "60",
        "--callers",
        "256",
        "--timeout-ms",
        "1000",
    ];
    let child = begin(&site, "enqueue", &few);
    // More than there are callers: some were acknowledged.
    have_come(&mut client, 257).await;
    server.kill_nine();
    let (code, shown) = end(child).await;
    assert_eq!(code, Some(1), "{shown:#}");
    let result = &shown["results"][0];
    assert_eq!(result["stopped_early"], "faults", "{shown:#}");
    assert!(number(&result["faults"]["total"]) >= 1000.0, "{shown:#}");
    assert!(number(&result["jobs"]) > 0.0, "{shown:#}");
}

#[silo::test]
async fn nothing_stays_queued_on_a_server_that_is_not_its_own() {
    let site = Site::new();
    let metrics_addr = process::free_addr().to_string();
    let server = site.start_within(&[("SILO_METRICS_ADDR", &metrics_addr)]);
    let mut client = ready(&server, &site).await;
    let addr = site.addr.to_string();
    let url = format!("http://{metrics_addr}/metrics");
    let mut jobs = 0;
    for (bench, made) in [("enqueue", 200), ("claim", 500)] {
        let shown = good(bench, &["--server", &addr, "--metrics", &url]);
        check(bench, &shown["results"][0]);
        assert_eq!(shown["setting"]["server"], addr);
        assert!(shown["setting"]["store"].is_null());
        jobs += made;
        assert_eq!(totals(&mut client).await, (jobs, jobs), "{bench}");
    }
    let without = good("lifecycle", &["--server", &addr]);
    assert!(without["results"][0]["store_requests"].is_null());
    assert!(without["results"][0]["cpu"]["server_us_per_job"].is_null());
}
