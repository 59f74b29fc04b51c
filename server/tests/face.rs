//! What all commands share: help, completions, failures, how a server is reached.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects)]

mod flag_table;
mod process;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Stdio;

use flag_table::{ALIKE, OWN};
use process::shell::{Running, end_of};
use process::{Served, free_addr, silo};
use serde_json::{Value, json};
use silo_tests::certificates::Ca;

fn say(args: &[&str]) -> process::shell::Ran {
    let mut command = silo();
    command.args(args);
    end_of(command, b"")
}

fn top() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

#[silo::test]
fn the_page_of_the_command_line_is_what_the_binary_says() {
    let mut command = silo();
    // What is set where the page is made does not show.
    command
        .arg("help-pages")
        .env("SILO_TOKEN", "secret")
        .env("SILO_TENANT", "acme");
    let said = end_of(command, b"").well();
    let page = std::fs::read_to_string(top().join("docs/reference/command-line.md")).unwrap();
    assert!(
        said.trim_end() == page.trim_end(),
        "docs/reference/command-line.md is stale, write it anew:\n\
         cargo run -p silo -- help-pages > docs/reference/command-line.md"
    );
}

/// All flags of all commands, as the page has them.
fn flags_of_all() -> BTreeSet<(String, String)> {
    let page = say(&["help-pages"]).well();
    let mut flags = BTreeSet::new();
    for part in page.split("\n## `").skip(1) {
        let command = part.split('`').next().unwrap();
        let is_flag = |line: &&str| line.starts_with("      --") || line.starts_with("  -c, --");
        for line in part.lines().filter(is_flag) {
            let flag = line.split("--").nth(1).unwrap();
            let name = flag.split([' ', ',']).next().unwrap();
            flags.insert((command.to_owned(), format!("--{name}")));
        }
    }
    flags
}

/// Whether there is a test of this name, as `file::test`.
fn is_test(name: &str) -> bool {
    let (file, test) = name.split_once("::").unwrap();
    let source = std::fs::read_to_string(top().join(format!("server/tests/{file}.rs"))).unwrap();
    let mut lines = source.lines().zip(source.lines().skip(1));
    lines.any(|(before, line)| {
        let name = line
            .strip_prefix("async ")
            .unwrap_or(line)
            .strip_prefix("fn ");
        let is_named = name.and_then(|name| name.split('(').next()) == Some(test);
        is_named && before.starts_with("#[silo::test")
    })
}

#[silo::test]
fn the_effect_of_every_flag_is_shown_by_a_test() {
    let all = flags_of_all();
    let mut shown = BTreeSet::new();
    let mut note = |commands: &[&str], flags: &[&str], test: &str| {
        assert!(is_test(test), "there is no test {test}");
        for command in commands {
            for flag in flags {
                let pair = ((*command).to_owned(), (*flag).to_owned());
                assert!(all.contains(&pair), "{command} has no {flag}");
                shown.insert(pair);
            }
        }
    };
    for (groups, flags, test) in ALIKE {
        groups
            .iter()
            .for_each(|commands| note(commands, flags, test));
    }
    for (commands, flags, test) in OWN {
        note(commands, flags, test);
    }
    let missing: Vec<_> = all.difference(&shown).collect();
    assert!(
        missing.is_empty(),
        "no test shows what these do: {missing:#?}"
    );
    assert!(all.len() > 300, "{}", all.len());
}

#[silo::test]
fn every_flag_of_the_help_has_an_environment_variable() {
    let page = say(&["help-pages"]).well();
    let mut flags = 0;
    for line in page.lines() {
        // A usage that goes on in the next line is not indented so.
        let is_flag = line.starts_with("      --") || line.starts_with("  -c, --");
        if is_flag && let Some(at) = page.find(&format!("{line}\n")) {
            // Until the next flag, or the end of the command.
            let rest = page.split_at(at + line.len()).1;
            let ends = ["\n      --", "\n  -h, ", "\n```"].into_iter();
            let end = ends.filter_map(|end| rest.find(end)).min();
            let told = rest.split_at(end.unwrap()).0;
            assert!(told.contains("[env: SILO_"), "{line}{told}");
            flags += 1;
        }
    }
    assert!(flags > 200, "{flags}");
}

#[silo::test]
fn the_exit_codes_are_in_the_page() {
    let page = say(&["help-pages"]).well();
    for code in (0..=11).chain([141]) {
        let rows = page
            .lines()
            .filter(|line| line.starts_with(&format!("| {code} | ")));
        // 0 is in the table of `silo work` too.
        assert!((1..=2).contains(&rows.count()), "{code}");
    }
    assert!(
        page.contains("| 4 | There is no such job, lease or shard |"),
        "{page}"
    );
}

