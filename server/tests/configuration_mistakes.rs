//! What `silo config check` says of files that are wrong.

#![cfg(test)]

mod config_file;
mod process;

use config_file::{File, refusal};
use proptest::prelude::*;
use serde_json::Value;

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
            "[fairness]\nweights = { acme = 1001 }",
            [
                "fairness.weights.acme is 1001, but must be 1 to 1000",
                "silo.toml:2:20",
            ],
        ),
        (
            "[fairness]\nweights = 2",
            [
                "fairness.weights is 2, but must be a table of whole numbers",
                "silo.toml:2:11",
            ],
        ),
        (
            "[fairness.weights]\n\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa = 1",
            [
                "is 65 characters long, but must be 1 to 64 characters",
                ":2:",
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
fn programs_are_told_of_all_mistakes_and_where_they_are() {
    let told = |text: &str| -> Value {
        let file = File::new(text);
        let mut command = file.config("check");
        command.args(["--output", "json"]);
        let output = command.output().unwrap();
        let told: Value = serde_json::from_slice(&output.stderr).unwrap();
        told["error"]["mistakes"].clone()
    };
    let several = told("[leases]\ndefault_ms = 99\n[flush]\nbites = 5");
    assert_eq!(several.as_array().unwrap().len(), 2, "{several}");
    for (at, code, line, column) in [
        (0, "silo::config::wrong_value", 2, 14),
        (1, "silo::config::unknown_key", 4, 1),
    ] {
        let mistake = &several[at];
        assert_eq!(mistake["code"], code, "{several}");
        assert_eq!(
            (&mistake["line"], &mistake["column"]),
            (&line.into(), &column.into())
        );
    }
    assert!(
        several[0]["message"]
            .as_str()
            .unwrap()
            .contains("leases.default_ms is 99")
    );
    assert_eq!(several[1]["help"], "did you mean `bytes`?");
    let one = told("[leases]\ndefault_ms = 99");
    assert_eq!(
        (one[0]["line"].as_u64(), one.as_array().unwrap().len()),
        (Some(2), 1)
    );
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
