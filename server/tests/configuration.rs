//! `silo config`: what it says of files that are right, and what it never says.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects)]

mod config_file;
mod process;

use std::path::{Path, PathBuf};
use std::process::Command;

use config_file::{File, Said, effective, refusal};
use process::silo;
use serde_json::Value;
use silo_tests::book::Page;

#[silo::test]
fn what_is_right_is_said_with_what_would_happen() {
    let file = File::new(
        "[server]\ngrpc_addr = \"127.0.0.1:4444\"\ntoken = \"s\"\n[tenancy]\nenabled = true\n\
         [database]\nbackend = { kind = \"fs\", path = \"here\", fsync = false }",
    );
    let said = file.checked();
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.starts_with("ok: silo.toml\n"), "{}", said.out);
    for part in [
        "127.0.0.1:4444, plain text",
        "whoever has the token",
        "every call names one",
        "here (no fsync)",
        "8 shards",
    ] {
        assert!(said.out.contains(part), "{part}: {}", said.out);
    }
    let mut command = file.config("check");
    let said: Said = command.env("SILO_OUTPUT", "json").output().unwrap().into();
    let plan: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(plan["ok"], true);
    assert_eq!(plan["shards"], 8);
    assert_eq!(plan["data"], "here (no fsync)");
    // Nothing was made.
    assert!(!file.folder.path().join("here").exists());
}

#[silo::test]
fn the_file_may_be_named_by_flag_and_environment_or_be_absent() {
    let file = File::new("[shards]\ncount = 77");
    let path = file.folder.path().join("silo.toml");
    let run = |command: &mut Command| -> String {
        let said: Said = command.output().unwrap().into();
        assert_eq!(said.code, Some(0), "{}", said.err);
        said.out
    };
    let by_flag = run(silo().arg("-c").arg(&path).args(["config", "check"]));
    assert!(by_flag.contains("77 shards"), "{by_flag}");
    let by_variable = run(silo().args(["config", "check"]).env("SILO_CONFIG", &path));
    assert!(by_variable.contains("77 shards"), "{by_variable}");
    let absent = run(silo().args(["config", "check"]));
    assert!(
        absent.contains("no file") && absent.contains("1 shard\n"),
        "{absent}"
    );
}

#[silo::test]
fn variables_stand_in_text_and_for_numbers_and_truths() {
    let text = "[server]\nnode_id = \"a-${SILO_T_ID}-$${X}-$\"\n\
                grpc_addr = \"127.0.0.1:${SILO_T_PORT:-7000}\"\ndev_mode = \"${SILO_T_DEV}\"\n\
                [leases]\ndefault_ms = \"${SILO_T_MS:-200}\"\ndispatch = \"${SILO_T_WHEN}\"\n\
                [database.slatedb]\nobject_store_cache_options.root_folder = \"${SILO_T_ID}\"";
    let variables = [
        ("SILO_T_ID", "q\" ]\nx = '${SILO_T_DEV}'"),
        ("SILO_T_DEV", "true"),
        ("SILO_T_WHEN", "speculative"),
    ];
    let config = effective(text, &variables);
    let id = "q\" ]\nx = '${SILO_T_DEV}'";
    assert_eq!(config["server"]["node_id"], format!("a-{id}-${{X}}-$"));
    assert_eq!(config["server"]["grpc_addr"], "127.0.0.1:7000");
    assert_eq!(config["server"]["dev_mode"], true);
    assert_eq!(config["leases"]["default_ms"], 200);
    assert_eq!(config["leases"]["dispatch"], "speculative");
    let cache = &config["database"]["slatedb"]["object_store_cache_options"];
    assert_eq!(cache["root_folder"], id);
}

#[silo::test]
fn a_server_does_not_start_without_its_variables() {
    let site = process::Site::new();
    let config = site.config_at(site.addr, "token = \"${SILO_T_NONE}\"");
    let said: Said = silo()
        .args(["serve", "-c"])
        .arg(config)
        .output()
        .unwrap()
        .into();
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("SILO_T_NONE is not set"), "{}", said.err);
}

/// A file with a secret wherever there may be one.
const SECRETS: &str = "[server]\ntoken = \"hunter2\"\n\
    [database.backend]\nkind = \"s3\"\nbucket = \"jobs\"\nendpoint = \"https://u:hunter2@host/x\"\n\
    [database.backend.options]\nsecret_access_key = \"hunter2\"\nAWS_SESSION_TOKEN = \"hunter2\"\n\
    proxy_url = \"http://u:hunter2@proxy\"\ntimeout = \"5s\"\n\
    [database.wal.backend]\nkind = \"azure\"\ncontainer = \"logs\"\n\
    options = { azure_storage_account_key = \"${SILO_T_KEY:-hunter2}\", sas_key = \"hunter2\" }\n";

