//! The rules of the repository that no compiler knows: what lies where, what a source may say,
//! and how long it may get. Each test lists every fault, with what to do instead.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use silo::source::code;

/// The folders at the top: `README.md` says what each is for.
const FOLDERS: [&str; 15] = [
    ".cargo",
    ".ci",
    ".config",
    ".github",
    "core",
    "docs",
    "fuzz",
    "proto",
    "runtime",
    "scripts",
    "server",
    "sim",
    "specs",
    "tests",
    "typescript_client",
];

/// The files that tools, or people, look for at the top.
const FILES: [&str; 18] = [
    ".dockerignore",
    ".editorconfig",
    ".gitattributes",
    ".gitignore",
    "AGENTS.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "Dockerfile",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "clippy.toml",
    "deny.toml",
    "justfile",
    "rust-toolchain.toml",
    "rustfmt.toml",
];

/// What dependencies are re-exposed, and where: whoever uses the crate needs them to use it.
const RE_EXPORTS: [(&str, &str); 1] = [("tests/support/src/lib.rs", "silo_test_macros::test")];

const LINES_MAX: usize = 600;
const COLUMNS_MAX: usize = 100;

#[silo::test]
fn the_top_level_holds_only_what_belongs_there() {
    let mut faults = Faults::default();
    for path in files() {
        let top = path.split('/').next().unwrap_or_default();
        let known = if path.contains('/') {
            FOLDERS.contains(&top)
        } else {
            FILES.contains(&top)
        };
        if !known {
            faults.add(
                &path,
                "has no place at the top level: move it into one of the folders",
            );
        }
    }
    faults.report();
}

#[silo::test]
fn sources_keep_to_the_rules() {
    let mut faults = Faults::default();
    for path in sources() {
        for fault in faults_of(&path, &read(&path)) {
            faults.add(&path, &fault);
        }
    }
    faults.report();
}

#[silo::test]
fn folders_of_modules_say_what_they_are() {
    let mut folders = BTreeMap::<String, BTreeSet<String>>::new();
    for path in sources().into_iter().filter(|path| is_product(path)) {
        if let Some((folder, file)) = path.rsplit_once('/') {
            folders
                .entry(folder.to_owned())
                .or_default()
                .insert(file.to_owned());
        }
    }
    let mut faults = Faults::default();
    for (folder, files) in folders
        .iter()
        .filter(|(folder, _)| !folder.ends_with("/bin"))
    {
        let heads: Vec<_> = ["lib.rs", "main.rs", "mod.rs"]
            .into_iter()
            .filter(|head| files.contains(*head))
            .collect();
        if heads.is_empty() && files.len() > 1 {
            faults.add(
                folder,
                "has several modules and no mod.rs that says what they are",
            );
        }
        for head in heads {
            let path = format!("{folder}/{head}");
            if !read(&path).starts_with("//!") {
                faults.add(
                    &path,
                    "must begin with `//!`: what is this, and where to start reading",
                );
            }
        }
    }
    faults.report();
}

#[silo::test]
fn scripts_stop_at_the_first_error_and_explain_themselves() {
    let mut faults = Faults::default();
    for path in files().into_iter().filter(|path| is_script(path)) {
        let text = read(&path);
        if !text.starts_with("#!/usr/bin/env bash\n") {
            continue;
        }
        for needed in ["\nset -euo pipefail\n", "--help"] {
            if !text.contains(needed) {
                faults.add(&path, &format!("has no `{}`", needed.trim()));
            }
        }
    }
    faults.report();
}

#[silo::test]
fn the_book_has_every_page() {
    let summary = read("docs/SUMMARY.md");
    let linked: BTreeSet<_> = summary
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .filter(|(target, _)| !target.is_empty())
        .map(|(target, _)| format!("docs/{}", target.trim_start_matches("./")))
        .collect();
    let pages: BTreeSet<_> = files()
        .into_iter()
        .filter(|path| path.starts_with("docs/") && path.ends_with(".md"))
        .filter(|path| path != "docs/SUMMARY.md")
        .collect();
    let mut faults = Faults::default();
    for page in pages.difference(&linked) {
        faults.add(page, "is in no chapter: link it in docs/SUMMARY.md");
    }
    for target in linked.difference(&pages) {
        faults.add(target, "is linked in docs/SUMMARY.md and does not exist");
    }
    faults.report();
}

#[silo::test]
fn faults_are_found() {
    let in_source = |text: &str| faults_of("core/src/x.rs", text).len();
    assert_eq!(in_source("#[cfg(test)]\nmod tests;"), 1);
    assert_eq!(in_source("use super::x;"), 1);
    assert_eq!(in_source("fn f() { unimplemented!() }"), 1);
    assert_eq!(in_source(concat!("// TO", "DO: later")), 1);
    assert_eq!(in_source("fn f() { eprintln!(\"{x}\") }"), 1);
    assert_eq!(in_source("pub use crate::x::Y;"), 1);
    assert_eq!(in_source("pub(crate) use crate::x::Y;"), 1);
    assert_eq!(in_source(&"x".repeat(101)), 1);
    assert_eq!(in_source(&"x\n".repeat(600)), 1);
    assert_eq!(faults_of("core/tests/x.rs", "#[ignore]\n").len(), 1);
    assert_eq!(
        faults_of("core/src/x.rs", "\nuse super::x;"),
        ["line 2: `super::`: name it from `crate::`"]
    );
}

