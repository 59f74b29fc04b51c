//! Commands as people and scripts run them.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::process::{Served, silo};

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a command that has ended said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Asserts that it ended with 0, without a word on standard error.
    pub(crate) fn well(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{self:?}");
        self.out.trim_end().to_owned()
    }

    /// Asserts that it ended with this code, and gives what it said on standard error.
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.err.trim_end().to_owned()
    }

    /// Its lines as JSON.
    pub(crate) fn json(&self) -> Vec<Value> {
        json_lines(&self.out)
    }

    /// The errors that it told as JSON.
    pub(crate) fn errors(&self) -> Vec<Value> {
        let lines = json_lines(&self.err);
        lines
            .into_iter()
            .map(|line| line["error"].clone())
            .collect()
    }
}

pub(crate) fn json_lines(text: &str) -> Vec<Value> {
    let lines = text.lines().map(serde_json::from_str);
    lines
        .collect::<Result<_, _>>()
        .unwrap_or_else(|error| panic!("{error}: {text}"))
}

impl Served {
    /// A command that goes to this server. It waits until the server is there.
    pub(crate) fn silo(&self) -> Command {
        let mut command = silo();
        command
            .env("SILO_SERVER", self.site.addr.to_string())
            .env("SILO_CONNECT_TIMEOUT_MS", "60000")
            .current_dir(self.site.folder());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, args: &[A]) -> Ran {
        self.run_on("", args)
    }

    /// Runs a command with this on its standard input.
    pub(crate) fn run_on<A: AsRef<OsStr>>(&self, stdin: impl AsRef<[u8]>, args: &[A]) -> Ran {
        let mut command = self.silo();
        command.args(args);
        end_of(command, stdin.as_ref())
    }

    /// Enqueues a job of this id and group.
    pub(crate) fn enqueue(&self, group: &str, id: &str, more: &[&str]) {
        let args = ["job", "enqueue", "--task-group", group, "--id", id];
        let said = self.run(&[&args[..], more].concat()).well();
        assert_eq!(said, id);
    }

    /// A job as JSON.
    pub(crate) fn job(&self, id: &str) -> Value {
        let mut told = self.run(&["job", "get", id, "--output", "json"]).json();
        told.remove(0)
    }

    /// Runs a worker to its end: this command for each job of a group.
    pub(crate) fn work(&self, group: &str, exec: &str, more: &[&str]) -> Ran {
        let args = ["work", "--task-group", group, "--exec", exec];
        self.run(&[&args[..], more].concat())
    }

    /// Starts a worker.
    pub(crate) fn worker(&self, group: &str, exec: &str, more: &[&str]) -> Running {
        let args = ["work", "--task-group", group, "--exec", exec];
        let mut command = self.silo();
        command.args(args).args(more);
        Running::start(command)
    }

    /// A named pipe: what is written to it is read by whoever reads it, and its end comes when
    /// nobody has it open for writing any more.
    pub(crate) fn pipe(&self, name: &str) -> PathBuf {
        let path = self.site.folder().join(name);
        let made = Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        path
    }
}

/// Runs a command to its end.
pub(crate) fn end_of(mut command: Command, stdin: &[u8]) -> Ran {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let bytes = stdin.to_owned();
    // It need not read what it does not want.
    let writer = thread::spawn(move || drop(pipe.write_all(&bytes)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A command that runs. Killed when it goes out of scope.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (send, lines) = channel();
        let sender = send.clone();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            stderr
                .lines()
                .map_while(Result::ok)
                .try_for_each(|it| send.send(it))
        });
        thread::spawn(move || {
            stdout
                .lines()
                .map_while(Result::ok)
                .try_for_each(|it| sender.send(it))
        });
        Self { child, lines }
    }

    /// Waits for a line that has this text, on either output, and gives it.
    pub(crate) fn says(&self, text: &str) -> String {
        let mut said = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => said.push(line),
                Err(error) => panic!("{error}, and no word of {text:?} in {said:#?}"),
            }
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([name, &id]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until it has ended.
    pub(crate) fn ended(mut self) -> ExitStatus {
        // All lines are there when both of its outputs are closed.
        while self.lines.recv_timeout(PATIENCE).is_ok() {}
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads a named pipe to its end, in time; what was written.
pub(crate) fn read_to_end(path: &Path) -> String {
    let (send, read) = channel();
    let path = path.to_owned();
    thread::spawn(move || send.send(std::fs::read_to_string(path).unwrap()));
    read.recv_timeout(PATIENCE)
        .expect("nobody has the pipe open any more")
}
