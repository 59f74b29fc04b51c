//! What the command line says, and with which code it ends.

#![cfg(test)]

mod process;

use process::{Site, silo};

#[silo::test]
fn every_flag_names_its_environment_variable() {
    for verb in ["serve", "dev", "demo"] {
        let help = silo().args([verb, "--help"]).output().unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        let is_flag = |line: &&str| line.starts_with("--") || line.contains(", --");
        let flags = help.lines().map(str::trim_start).filter(is_flag);
        let flags = flags.filter(|line| !line.contains("--help")).count();
        assert!(flags > 0, "{help}");
        assert_eq!(help.matches("[env: SILO_").count(), flags, "{help}");
    }
}

#[silo::test]
fn an_unknown_key_is_refused_with_its_line() {
    let site = Site::new();
    let config = site.config_at(site.addr, "grcp_addr = \"127.0.0.1:1\"");
    let output = silo().args(["serve", "-c"]).arg(&config).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("grcp_addr") && said.contains("silo::config::unknown_key"),
        "{said}"
    );
    assert!(said.contains(":3:1"), "the line is named: {said}");
}

#[silo::test]
fn bounds_are_checked_before_anything_starts() {
    let site = Site::new();
    let config = site.config_at(site.addr, "token = \"\"");
    let output = silo().arg("-c").arg(&config).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("server.token is empty"), "{said}");
}

/// What a server says of a configuration that it refuses.
fn refusal_of(more: &str) -> String {
    let site = Site::new();
    let config = site.config_at(site.addr, more);
    let output = silo().arg("-c").arg(&config).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{more}: {said}");
    // It wraps lines.
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[silo::test]
fn bounds_on_calls_are_checked_one_by_one_and_together() {
    for (line, said) in [
        (
            "payload_bytes_max = 0",
            "service.payload_bytes_max is 0, but must be 1 to 33554432",
        ),
        (
            "payload_bytes_max = 33554433",
            "service.payload_bytes_max is 33554433",
        ),
        (
            "message_bytes_max = 2000000000",
            "service.message_bytes_max is 2000000000",
        ),
        (
            "message_bytes_max = 1000",
            "must be at least payload_bytes_max and 4 MiB",
        ),
        ("streams_max = 0", "service.streams_max is 0"),
        (
            "requests_in_flight_max = 0",
            "service.requests_in_flight_max is 0",
        ),
        (
            "request_bytes_in_flight_max = 1",
            "service.request_bytes_in_flight_max is 1",
        ),
        (
            "answer_bytes_in_flight_max = 1",
            "service.answer_bytes_in_flight_max is 1",
        ),
        (
            "request_arrival_ms = 99",
            "service.request_arrival_ms is 99, but must be 100 to 3600000",
        ),
        ("call_deadline_ms = 999", "service.call_deadline_ms is 999"),
        ("deadline_ms = 5", "no key `deadline_ms` in [service]"),
    ] {
        let refusal = refusal_of(&format!("[service]\n{line}"));
        assert!(refusal.contains(said), "{line}: {refusal}");
    }
}

#[silo::test]
fn a_store_that_cannot_be_used_is_said_with_what_to_read() {
    for (lines, said) in [
        (
            "[database.slatedb]\nl0_max_sts = 5",
            "database.slatedb.l0_max_sts: SlateDB has no",
        ),
        (
            "[database.slatedb]\nflush_interval = \"5ms\"",
            "set [flush] interval_ms",
        ),
        (
            "[database.wal]\nbackend = { kind = \"memory\" }",
            "logs in memory would lose acknowledged jobs",
        ),
    ] {
        let refusal = refusal_of(lines);
        assert!(refusal.contains(said), "{refusal}");
        assert!(refusal.contains("docs/guides/storage.md"), "{refusal}");
    }
}

#[silo::test]
fn a_port_that_is_taken_is_said_with_what_to_do() {
    let site = Site::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = site.config_at(taken.local_addr().unwrap(), "");
    let output = silo().args(["serve", "-c"]).arg(&config).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("cannot listen") && said.contains("another port"),
        "{said}"
    );
    drop(taken);
}

#[silo::test]
fn a_missing_configuration_file_is_said_with_its_path() {
    let output = silo()
        .args(["serve", "-c", "no-such.toml"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("no-such.toml"), "{said}");
}

#[silo::test]
fn without_a_command_the_help_is_shown() {
    let output = silo().output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("Usage: silo")
    );
}

#[silo::test]
fn the_demo_shows_what_it_says_and_ends_well() {
    let output = silo().arg("demo").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}{errors}");
    assert!(
        said.contains("all 1000 acknowledged jobs are there") && !said.contains("WRONG"),
        "{said}"
    );
}

#[silo::test]
fn the_demo_keeps_its_data_where_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut demo = silo();
    demo.args(["demo", "--jobs", "100", "--output", "json", "--data"]);
    let output = demo.arg(&data).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["good"], true);
    let tenants = shown["tenants"].as_array().unwrap().iter();
    let jobs: u64 = tenants.map(|tenant| tenant["jobs"].as_u64().unwrap()).sum();
    assert_eq!(jobs, 100);
    assert!(std::fs::read_dir(&data).unwrap().count() > 0);
    // It is not used again.
    let said = demo.output().unwrap();
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains("silo::demo::folder"), "{said}");
}

#[silo::test]
fn the_demo_shows_the_log_of_its_server_without_colours_in_a_file() {
    let output = silo()
        .args(["demo", "--jobs", "100", "--log", "server"])
        .output()
        .unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(
        log.contains("shard open") && !log.contains('\u{1b}'),
        "{log}"
    );
}

#[silo::test]
fn a_configuration_alone_serves() {
    let output = silo().args(["--config", "no-such.toml"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("no-such.toml"), "{said}");
}