#[silo::test]
fn secrets_are_never_shown() {
    let file = File::new(SECRETS);
    for format in ["text", "json"] {
        let mut command = file.config("show");
        let said: Said = command.args(["--output", format]).output().unwrap().into();
        assert_eq!(said.code, Some(0), "{}", said.err);
        assert!(!said.out.contains("hunter2"), "{}", said.out);
        assert!(
            said.out.contains("5s") && said.out.contains("jobs"),
            "{}",
            said.out
        );
    }
    let config = effective(SECRETS, &[]);
    assert_eq!(config["server"]["token"], "***");
    let backend = &config["database"]["backend"];
    assert_eq!(backend["options"]["secret_access_key"], "***");
    assert_eq!(backend["options"]["proxy_url"], "http://***@proxy");
    assert_eq!(backend["endpoint"], "https://***@host/x");
    let log = &config["database"]["wal"]["backend"];
    assert_eq!(log["options"]["azure_storage_account_key"], "***");

    // Nor in the lines that errors show, next to what is wrong.
    for wrong in [
        "[server]\nnode_id = 5\ntoken = \"hunter2\"",
        "[server]\nnode_id = 5\ntokn = \"hunter2\"",
        "[servr]\ntoken = \"hunter2\"",
        "[server]\ntoken = \"\"\"\nhunter2\"\"\"\nnode_id = 5",
        "[server]\ntoken = [\"hunter2\"]",
        "[server]\ntoken = \"hunter2\nnode_id = 5",
        "[server]\ntoken = hunter2",
        "[server]\ntoken = \"${hunter2\"",
        "[database.backend]\nkind = \"s3\"\nbucket = 5\noptions = { token = \"hunter2\" }",
    ] {
        let refusal = refusal(wrong);
        assert!(!refusal.contains("hunter2"), "{wrong}: {refusal}");
    }
}

#[silo::test]
fn what_is_shown_can_be_served() {
    let shown = |text: &str| -> String {
        let said: Said = File::new(text).config("show").output().unwrap().into();
        assert_eq!(said.code, Some(0), "{}", said.err);
        said.out
    };
    let first = shown("[server]\nnode_id = \"x\"\n[retention]\nfailed_ms = 5");
    assert!(
        first.contains("failed_ms = 5") && first.contains("streams_max"),
        "{first}"
    );
    assert_eq!(shown(&first), first);
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

#[silo::test]
fn the_reference_page_is_what_the_types_say() {
    let output = silo().args(["config", "reference"]).output().unwrap();
    let now = String::from_utf8(output.stdout).unwrap();
    let page = std::fs::read_to_string(docs().join("reference/configuration.md")).unwrap();
    assert!(
        page == now,
        "docs/reference/configuration.md is not what the types say: \
         cargo run --bin silo -- config reference > docs/reference/configuration.md"
    );
    // Whatever has no words of its own would be a hole in the page.
    assert!(!now.contains("|  |\n"), "a key has no doc comment");
}

#[silo::test]
fn the_schema_is_that_of_the_file() {
    let mut command = silo();
    command.args(["config", "reference", "--output", "json"]);
    let said: Said = command.output().unwrap().into();
    let schema: Value = serde_json::from_str(&said.out).unwrap();
    let server = &schema["properties"]["server"]["properties"];
    assert_eq!(server["grpc_addr"]["default"], "127.0.0.1:7450");
    assert_eq!(schema["additionalProperties"], false);
}

#[silo::test]
fn every_example_is_right_and_in_the_guide() {
    let guide = std::fs::read_to_string(docs().join("guides/configuration.md")).unwrap();
    let mut examples = 0;
    for entry in std::fs::read_dir(docs().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let include = format!("{{{{#include ../examples/{name}}}}}");
        assert!(guide.contains(&include), "{name} is not in the guide");
        let mut command = silo();
        command.args(["config", "check"]).arg(&path);
        command.env("SILO_ADVERTISED", "silo-1:7450");
        command.env("SILO_TOKEN", "hunter2");
        command.env("SILO_BUCKET", "jobs");
        command.env("SILO_CONTAINER", "jobs");
        command.env("AZURE_STORAGE_ACCOUNT_NAME", "mycompany");
        let said: Said = command.output().unwrap().into();
        assert_eq!(said.code, Some(0), "{name}: {}", said.err);
        examples += 1;
    }
    assert_eq!(examples, 4);
}

#[silo::test]
fn every_piece_of_configuration_in_the_guides_is_understood() {
    let mut pieces = 0;
    for page in ["configuration", "storage", "tls"] {
        let text = std::fs::read_to_string(docs().join(format!("guides/{page}.md"))).unwrap();
        for code in Page::parse(&text).code {
            if code.info == "toml" && !code.text.contains("{{#include") {
                effective(&code.text, &[("SILO_TOKEN", "hunter2")]);
                pieces += 1;
            }
        }
    }
    assert!(pieces > 6, "{pieces}");
}

#[silo::test]
fn every_command_and_flag_explains_itself() {
    for verb in ["check", "show", "reference"] {
        let output = silo().args(["config", verb, "--help"]).output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(help.contains("[env: SILO_OUTPUT"), "{help}");
        assert_eq!(
            help.contains("[env: SILO_CONFIG"),
            verb != "reference",
            "{help}"
        );
    }
}
