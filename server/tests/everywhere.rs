//! The flags that all commands have which call a server: each of these commands is run with each.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects)]

mod process;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use process::shell::{Ran, end_of};
use process::{Served, free_addr, silo};
use serde_json::{Value, json};
use silo_tests::certificates::Ca;

/// What a command is given beyond the flags of all.
const MORE: [(&str, &str); 39] = [
    ("job enqueue", "--task-group g"),
    ("job get", "x"),
    ("job explain", "x"),
    ("job list", ""),
    ("job result", "x"),
    ("job wait", "x --timeout 1ms"),
    ("job cancel", "x"),
    ("job restart", "x"),
    ("job expedite", "x"),
    ("job delete", "x"),
    ("job import", ""),
    ("job quarantined", ""),
    ("limit list", ""),
    ("limit show", "x"),
    ("limit set", "x 1"),
    ("limit clear", "x"),
    ("limit pause", "x"),
    ("limit resume", "x"),
    ("limit recount", ""),
    ("work", "--task-group nobody --exec true --exit-when-empty"),
    ("shard list", ""),
    ("shard info", ""),
    ("shard flush", ""),
    ("shard compact", ""),
    ("tenant show", ""),
    ("tenant set", "--weight 2"),
    ("tenant clear", ""),
    // Not that of the others: tenancy is off, and a refusal is an answer.
    ("tenant pause", "--tenant other"),
    ("tenant resume", "--tenant other"),
    ("queue pause", "x"),
    ("queue resume", "x"),
    ("queue list", ""),
    ("bench enqueue", "--jobs 1 --callers 1"),
    ("bench lifecycle", "--jobs 1 --callers 1 --workers 1"),
    ("bench latency", "--rate 1 --duration 1 --workers 1"),
    ("bench claim", "--depth 1 --consumed 0 --samples 1"),
    ("bench limits", "--jobs 1 --callers 1 --workers 1"),
    (
        "bench noisy",
        "--rate 1 --duration 1 --workers 1 --backlog 1",
    ),
    ("bench idle", "--duration 1"),
];
/// Runs a set of benchmarks: only failures are quick.
const STANDARD: (&str, &str) = ("bench", "");

/// The commands that have this flag, as the page says.
fn having(flag: &str) -> Vec<String> {
    let mut help = silo();
    help.arg("help-pages");
    let page = end_of(help, b"").well();
    let parts = page.split("\n## `silo ").skip(1);
    let parts = parts.filter(|part| part.contains(&format!("\n      {flag} ")));
    let names = parts.map(|part| part.split('`').next().unwrap().to_owned());
    names.collect()
}

/// Runs each of these commands with more flags, some at once.
fn each(commands: &[(&str, &str)], flags: &[&str], check: impl Fn(&str, Ran) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((name, more)) = commands.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut command = silo();
                    command.args(name.split(' ')).args(more.split_whitespace());
                    command.args(flags);
                    check(name, end_of(command, b""));
                }
            });
        }
    });
}

/// A job that is not there, or is not in a state for it, is an answer too.
fn is_answer(ran: &Ran) -> bool {
    matches!(ran.code, Some(0 | 4 | 5))
}

#[silo::test]
fn every_command_that_calls_a_server_is_tried_here() {
    let mut here: Vec<_> = MORE.iter().map(|(name, _)| *name).collect();
    here.push(STANDARD.0);
    for flag in [
        "--server",
        "--token",
        "--timeout-ms",
        "--connect-timeout-ms",
        "--tls-ca",
        "--tls-domain",
        "--tls-cert",
        "--tls-key",
    ] {
        let mut having = having(flag);
        having.sort();
        here.sort_unstable();
        assert_eq!(having, here, "{flag}");
    }
}

#[silo::test]
fn every_command_looks_for_its_server_where_it_is_told_and_as_long() {
    let nowhere = free_addr().to_string();
    let flags = ["--server", &nowhere, "--connect-timeout-ms", "60"];
    let flags = [&flags[..], &["--output", "json"]].concat();
    let began = Instant::now();
    let all = [&MORE[..], &[STANDARD]].concat();
    each(&all, &flags, |name, ran| {
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (Some(6), ""),
            "{name}: {ran:?}"
        );
        let errors = ran.errors();
        let [error] = &errors[..] else {
            panic!("{name}: {ran:?}");
        };
        assert_eq!(error["code"], "silo::call::unavailable", "{name}");
        assert_eq!(error["exit_code"], 6);
        let message = error["message"].as_str().unwrap();
        assert_eq!(message, format!("cannot reach a server at {nowhere}"));
    });
    // Unless told, they try for five seconds: four at once would take half a minute.
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[silo::test]
fn every_command_shows_the_token() {
    let served = Served::with("token = \"open sesame\"\n[tenancy]\nenabled = false");
    served.wait();
    let addr = served.site.addr.to_string();
    let with = |token: &'static str| ["--server", &addr, "--token", token].map(str::to_owned);
    let wrong = with("wrong");
    let all = [&MORE[..], &[STANDARD]].concat();
    each(&all, &wrong.each_ref().map(String::as_str), |name, ran| {
        assert_eq!(ran.code, Some(7), "{name}: {ran:?}");
        assert!(
            ran.err.contains("silo::call::token_invalid"),
            "{name}: {ran:?}"
        );
    });
    let right = with("open sesame");
    each(&MORE, &right.each_ref().map(String::as_str), |name, ran| {
        assert!(is_answer(&ran), "{name}: {ran:?}");
    });
}

