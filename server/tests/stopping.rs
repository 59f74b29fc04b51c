//! What ends a command early: a signal at any time, and the end of whoever started it.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects)]

mod process;

use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::yield_now;
use std::time::Instant;

use process::shell::{PATIENCE, Running};
use process::{Served, Site, free_addr, silo};

/// A server that takes connections and never says a word.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    (listener, addr)
}

#[silo::test]
fn what_looks_for_its_server_hears_signals() {
    for (args, code) in [
        (&["work", "--task-group", "g", "--exec", "cat"][..], 0),
        (&["bench", "idle"], 1),
    ] {
        for signal in ["-TERM", "-INT"] {
            let (listener, addr) = silent();
            let mut command = silo();
            command
                .args(args)
                .args(["--server", &addr, "--connect-timeout-ms", "600000"]);
            let running = Running::start(command);
            let _connection = listener.accept().unwrap();
            running.signal(signal);
            if code == 1 {
                running.says("interrupted before anything was measured");
            }
            assert_eq!(running.ended().code(), Some(code), "{args:?}");
        }
    }
}

#[silo::test]
fn a_server_whose_store_is_silent_hears_signals() {
    let (listener, addr) = silent();
    let site = Site::on_s3(&format!("http://{addr}"));
    let mut command = silo();
    command.args(["serve", "-c"]);
    command.arg(site.config_at(site.addr, ""));
    let server = Running::start(command);
    let _connection = listener.accept().unwrap();
    server.signal("-TERM");
    server.says("stopped before anything was open");
    assert_eq!(server.ended().code(), Some(0));
}

#[silo::test]
fn a_demo_that_is_interrupted_leaves_nothing() {
    for signal in ["TERM", "INT"] {
        let mut command = silo();
        command.arg("demo");
        let demo = Running::start(command);
        let said = demo.says("its data is in ");
        let folder = Path::new(said.split("is in ").last().unwrap());
        assert!(folder.exists(), "{said}");
        demo.signal(&format!("-{signal}"));
        demo.says(&format!("SIG{signal}: the demo was not played to its end"));
        assert_eq!(demo.ended().code(), Some(1));
        assert!(!folder.exists(), "{said}");
    }
}

/// The server that a benchmark has started for data in this folder.
fn server_in(folder: &Path) -> Option<u32> {
    let folder = folder.to_str().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let mut ids = processes.filter_map(|it| it.file_name().to_str()?.parse().ok());
    ids.find(|id| {
        let words = std::fs::read_to_string(format!("/proc/{id}/cmdline"));
        words.is_ok_and(|words| words.contains("\0serve\0") && words.contains(folder))
    })
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "not in time: {what}");
        yield_now();
    }
}

#[cfg(target_os = "linux")]
#[silo::test]
fn a_benchmark_that_is_killed_leaves_no_server() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = silo();
    command.args(["bench", "idle", "--duration", "600", "--data"]);
    command.arg(folder.path());
    let bench = Running::start(command);
    until("its server runs", || server_in(folder.path()).is_some());
    bench.signal("-KILL");
    assert_eq!(bench.ended().code(), None);
    until("it has gone", || server_in(folder.path()).is_none());
}

/// The sum of a counter's series that have these labels.
fn counted(addr: SocketAddr, name: &str, labels: &str) -> f64 {
    let mut stream = TcpStream::connect(addr).unwrap();
    let request = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    BufReader::new(stream).read_to_string(&mut text).unwrap();
    let lines = text.lines().filter_map(|line| line.rsplit_once(' '));
    let series = lines.filter(|(series, _)| series.starts_with(name) && series.contains(labels));
    series.map(|(_, value)| value.parse::<f64>().unwrap()).sum()
}

