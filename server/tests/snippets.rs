//! The commands of the book do what the book says.
//!
//! On the pages below, each block of `sh` is run by a shell in an empty folder, in order, and each
//! block of `text` right after one is what it prints: line by line, `…` standing for anything. A
//! block marked `sh background` is a server of that page.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects)]

mod process;

use std::path::Path;
use std::process::{Child, Command, Stdio};

use process::{free_addr, silo};
use silo_tests::book::{Code, Page};

#[silo::test]
fn the_first_job_is_as_the_page_says() {
    run(
        include_str!("../../docs/start/first-job.md"),
        Server::OfPage,
    );
}

#[silo::test]
fn enqueuing_is_as_the_page_says() {
    run(include_str!("../../docs/guides/enqueue.md"), Server::Needed);
}

#[silo::test]
fn limits_are_as_the_page_says() {
    run(include_str!("../../docs/guides/limits.md"), Server::Needed);
}

#[silo::test]
fn workers_are_as_the_page_says() {
    run(include_str!("../../docs/guides/workers.md"), Server::Needed);
}

#[silo::test]
fn what_is_printed_is_compared() {
    assert!(is_as_said("a\nb", "a\nb\n"));
    assert!(is_as_said("a … c", "a b c"));
    assert!(is_as_said("…\n6", "anything\n6"));
    assert!(!is_as_said("a", "a\nb"));
    assert!(!is_as_said("a … c", "a b d"));
    assert!(!is_as_said("7", "6"));
}

/// Whose server a page talks to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Server {
    /// The page starts it.
    OfPage,
    /// It takes for granted that there is one.
    Needed,
}

/// A shell in the background, and all that it started.
struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        // `exec`ed by its shell, so that this is the server.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(page: &str, server: Server) {
    let folder = tempfile::tempdir().unwrap();
    let addr = free_addr().to_string();
    let shell = |text: &str| {
        let mut command = Command::new("bash");
        command
            .args(["-euo", "pipefail", "-c", text])
            .current_dir(folder.path())
            .envs(silo().get_envs().filter_map(|(k, v)| Some((k, v?))))
            .env("PATH", path_with(Path::new(env!("CARGO_BIN_EXE_silo"))))
            .env("SILO_GRPC_ADDR", &addr)
            .env("SILO_METRICS_ADDR", "off")
            .env("SILO_SERVER", &addr);
        command
    };
    let background = |text: &str| {
        let mut command = shell(&format!("exec {text}"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Background(command.spawn().unwrap())
    };
    let mut running = Vec::new();
    if server == Server::Needed {
        running.push(background("silo dev"));
    }
    let mut ran = 0;
    let mut blocks = Page::parse(page).code.into_iter().peekable();
    while let Some(Code { info, text }) = blocks.next() {
        match info.as_str() {
            "sh background" => running.push(background(&text)),
            "sh" => {
                let output = shell(&text).output().unwrap();
                let said = String::from_utf8(output.stdout).unwrap();
                let errors = String::from_utf8(output.stderr).unwrap();
                assert!(output.status.success(), "{text}: {said}{errors}");
                if let Some(expected) = blocks.next_if(|next| next.info == "text") {
                    let is = is_as_said(&expected.text, &said);
                    assert!(is, "{text}:\n{said}\ninstead of\n{}", expected.text);
                }
                ran += 1;
            }
            _ => {}
        }
    }
    assert!(ran > 0 && !running.is_empty(), "{ran} blocks ran");
}

/// The path of the environment, behind the folder of this program.
fn path_with(program: &Path) -> std::ffi::OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let first = program.parent().unwrap().to_owned();
    std::env::join_paths(std::iter::once(first).chain(std::env::split_paths(&path))).unwrap()
}

/// Whether each line is what was expected, `…` standing for anything.
fn is_as_said(expected: &str, said: &str) -> bool {
    let lines = |text: &str| {
        let lines = text.trim_end().lines().map(|line| line.trim().to_owned());
        lines.collect::<Vec<_>>()
    };
    let (expected, said) = (lines(expected), lines(said));
    expected.len() == said.len() && expected.iter().zip(&said).all(|(e, s)| matches(e, s))
}

fn matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        last = Some(part);
        rest = after;
    }
    match last {
        None => rest.is_empty(),
        Some(part) => part.is_empty() || rest.is_empty() || line.ends_with(part),
    }
}
