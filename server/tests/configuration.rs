//! `silo config`, and what it says of files that are right and wrong.

#![cfg(test)]

mod process;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use process::silo;
use proptest::prelude::*;
use serde_json::Value;
use silo_tests::book::Page;

/// What a command ended with and said.
struct Said {
    code: Option<i32>,
    out: String,
    /// Its report, without the lines' ends that depend on the width of a terminal.
    err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let err = String::from_utf8(output.stderr).unwrap();
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: err
                .split_whitespace()
                .filter(|word| *word != "│")
                .collect::<Vec<_>>()
                .join(" "),
        }
    }
}

/// A configuration file in a folder of its own.
struct File {
    folder: tempfile::TempDir,
}

impl File {
    fn new(text: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("silo.toml"), text).unwrap();
        Self { folder }
    }

    /// `silo config VERB silo.toml`, started beside the file.
    fn config(&self, verb: &str) -> Command {
        let mut command = silo();
        command.args(["config", verb, "silo.toml"]);
        command.current_dir(self.folder.path());
        command
    }

    fn checked(&self) -> Said {
        self.config("check").output().unwrap().into()
    }
}

/// What is said of a file that is refused.
#[track_caller]
fn refusal(text: &str) -> String {
    let said = File::new(text).checked();
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{text}");
    said.err
}

/// What holds with this file, as JSON.
#[track_caller]
fn effective(text: &str, variables: &[(&str, &str)]) -> Value {
    let file = File::new(text);
    let mut command = file.config("show");
    command.args(["--output", "json"]);
    command.envs(variables.iter().copied());
    let said: Said = command.output().unwrap().into();
    assert_eq!(said.code, Some(0), "{text}: {}", said.err);
    serde_json::from_str(&said.out).unwrap()
}

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
fn unknown_keys_are_refused_with_their_line_and_the_nearest() {
    for (text, parts) in [
        (
            "[server]\n\ngrcp_addr = \"127.0.0.1:1\"",
            [
                "`grcp_addr` in [server]",
                "silo.toml:3:1",
                "did you mean `grpc_addr`?",
            ],
        ),
        (
            "[servr]\n",
            [
                "`servr` at the top",
                "silo.toml:1:2",
                "did you mean `server`?",
            ],
        ),
        (
            "[server.tls]\ncert = \"a\"\nkey = \"b\"\nreload = 5",
            [
                "`reload` in [server.tls]",
                "silo.toml:4:1",
                "did you mean `reload_ms`?",
            ],
        ),
        (
            "[database.backend]\nkind = \"s3\"\nbucket = \"b\"\nregoin = \"x\"",
            [
                "`regoin` in [database.backend]",
                "silo.toml:4:1",
                "did you mean `region`?",
            ],
        ),
        (
            "[database]\nbackend = { kind = \"fs\", path = \"p\", fsink = true }",
            [
                "`fsink` in [database.backend]",
                "silo.toml:2:38",
                "did you mean `fsync`?",
            ],
        ),
        (
            "[database.wal.backend]\nkind = \"gcs\"\nbucket = \"b\"\nregion = \"x\"",
            [
                "`region` in [database.wal.backend]",
                "silo.toml:4:1",
                "there are: allow_http, bucket",
            ],
        ),
        (
            "[tenancy]\nzzz = 1",
            ["`zzz` in [tenancy]", "silo.toml:2:1", "there are: enabled"],
        ),
    ] {
        let refusal = refusal(text);
        assert!(refusal.contains("silo::config::unknown_key"), "{refusal}");
        for part in parts {
            assert!(refusal.contains(part), "{part}: {refusal}");
        }
    }
}