#[silo::test]
fn leases_are_kept_while_nobody_reads_what_a_worker_says() {
    const JOBS: u32 = 8;
    let site = Site::new();
    let metrics = free_addr();
    let server = site.start_within(&[("SILO_METRICS_ADDR", &metrics.to_string())]);
    let served = Served { site, server };
    for number in 0..JOBS {
        served.enqueue("g", &number.to_string(), &["--lease-ms", "1000"]);
    }
    // More than a pipe takes, of each.
    let exec = "yes | head -c 200000 >&2";
    let mut command: Command = served.silo();
    let mut worker = command
        .args([
            "work",
            "--task-group",
            "g",
            "--concurrency",
            "8",
            "--exec",
            exec,
        ])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Each lease would be over after three that do not come.
    until("their leases are extended", || {
        counted(metrics, "silo_commands_total", "command=\"heartbeat\"") >= f64::from(6 * JOBS)
    });
    for outcome in ["crashed", "lost"] {
        let labels = format!("outcome=\"{outcome}\"");
        let ended = counted(metrics, "silo_attempts_ended_total", &labels);
        assert!(ended < 0.5, "{outcome}");
    }
    worker.kill().unwrap();
    worker.wait().unwrap();
}

#[silo::test]
fn the_longest_times_are_not_none() {
    let long = "500000000000y";
    let served = Served::new();
    served.enqueue("g", "a", &["--lease-ms", "3000"]);
    let exec = "trap 'sleep 0.3; echo 1; exit 0' TERM; echo up >&2; while :; do sleep 0.1; done";
    let more = ["--kill-grace", long, "--drain-timeout", long];
    let worker = served.worker("g", exec, &more);
    worker.says("[a] up");
    served.run(&["job", "cancel", "a"]).well();
    // It had the time to end well.
    worker.says("job a attempt 1 succeeded after");

    let pipe = served.pipe("pipe");
    served.enqueue("h", "b", &[]);
    let draining = served.worker("h", &format!("echo up >&2; cat {pipe:?}"), &more);
    draining.says("[b] up");
    draining.signal("-TERM");
    draining.says("running commands may end");
    std::fs::write(&pipe, "7").unwrap();
    draining.says("job b attempt 1 succeeded after");
    assert!(draining.ended().success());
}

/// A lease of the server's own length would outlast the test.
const LONG_LEASES: &str = "[leases]\ndefault_ms = 3600000";

#[silo::test]
fn a_worker_that_is_killed_gives_its_job_to_another() {
    let served = Served::with(LONG_LEASES);
    let short = ["--lease-ms", "1000"];
    for (group, of_job, of_worker) in [("g", &short[..], &[][..]), ("h", &[], &short)] {
        served.enqueue(group, group, of_job);
        let pipe = served.pipe(&format!("pipe-{group}"));
        let first = served.worker(group, &format!("echo up >&2; cat {pipe:?}"), of_worker);
        first.says(&format!("[{group}] up"));
        // kill -9.
        drop(first);
        let ran = served.work(group, "echo again", &["--once"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(served.run(&["job", "result", group]).well(), "\"again\"");
        // The command of the first runs to its end, and nobody hears of that.
        std::fs::write(&pipe, "7").unwrap();
    }
}

#[silo::test]
fn a_job_survives_as_many_crashes_as_it_may() {
    let served = Served::with(LONG_LEASES);
    let lease = ["--lease-ms", "1000"];
    for (id, crashes) in [("frail", "0"), ("tough", "1")] {
        served.enqueue(id, id, &[&lease[..], &["--max-crashes", crashes]].concat());
        // Its lease was extended: only then it is a crash.
        let worker = served.worker(id, "sleep 1; echo later >&2; sleep 5", &[]);
        worker.says(&format!("[{id}] later"));
        drop(worker);
    }
    let frail = served.run(&["job", "wait", "frail"]).failed(8);
    assert!(frail.contains("WORKER_CRASHED"), "{frail}");
    let ran = served.work("tough", "echo 1", &["--once"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(served.run(&["job", "wait", "tough"]).well(), "1");
    let job = served.job("tough");
    assert_eq!(job["attempts"].as_array().unwrap().len(), 2, "{job}");
}