#[silo::test]
fn what_keeps_to_the_rules_is_no_fault() {
    let in_source = |text: &str| faults_of("core/src/x.rs", text).len();
    assert_eq!(
        in_source("/// Not `super::x`, nor println!\nfn f() { g(\"todo!\") }"),
        0
    );
    assert_eq!(in_source(&format!("//! https://{}", "x".repeat(101))), 0);
    assert_eq!(in_source(&"x\n".repeat(599)), 0);
    assert_eq!(in_source("writeln!(output, \"{x}\")?;"), 0);
    assert_eq!(
        faults_of("tests/tests/x.rs", "fn f() { println!() }").len(),
        0
    );
    let (path, used) = RE_EXPORTS[0];
    assert_eq!(faults_of(path, &format!("pub use {used};")).len(), 0);
}

/// What a source does wrong, with its line.
fn faults_of(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let length = text.lines().count();
    if length >= LINES_MAX {
        faults.push(format!(
            "has {length} lines: split it below {LINES_MAX}, one concern per file"
        ));
    }
    let code = code(text);
    for (number, (line, code)) in text
        .lines()
        .zip(code.lines().chain(std::iter::repeat("")))
        .enumerate()
    {
        let fault = |what: &str, instead: &str| {
            format!("line {}: `{what}`: {instead}", number.saturating_add(1))
        };
        if line.chars().count() > COLUMNS_MAX && !line.contains("://") {
            faults.push(fault("…", &format!("more than {COLUMNS_MAX} columns")));
        }
        for (word, instead) in BANNED_IN_TEXT {
            if has_word(line, word) {
                faults.push(fault(word, instead));
            }
        }
        for (word, instead) in BANNED {
            if has_word(code, word) {
                faults.push(fault(word, instead));
            }
        }
        for (word, instead) in BANNED_IN_PRODUCT {
            if is_product(path) && has_word(code, word) {
                faults.push(fault(word, instead));
            }
        }
        if let Some(used) = re_export(code)
            && !RE_EXPORTS.contains(&(path, used))
        {
            faults.push(fault(
                "pub use",
                "make the module public: one path per name",
            ));
        }
    }
    faults
}

const BANNED_IN_TEXT: [(&str, &str); 2] = [
    (concat!("TO", "DO"), "do it, or write an issue"),
    (concat!("FIX", "ME"), "fix it, or write an issue"),
];

const BANNED: [(&str, &str); 5] = [
    ("super::", "name it from `crate::`"),
    ("todo!", "write it, or leave it out"),
    ("unimplemented!", "write it, or leave it out"),
    (
        "#[ignore",
        "a test that needs a tool is a target with `test = false`, run by scripts/test",
    ),
    ("dbg!", "use `tracing`"),
];

/// In what we ship, that is, in `src`.
const BANNED_IN_PRODUCT: [(&str, &str); 6] = [
    ("cfg(test)", "tests stand in `tests`, beside `src`"),
    ("cfg_attr(test", "tests stand in `tests`, beside `src`"),
    (
        "print!",
        "write to a writer that is passed in, or use `tracing`",
    ),
    (
        "println!",
        "write to a writer that is passed in, or use `tracing`",
    ),
    (
        "eprint!",
        "write to a writer that is passed in, or use `tracing`",
    ),
    (
        "eprintln!",
        "write to a writer that is passed in, or use `tracing`",
    ),
];

/// Whether the line has this text, not as the rest or the beginning of a longer word.
fn has_word(line: &str, word: &str) -> bool {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(word).any(|(start, found)| {
        let (before, rest) = line.split_at(start);
        let after = rest.get(found.len()..).unwrap_or_default();
        let open_before = !found.starts_with(is_word) || !before.ends_with(is_word);
        let open_after = !found.ends_with(is_word) || !after.starts_with(is_word);
        open_before && open_after
    })
}

/// What a line of code re-exports: also within the crate, where it would be a second path.
fn re_export(code: &str) -> Option<&str> {
    let rest = code.trim_start().strip_prefix("pub")?;
    let rest = match rest.strip_prefix('(') {
        Some(scope) => scope.split_once(')')?.1,
        None => rest,
    };
    Some(
        rest.trim_start()
            .strip_prefix("use ")?
            .trim_end_matches(';'),
    )
}

fn sources() -> Vec<String> {
    files()
        .into_iter()
        .filter(|path| path.ends_with(".rs"))
        .collect()
}

/// Whether a file is part of what we ship.
fn is_product(path: &str) -> bool {
    path.split('/').any(|part| part == "src")
}

fn is_script(path: &str) -> bool {
    path == ".ci/run" || path.starts_with("scripts/")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files, relative to the top: those that git knows or would add, or what lies here when this
/// is not a git checkout.
fn files() -> Vec<String> {
    let files = files_of_git().unwrap_or_else(|| {
        let mut found = Vec::new();
        walk(&root(), &mut found);
        found
    });
    assert!(
        files.len() > 10,
        "the repository has hardly any files: {files:?}"
    );
    files
}

fn files_of_git() -> Option<Vec<String>> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let there = |path: &&str| !path.is_empty() && root().join(path).is_file();
    output
        .status
        .success()
        .then(|| text.split('\0').filter(there).map(str::to_owned).collect())
}

fn walk(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let relative = path
            .strip_prefix(root())
            .unwrap()
            .to_string_lossy()
            .replace('\\', "/");
        if path.is_file() {
            found.push(relative);
        } else if !["target", ".git", "docs/book"].contains(&relative.as_str())
            && !relative.ends_with("node_modules")
        {
            walk(&path, found);
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Collects all faults of a rule, to show them at once.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn add(&mut self, path: &str, fault: &str) {
        self.0.push(format!("{path}: {fault}"));
    }

    fn report(self) {
        assert!(self.0.is_empty(), "\n{}\n", self.0.join("\n"));
    }
}