#[silo::test]
fn wrong_values_are_refused_with_key_value_bound_and_line() {
    for (text, parts) in [
        (
            "[leases]\ndefault_ms = 99",
            [
                "leases.default_ms is 99, but must be 100 to 86400000",
                "silo.toml:2:14",
            ],
        ),
        (
            "[leases]\ndefault_ms = -1",
            [
                "leases.default_ms is -1, but must be a whole number, 100",
                "silo.toml:2:14",
            ],
        ),
        (
            "[leases]\ndefault_ms = 1e3",
            [
                "leases.default_ms is 1e3, but must be a whole number",
                "silo.toml:2:14",
            ],
        ),
        (
            "[leases]\ndefault_ms = \"200\"",
            [
                "default_ms is \"200\", but must be a whole number",
                "silo.toml:2:14",
            ],
        ),
        (
            "leases.dispatch = \"durabel\"",
            [
                "must be \"durable\" or \"speculative\"",
                "did you mean \"durable\"?",
            ],
        ),
        (
            "[flush]\nbytes = 67108865",
            [
                "flush.bytes is 67108865, but must be 1 to 67108864",
                "silo.toml:2:9",
            ],
        ),
        (
            "[flush]\ninterval_ms = false",
            [
                "flush.interval_ms is false, but must be a whole number",
                "silo.toml:2:15",
            ],
        ),
        (
            "[shards]\ncount = 0",
            ["shards.count is 0, but must be at least 1", "silo.toml:2:9"],
        ),
        (
            "[shards]\ncount = 5_000_000_000",
            [
                "shards.count is 5_000_000_000, but must be",
                "silo.toml:2:9",
            ],
        ),
        (
            "[server]\ngrpc_addr = \"here\"",
            [
                "server.grpc_addr is \"here\", but must be an IP address with a port",
                ":2:13",
            ],
        ),
        (
            "[server]\ngrpc_addr = \"0.0.0.0:1\"",
            [
                "server.advertised_grpc_addr is not set, but must be set when",
                ":2:13",
            ],
        ),
        (
            "[server]\ntoken = \"\"",
            ["server.token is empty", "silo.toml:2:9"],
        ),
        (
            "[server.tls]\ncert = \"a\"\nkey = \"b\"\nreload_ms = 99",
            [
                "server.tls.reload_ms is 99, but must be 100 to 86400000, or 0",
                ":4:13",
            ],
        ),
        (
            "[service]\nmessage_bytes_max = 1000",
            [
                "message_bytes_max is 1000, but must be at least payload_bytes_max",
                ":2:21",
            ],
        ),
        // The value that does not fit has its default: the table is pointed at.
        (
            "[service]\nmessage_bytes_max = 1_000_000_000",
            [
                "request_bytes_in_flight_max is 268435456, but must be at least",
                ":1:1",
            ],
        ),
        (
            "server = 5",
            ["server is 5, but must be a table", "silo.toml:1:10"],
        ),
        (
            "log = []",
            ["log is a list, but must be a table", "silo.toml:1:7"],
        ),
        (
            "[database.backend]\nkind = \"s33\"",
            [
                "kind is \"s33\", but must be \"fs\", \"memory\", \"s3\"",
                "did you mean \"s3\"?",
            ],
        ),
        (
            "[database]\nbackend = { path = \"x\" }",
            ["database.backend.kind is missing", "silo.toml:2:11"],
        ),
        (
            "[database.backend]\nkind = \"s3\"",
            ["database.backend.bucket is missing", "silo.toml:1:1"],
        ),
        (
            "[database.backend]\nkind = \"s3\"\nbucket = \"b\"\noptions = { timeout = 5 }",
            [
                "options.timeout is 5, but must be text, in quotes",
                "silo.toml:4:23",
            ],
        ),
        (
            "[database.slatedb]\nx = 1979-05-27",
            [
                "database.slatedb.x is 1979-05-27, but must be text, a number",
                ":2:5",
            ],
        ),
    ] {
        let refusal = refusal(text);
        for part in parts {
            assert!(refusal.contains(part), "{part}: {refusal}");
        }
    }
}

#[silo::test]
fn all_mistakes_are_said_at_once_in_the_order_of_the_file() {
    let refusal = refusal(
        "[leases]\ndefault_ms = 99\n[flush]\nbites = 5\n[server]\ntoken = \"${NOT_THERE}\"",
    );
    assert!(
        refusal.contains("there are 3 mistakes in silo.toml"),
        "{refusal}"
    );
    let at = |part: &str| {
        refusal
            .find(part)
            .unwrap_or_else(|| panic!("{part}: {refusal}"))
    };
    assert!(at("silo.toml:2:14") < at("did you mean `bytes`?"));
    assert!(at("did you mean `bytes`?") < at("variable NOT_THERE is not set"));
}

#[silo::test]
fn what_is_no_toml_is_refused_with_its_line() {
    for (text, place) in [
        ("[server]\ngrpc_addr = ", "silo.toml:2:"),
        ("[server\n", "silo.toml:1:"),
        (
            "[log]\nformat = \"text\"\nformat = \"text\"",
            "silo.toml:3:1",
        ),
    ] {
        let refusal = refusal(text);
        assert!(refusal.contains("silo::config::syntax"), "{refusal}");
        assert!(refusal.contains(place), "{refusal}");
    }
    let said = File::new(b"[server]\nnode_id = \"\xff\"").checked();
    assert_eq!(said.code, Some(1));
    assert!(
        said.err.contains("silo::config::unreadable"),
        "{}",
        said.err
    );
    let said = File::new(vec![b'#'; (1 << 20) + 1]).checked();
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("more than 1048576 bytes"), "{}", said.err);
}

