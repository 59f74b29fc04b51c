//! The core stays pure: what it stands on is decided here, crate by crate, and its sources name
//! nothing that reads a clock, draws entropy, waits or does I/O. `clippy.toml` says the same to
//! the compiler's eyes; this also sees what no lint does.

#![cfg(test)]
#![expect(
    clippy::disallowed_methods,
    reason = "a test reads files and asks cargo"
)]
#![expect(clippy::disallowed_types, reason = "a test reads files and asks cargo")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use silo::source::code;

/// Everything that ends up in the core's machine code. A new line here is a decision: the crate
/// must not read a clock, draw entropy, spawn, wait or do I/O, with the features it is used with.
const DEPENDENCIES: [&str; 7] = [
    "base64",
    "borsh",
    "bytes",
    "silo-core",
    "thiserror",
    "uuid",
    "xxhash-rust",
];

/// Modules of the standard library that have no business in a pure machine.
const MODULES: [&str; 6] = ["env", "fs", "net", "os", "process", "thread"];

/// Words, and what to write in their place.
const WORDS: [(&str, &str); 8] = [
    (
        "HashMap",
        "use BTreeMap: its order does not hang on a random seed",
    ),
    (
        "HashSet",
        "use BTreeSet: its order does not hang on a random seed",
    ),
    ("Instant", "use the command's stamp"),
    ("SystemTime", "use the command's stamp"),
    ("async", "return what to do; the driver waits"),
    ("await", "return what to do; the driver waits"),
    ("static", "pass it as an argument, or make it a `const`"),
    ("thread_local", "pass it as an argument"),
];

#[silo::test]
fn every_dependency_was_decided() {
    let mut actual: Vec<_> = dependencies();
    actual.sort();
    actual.dedup();
    assert_eq!(
        actual, DEPENDENCIES,
        "the core's dependencies (left) are not those that were decided (right); \
         see `cargo tree -p silo-core -e normal,no-proc-macro`"
    );
}

#[silo::test]
fn no_source_names_what_is_impure() {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(!sources.is_empty(), "no sources were read");
    let faults: Vec<_> = sources
        .iter()
        .flat_map(|path| {
            let found = faults(&fs::read_to_string(path).unwrap());
            found
                .into_iter()
                .map(move |fault| format!("{}:{fault}", path.display()))
        })
        .collect();
    assert!(
        faults.is_empty(),
        "the core must stay pure:\n{}",
        faults.join("\n")
    );
}

#[silo::test]
fn what_is_impure_is_found() {
    let found = |source| faults(source).len();
    assert_eq!(found("use std::fs;"), 1);
    assert_eq!(found("fn f() { ::std::thread::spawn(g) }"), 1);
    assert_eq!(found("use std::{collections::BTreeMap, fs};"), 1);
    assert_eq!(
        found("use std::{\n    net::{IpAddr, TcpStream},\n    env,\n};"),
        2
    );
    assert_eq!(found("use std::time::{Duration, Instant};"), 1);
    assert_eq!(found("async fn f() { g().await }"), 2);
    assert_eq!(found("static COUNT: u8 = 0;"), 1);
    assert_eq!(
        faults("\n\nuse std::fs;"),
        ["3: `std::fs`: the driver does that"]
    );
}

#[silo::test]
fn what_is_pure_is_not_found() {
    let found = |source| faults(source).len();
    assert_eq!(
        found("// no HashMap, no std::fs\nuse std::collections::BTreeMap;"),
        0
    );
    assert_eq!(found("use std::{cmp::Ordering, fmt::{self, Display}};"), 0);
    assert_eq!(found("fn instantiate(network: &'static str, fs: u8) {}"), 0);
    assert_eq!(found("const HELP: &str = \"std::thread\";"), 0);
}

/// The crates linked into the core when it is built alone: a build of the whole workspace would
/// add the features that other crates turn on.
fn dependencies() -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package",
            "silo-core",
            "--edges",
            "normal,no-proc-macro",
        ])
        .args(["--prefix", "none", "--format", "{p}"])
        .args(["--offline", "--locked", "--quiet"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let tree = String::from_utf8(output.stdout).unwrap();
    tree.lines()
        .filter_map(|line| line.split(' ').next().map(str::to_owned))
        .collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// What is impure in a source, with its line.
fn faults(source: &str) -> Vec<String> {
    let code = code(source);
    let tokens = tokens(&code);
    let mut faults = Vec::new();
    for (position, (line, token)) in tokens.iter().enumerate() {
        let rest = tokens.get(position..).unwrap_or_default();
        if *token == "std" {
            let modules = modules(rest)
                .into_iter()
                .filter(|(_, name)| MODULES.contains(name));
            faults.extend(
                modules.map(|(at, name)| format!("{at}: `std::{name}`: the driver does that")),
            );
        }
        if let Some((word, instead)) = WORDS.iter().find(|(word, _)| word == token) {
            faults.push(format!("{line}: `{word}`: {instead}"));
        }
    }
    faults
}

/// The modules named by a path that begins with the first token, of which `{}` may hold several.
fn modules<'a>(path: &[(usize, &'a str)]) -> Vec<(usize, &'a str)> {
    let mut words = path.iter().skip(1).skip_while(|(_, token)| *token == ":");
    let Some(first) = words.next() else {
        return Vec::new();
    };
    if first.1 != "{" {
        return vec![*first];
    }
    let (mut depth, mut at_start, mut found) = (1_usize, true, Vec::new());
    for (line, token) in words {
        match *token {
            "{" => depth = depth.saturating_add(1),
            "}" => depth = depth.saturating_sub(1),
            "," => at_start = depth == 1,
            name if at_start => {
                found.push((*line, name));
                at_start = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    found
}

/// Words, lifetimes (with their tick, so that `'static` is not `static`) and single other
/// characters, each with its line.
fn tokens(code: &str) -> Vec<(usize, &str)> {
    let mut tokens = Vec::new();
    for (line, text) in code.lines().enumerate() {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let after = rest
                .char_indices()
                .skip(1)
                .find(|(_, next)| !is_word(*next));
            let end = match after {
                _ if !is_word(first) && first != '\'' => first.len_utf8(),
                Some((end, _)) => end,
                None => rest.len(),
            };
            let (token, others) = rest.split_at(end);
            tokens.push((line.saturating_add(1), token));
            rest = others.trim_start();
        }
    }
    tokens
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}