#[silo::test]
fn every_command_speaks_tls() {
    let served = Served::new();
    let folder = served.site.folder();
    let ca = Ca::new().unwrap();
    let file = |name: &str, pem: &str| {
        let path = folder.join(name);
        std::fs::write(&path, pem).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (server, client) = (ca.sign(1).unwrap(), ca.sign(2).unwrap());
    let other_ca = file("other.pem", &Ca::new().unwrap().pem());
    let ca = file("ca.pem", &ca.pem());
    let cert = file("cert.pem", &server.cert_pem);
    let key = file("key.pem", &server.key_pem);
    let (my_cert, my_key) = (
        file("my.pem", &client.cert_pem),
        file("my.key", &client.key_pem),
    );
    drop(served.server);
    let tls = format!("[server.tls]\ncert = {cert:?}\nkey = {key:?}\nclient_ca = {ca:?}");
    let _server = served.site.start_with(&tls);
    let addr = served.site.addr.to_string();
    let flags = |ca: &str, domain: &str, is_known: bool, patience: &str| {
        let mut flags = vec!["--server", &addr, "--connect-timeout-ms", patience];
        flags.extend(["--tls-ca", ca, "--tls-domain", domain]);
        if is_known {
            flags.extend(["--tls-cert", &my_cert, "--tls-key", &my_key]);
        }
        flags.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let run = |flags: Vec<String>, commands: &[(&str, &str)], check: fn(&str, Ran)| {
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        each(commands, &flags, check);
    };
    run(
        flags(&ca, "silo.test", true, "60000"),
        &MORE,
        |name, ran| {
            assert!(is_answer(&ran), "{name}: {ran:?}");
        },
    );
    let all = [&MORE[..], &[STANDARD]].concat();
    for (ca, domain, is_known) in [
        (&other_ca, "silo.test", true),
        (&ca, "other.test", true),
        (&ca, "silo.test", false),
    ] {
        run(flags(ca, domain, is_known, "300"), &all, |name, ran| {
            assert_eq!(ran.code, Some(6), "{name}: {ran:?}");
        });
    }
    run(
        flags("no-such.pem", "silo.test", true, "60"),
        &all,
        |name, ran| {
            assert_eq!(ran.code, Some(2), "{name}: {ran:?}");
            assert!(
                ran.err.contains("cannot read no-such.pem"),
                "{name}: {ran:?}"
            );
        },
    );
}

#[silo::test]
fn every_command_that_has_one_names_its_tenant() {
    let served = Served::with("[tenancy]\nenabled = true\n[fairness.weights]\nacme = 4");
    let addr = served.site.addr.to_string();
    let make = |tenant: &str, id: &str, group: &str| {
        let args = ["job", "enqueue", "--task-group", group, "--id", id];
        let said = served.run(&[&args[..], &["--tenant", tenant]].concat());
        assert_eq!(said.well(), id);
    };
    make("acme", "x", "g");
    let of = |tenant: &str| {
        let flags = ["--server", &addr, "--tenant", tenant, "--output", "json"];
        flags.map(str::to_owned)
    };
    let named: Vec<_> = MORE
        .into_iter()
        .filter(|(name, _)| {
            ["job ", "limit ", "tenant ", "queue "]
                .iter()
                .any(|of| name.starts_with(of))
        })
        .collect();
    let mut having = having("--tenant");
    having.retain(|name| !name.starts_with("bench"));
    having.sort();
    let mut names: Vec<_> = named.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    assert_eq!(having, names);
    // To another tenant the job is not there. These have no job that they could miss.
    let blind = [
        "job enqueue",
        "job list",
        "job delete",
        "job import",
        "job quarantined",
        "tenant show",
        "tenant set",
        "tenant clear",
        "tenant pause",
        "tenant resume",
        "queue pause",
        "queue resume",
        "queue list",
    ];
    let looking: Vec<_> = named
        .iter()
        .copied()
        .filter(|(name, _)| !blind.contains(name) && !name.starts_with("limit "))
        .collect();
    each(
        &looking,
        &of("other").each_ref().map(String::as_str),
        |name, ran| {
            assert_eq!(ran.code, Some(4), "{name}: {ran:?}");
            assert_eq!(ran.errors()[0]["code"], "silo::call::job_not_found");
        },
    );
    let list = |tenant: &str| {
        served
            .run(&["job", "list", "--ids", "--tenant", tenant])
            .well()
    };
    assert_eq!((list("acme").as_str(), list("other").as_str()), ("x", ""));
    let run = |tenant: &str, args: &[&str], stdin: &str| {
        served.run_on(stdin, &[args, &["--tenant", tenant]].concat())
    };
    run("other", &["job", "delete", "x"], "").well();
    assert_eq!(list("acme"), "x");
    let line = json!({"id": "i", "task_group": "g"}).to_string();
    run("other", &["job", "import"], &line).well();
    assert_eq!((list("acme").as_str(), list("other").as_str()), ("x", "i"));
    assert_eq!(
        run("other", &["job", "quarantined"], "").well(),
        "no job is quarantined"
    );
    // What is set of one is not set of the other.
    run("other", &["tenant", "set", "--weight", "3"], "").well();
    run("other", &["tenant", "pause"], "").well();
    run("other", &["queue", "pause", "g"], "").well();
    let stands = |tenant: &str| {
        let shown = run(tenant, &["tenant", "show", "--output", "json"], "").json();
        let queues = run(tenant, &["queue", "list", "--output", "json"], "").json();
        let is_paused = !shown[0]["paused_at_ms"].is_null();
        (shown[0]["weight"].clone(), is_paused, queues.len())
    };
    assert_eq!(stands("other"), (json!(3), true, 1));
    assert_eq!(stands("acme"), (json!(4), false, 0));
    for args in [
        &["tenant", "clear"][..],
        &["tenant", "resume"],
        &["queue", "resume", "g"],
    ] {
        run("other", args, "").well();
    }
    assert_eq!(stands("other"), (json!(1), false, 0));
    for verb in ["pause k", "resume k", "set k 1", "clear k", "set k 2"] {
        let args: Vec<_> = ["limit"].into_iter().chain(verb.split(' ')).collect();
        run("acme", &args, "").well();
    }
    let limits = |tenant: &str| run(tenant, &["limit", "list"], "").well();
    assert!(limits("acme").contains("set to 2"), "{}", limits("acme"));
    assert_eq!(limits("other"), "no limit is in use or set");
    let unused = run("other", &["limit", "show", "k"], "").well();
    assert!(unused.contains("is not in use"), "{unused}");
    assert!(
        run("acme", &["limit", "show", "k"], "")
            .well()
            .contains("set to 2")
    );
    run("acme", &["limit", "recount"], "").well();
    let get = |tenant: &str| run(tenant, &["job", "get", "x", "--output", "json"], "");
    let found: Value = get("acme").json()[0].clone();
    assert_eq!(found["id"], "x");
    // It has not ended, is due, and can be cancelled, run again and removed: once each.
    for (args, code) in [
        (&["job", "result", "x"][..], 5),
        (&["job", "wait", "x", "--timeout", "1ms"], 11),
        (&["job", "expedite", "x"], 5),
        (&["job", "cancel", "x"], 0),
        (&["job", "restart", "x"], 0),
        (&["job", "delete", "x"], 0),
    ] {
        assert_eq!(run("acme", args, "").code, Some(code), "{args:?}");
    }
    assert_eq!(list("acme"), "");
}

#[silo::test]
fn a_call_takes_no_longer_than_it_may() {
    let served = Served::new();
    served.wait();
    let mut command = served.silo();
    command
        .args(["job", "enqueue", "--task-group", "g", "--lines"])
        .args(["--timeout-ms", "300", "--output", "json"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::Write::write_all(&mut stdin, b"1\n").unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    // It is connected, and its server stands still.
    served.server.pause();
    let began = Instant::now();
    std::io::Write::write_all(&mut stdin, b"2\n").unwrap();
    drop(stdin);
    let ended = child.wait_with_output().unwrap();
    let took = began.elapsed();
    served.server.resume();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(10), "{said}");
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(said.contains("\"line\":2"), "{said}");
}

impl Served {
    /// Waits until it answers.
    fn wait(&self) {
        let args = ["shard", "list", "--token", "open sesame"];
        self.run(&args).well();
    }
}