#[silo::test]
fn shells_are_helped() {
    for (shell, word) in [
        ("bash", "complete -F _silo"),
        ("zsh", "#compdef silo"),
        ("fish", "complete -c silo"),
        ("elvish", "edit:completion"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let script = say(&["completions", shell]).well();
        assert!(
            script.contains(word) && script.contains("enqueue"),
            "{shell}"
        );
    }
    assert!(
        say(&["completions", "bsh"])
            .failed(2)
            .contains("a similar value exists: 'bash'")
    );
}

#[silo::test]
fn mistypes_get_a_suggestion() {
    for (args, tip) in [
        (&["jobs", "get"][..], "a similar subcommand exists: 'job'"),
        (&["job", "enque"], "a similar subcommand exists: 'enqueue'"),
        (
            &["job", "list", "--task-grp", "x"],
            "a similar argument exists: '--task-group'",
        ),
        (
            &["--output", "jsn", "job", "list"],
            "a similar value exists: 'json'",
        ),
        (
            &[
                "job",
                "enqueue",
                "--task-group",
                "g",
                "--retry-jitter",
                "ful",
            ],
            "a similar value exists: 'full'",
        ),
    ] {
        let said = say(args).failed(2);
        assert!(said.contains(tip), "{said}");
        assert!(!said.contains('\u{1b}'), "no colours in a pipe: {said}");
    }
    for (flags, variable) in [
        (&["--output", "json"][..], ""),
        (&["--output=json"], ""),
        (&[], "json"),
    ] {
        let mut command = silo();
        command.args(flags).args(["job", "enque"]);
        if !variable.is_empty() {
            command.env("SILO_OUTPUT", variable);
        }
        let said = end_of(command, b"");
        let error = &said.errors()[0];
        assert_eq!(
            (&error["code"], &error["exit_code"]),
            (&json!("silo::usage"), &json!(2))
        );
        assert_eq!(error["message"], "unrecognized subcommand 'enque'");
        assert!(
            error["help"].as_str().unwrap().contains("'enqueue'"),
            "{error}"
        );
    }
}

#[silo::test]
fn arguments_are_utf8() {
    let mut command = silo();
    command.args(["job", "get"]).arg(OsStr::from_bytes(b"\xff"));
    assert!(end_of(command, b"").failed(2).contains("invalid UTF-8"));
}

#[silo::test]
fn a_server_that_is_not_there_is_said_with_what_to_do() {
    let nowhere = free_addr().to_string();
    let args = [
        "job",
        "get",
        "x",
        "--server",
        &nowhere,
        "--connect-timeout-ms",
        "100",
    ];
    let said = say(&args).failed(6);
    assert!(said.starts_with("silo::call::unavailable"), "{said}");
    assert!(
        said.contains(&format!("cannot reach a server at {nowhere}\n")),
        "{said}"
    );
    assert!(said.contains("`silo dev` starts one"), "{said}");
    assert!(!said.contains('\u{1b}'), "no colours in a pipe: {said}");

    let told = say(&[&args[..], &["--output", "json"]].concat());
    let error = &told.errors()[0];
    assert_eq!(
        (&error["code"], &error["exit_code"]),
        (&json!("silo::call::unavailable"), &json!(6))
    );

    let said = say(&["shard", "list", "--server", "http://x"]).failed(2);
    assert!(
        said.contains("is not a host:port without a scheme"),
        "{said}"
    );

    // One of several is enough.
    let served = Served::new();
    let both = format!("{nowhere},{}", served.site.addr);
    let mut command = silo();
    command.args([
        "shard",
        "list",
        "--server",
        &both,
        "--connect-timeout-ms",
        "60000",
    ]);
    command.args(["--timeout-ms", "60000"]);
    assert!(
        end_of(command, b"")
            .well()
            .contains(&served.site.addr.to_string())
    );
}

#[silo::test]
fn reports_keep_ids_whole() {
    let served = Served::new();
    let id = "a-rather-long-id-".repeat(12);
    let said = served.run(&["job", "get", &id]).failed(4);
    assert!(said.contains(&format!("cannot get job {id}\n")), "{said}");
}

#[silo::test]
fn a_token_and_a_tenant_are_told() {
    let served = Served::with("token = \"open sesame\"");
    for args in [&["--token", "wrong"][..], &[]] {
        let said = served.run(&[&["job", "list"], args].concat()).failed(7);
        assert!(said.contains("silo::call::token_invalid"), "{said}");
        assert!(said.contains("SILO_TOKEN"), "{said}");
    }
    let right = served.run(&["job", "list", "--token", "open sesame"]);
    assert_eq!(right.well(), "");
    let mut command = served.silo();
    command
        .args(["job", "list", "--tenant", "acme"])
        .env("SILO_TOKEN", "open sesame");
    let said = end_of(command, b"").failed(5);
    assert!(said.contains("unset SILO_TENANT"), "{said}");
    // The environment's token is not shown.
    let mut command = silo();
    command
        .args(["job", "list", "--help"])
        .env("SILO_TOKEN", "open sesame");
    assert!(!end_of(command, b"").well().contains("sesame"));
}

#[silo::test]
fn tls_is_spoken() {
    let served = Served::new();
    let folder = served.site.folder();
    let ca = Ca::new().unwrap();
    let file = |name: &str, pem: &str| {
        let path = folder.join(name);
        std::fs::write(&path, pem).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (server, client) = (ca.sign(1).unwrap(), ca.sign(2).unwrap());
    let ca = file("ca.pem", &ca.pem());
    let cert = file("cert.pem", &server.cert_pem);
    let key = file("key.pem", &server.key_pem);
    let my_cert = file("my.pem", &client.cert_pem);
    let my_key = file("my.key", &client.key_pem);
    drop(served.server);
    let _server = served.site.start_with(&format!(
        "[server.tls]\ncert = {cert:?}\nkey = {key:?}\nclient_ca = {ca:?}"
    ));
    let list = |args: &[&str]| {
        let mut command = silo();
        let addr = served.site.addr.to_string();
        command
            .args(["shard", "list", "--connect-timeout-ms", "20000"])
            .args(["--server", &addr])
            .args(args);
        end_of(command, b"")
    };
    let flags = [
        "--tls-ca",
        &ca,
        "--tls-domain",
        "silo.test",
        "--tls-cert",
        &my_cert,
        "--tls-key",
        &my_key,
    ];
    assert!(list(&flags).well().contains("SHARD"));
    let said = list(&["--tls-ca", "no-such.pem"]).failed(2);
    assert!(said.contains("cannot read no-such.pem"), "{said}");
    assert!(
        list(&["--tls-cert", &my_cert])
            .failed(2)
            .contains("--tls-key")
    );
}

#[silo::test]
fn a_reader_that_has_had_enough_ends_a_command_quietly() {
    let served = Served::new();
    served.enqueue("g", "a", &[]);
    for args in [
        &["job", "list"][..],
        &["job", "list", "--output", "json"],
        &["help-pages"],
    ] {
        let mut command = served.silo();
        command
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(
            (ended.status.code(), said.as_str()),
            (Some(141), ""),
            "{args:?}"
        );
    }
}

#[silo::test]
fn dev_says_what_to_do_and_that_works() {
    let folder = tempfile::tempdir().unwrap();
    let addr = free_addr().to_string();
    let start = |more: &[&str]| {
        let mut command = silo();
        command
            .args(["dev", "--grpc-addr", &addr])
            .args(more)
            .env("SILO_METRICS_ADDR", free_addr().to_string())
            .current_dir(folder.path());
        Running::start(command)
    };
    let server = start(&["--data", "data"]);
    let first = server.says("Silo listens on");
    let data = folder.path().canonicalize().unwrap().join("data");
    assert!(first.contains(&addr), "{first}");
    assert!(first.contains(data.to_str().unwrap()), "{first}");
    let commands = [" job enqueue ", " work ", " job result "].map(|verb| server.says(verb));
    let mut shell = std::process::Command::new("sh");
    shell
        .args(["-c", &commands.join("\n")])
        .current_dir(folder.path());
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SILO_"))
    {
        shell.env_remove(name);
    }
    let ran = end_of(shell, b"");
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (Some(0), "{\"greeted\":{\"name\":\"Ada\"}}\n"),
        "{ran:?}"
    );
    server.signal("-INT");
    assert!(server.ended().success());

    let server = start(&["--output", "json", "--data", "data"]);
    let ready: Value = serde_json::from_str(&server.says("{\"addr\"")).unwrap();
    assert_eq!(ready, json!({"addr": addr, "data": data, "shards": 1}));
    server.signal("-INT");
    assert!(server.ended().success());

    // With tenancy there are more shards; other data, as the number is fixed when it is made.
    let server = start(&["--output", "json", "--tenancy", "--data", "others"]);
    let ready: Value = serde_json::from_str(&server.says("{\"addr\"")).unwrap();
    assert_eq!(ready["shards"], 8);
}