#[silo::test]
fn what_only_a_start_would_find_is_found() {
    for (text, part) in [
        (
            "[server.tls]\ncert = \"a\"\nkey = \"b\"",
            "cannot use the files of server.tls",
        ),
        (
            "[database.slatedb]\nl0_max_sts = 5",
            "l0_max_sts: SlateDB has no such",
        ),
        (
            "[database.wal]\nbackend = { kind = \"memory\" }",
            "would lose acknowledged jobs",
        ),
        (
            "[database.shard]\nl0_bytes = 60_000_000",
            "at least three times l0_bytes",
        ),
        (
            "[database]\nbackend = { kind = \"fs\", path = \"x/%shad%\" }",
            "%shard% is the only placeholder",
        ),
        (
            "[database.backend]\nkind = \"s3\"\nbucket = \"b\"\noptions = { colour = \"x\" }",
            "options.colour: the AWS client has no such option",
        ),
        (
            "[database.backend]\nkind = \"url\"\nurl = \"ftp://x/y\"",
            "ftp://x/y",
        ),
    ] {
        let refusal = refusal(text);
        assert!(refusal.contains(part), "{part}: {refusal}");
    }
}

#[silo::test]
fn variables_stand_in_text_and_for_numbers_and_truths() {
    let text = "[server]\nnode_id = \"a-${SILO_T_ID}-$${X}-$\"\n\
                grpc_addr = \"127.0.0.1:${SILO_T_PORT:-7000}\"\ndev_mode = \"${SILO_T_DEV}\"\n\
                [leases]\ndefault_ms = \"${SILO_T_MS:-200}\"\ndispatch = \"${SILO_T_WHEN}\"\n\
                [database.slatedb]\nobject_store_cache_options = { root_folder = \"${SILO_T_ID}\" }";
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
fn variables_that_cannot_be_used_are_named_with_line_and_key() {
    for (text, parts) in [
        (
            "[server]\ntoken = \"${SILO_T_NONE}\"",
            [
                "server.token: the environment variable SILO_T_NONE is not set",
                "silo.toml:2:10",
            ],
        ),
        (
            "[database]\nbackend = { kind = \"fs\", path = \"a/${SILO_T_NONE}\" }",
            [
                "database.backend.path: the environment variable",
                "silo.toml:2:36",
            ],
        ),
        (
            "[server]\nnode_id = \"${SILO_T_OPEN\"",
            [
                "server.node_id: `${` without a closing `}`",
                "silo.toml:2:12",
            ],
        ),
        (
            "[server]\nnode_id = \"${not a name}\"",
            [
                "server.node_id: `not a name` is no name of a variable",
                "silo.toml:2:12",
            ],
        ),
        (
            "[flush]\nbytes = \"${SILO_T_NONE:-many}\"",
            [
                "flush.bytes is \"many\", but must be a whole number",
                "silo.toml:2:9",
            ],
        ),
        (
            "[flush]\nbytes = \"${SILO_T_NONE:-0}\"",
            [
                "flush.bytes is \"0\", but must be 1 to 67108864",
                "silo.toml:2:9",
            ],
        ),
        (
            "[tenancy]\nenabled = \"${SILO_T_NONE:-yes}\"",
            [
                "tenancy.enabled is \"yes\", but must be true or false",
                "silo.toml:2:11",
            ],
        ),
    ] {
        let refusal = refusal(text);
        for part in parts {
            assert!(refusal.contains(part), "{part}: {refusal}");
        }
    }
}

#[silo::test]
fn a_server_is_started_with_variables() {
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

/// Text in which what matters to a configuration is frequent.
fn text() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "[server]",
        "[database.backend]",
        "[servr]",
        "\n",
        "\n",
        " = ",
        "token",
        "grpc_addr",
        "kind",
        "options",
        "\"",
        "\"\"\"",
        "'",
        "${",
        "}",
        ":-",
        "$",
        "{",
        "[",
        "]",
        "5",
        "-1",
        "1e9",
        "nan",
        "true",
        "\"s3\"",
        "\"${HOME}\"",
        "ü",
        "\u{feff}",
        "\\",
        "#",
        ".",
        ",",
        "1979-05-27",
    ]);
    let part = prop_oneof![4 => words.prop_map(str::to_owned), 1 => any::<String>()];
    prop::collection::vec(part, 0..25).prop_map(|parts| parts.concat())
}

#[silo::test]
fn any_text_is_understood_or_refused() {
    let config = ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(text in text())| {
        let said = File::new(&text).checked();
        prop_assert!(matches!(said.code, Some(0 | 1)), "{:?}: {}", said.code, said.err);
        prop_assert_eq!(said.code == Some(0), said.err.is_empty());
    });
}
