//! A server of the benchmark's own: `silo serve`, in a process of its own, so that what it costs
//! can be told from what the load costs.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::bench::BenchError;

/// How long a server may take to open its shards.
const PATIENCE: Duration = Duration::from_secs(60);
/// Lines of its log that are shown when it does not start.
const LINES_SHOWN: usize = 20;

/// A running server. It is killed when it goes out of scope: its data goes too.
#[derive(Debug)]
pub(crate) struct OwnServer {
    child: Child,
    pub(crate) addr: SocketAddr,
    pub(crate) metrics_addr: SocketAddr,
}

/// Kills the process of a server that did not start.
struct Starting(Option<Child>);

impl OwnServer {
    /// Starts a server, and waits until its shards are open.
    ///
    /// # Errors
    /// If it ends, or takes too long.
    pub(crate) async fn start(config: &Path) -> Result<Self, BenchError> {
        let program = std::env::current_exe().map_err(BenchError::System)?;
        let mut command = Command::new(program);
        command
            .args(["serve", "--metrics-addr", "127.0.0.1:0", "-c"])
            .arg(config)
            // Killed with SIGKILL, this process cannot end it.
            .arg("--until-stdin-ends")
            // What it says is read here: it must say it, and nothing else may be asked of it.
            .env("RUST_LOG", "info,slatedb=warn")
            .env_remove("SILO_CONFIG")
            .env_remove("SILO_PERFETTO")
            .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-c is for the benchmark: the server is still needed to count.
            .process_group(0);
        let mut child = command.spawn().map_err(BenchError::System)?;
        let log = child.stderr.take();
        let mut starting = Starting(Some(child));
        let mut lines = log.map(read).ok_or(BenchError::no_log())?;
        let mut said = Said::default();
        let open = async {
            while let Some(line) = lines.recv().await {
                if said.hear(&line) {
                    return true;
                }
            }
            false
        };
        let is_open = timeout(PATIENCE, open).await;
        let last = said.last_lines();
        match (is_open, said.addr, said.metrics_addr, starting.0.take()) {
            (Ok(true), Some(addr), Some(metrics_addr), Some(child)) => Ok(Self {
                child,
                addr,
                metrics_addr,
            }),
            (Ok(false), _, _, child) => {
                starting.0 = child;
                Err(BenchError::Ended { said: last })
            }
            (_, _, _, child) => {
                starting.0 = child;
                Err(BenchError::Late { said: last })
            }
        }
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            end(child);
        }
    }
}

fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

/// What a server has said of itself.
#[derive(Default)]
struct Said {
    addr: Option<SocketAddr>,
    metrics_addr: Option<SocketAddr>,
    lines: Vec<String>,
}

impl Said {
    /// Takes a line of its log; whether it says that all shards are open.
    fn hear(&mut self, line: &str) -> bool {
        self.lines.push(line.to_owned());
        let Ok(line) = serde_json::from_str::<Value>(line) else {
            return false;
        };
        let field = |name: &str| line.pointer(&format!("/fields/{name}"))?.as_str();
        let addr = || field("addr").and_then(|addr| addr.parse().ok());
        match field("message") {
            Some("listening") => self.addr = addr(),
            Some("metrics are at /metrics") => self.metrics_addr = addr(),
            Some("every shard is open") => return true,
            Some(_) | None => {}
        }
        false
    }

    fn last_lines(&self) -> String {
        let skip = self.lines.len().saturating_sub(LINES_SHOWN);
        let lines: Vec<_> = self.lines.iter().skip(skip).map(String::as_str).collect();
        lines.join("\n")
    }
}

/// Reads a log to its end, whoever still listens: a pipe that nobody reads would stop the server.
fn read(log: ChildStderr) -> mpsc::UnboundedReceiver<String> {
    let (sender, lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            // Nobody listens any more once the shards are open.
            let _ = sender.send(line);
        }
    });
    lines
}
