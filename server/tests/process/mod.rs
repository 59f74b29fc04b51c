//! A `silo serve` in a process of its own, on a folder that outlives it.

#![allow(dead_code, reason = "each test file uses a part of this")]
#![allow(clippy::arithmetic_side_effects)]

pub(crate) mod shell;

use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use silo_runtime::client::Client;
use silo_runtime::client::options::ClientOptions;

/// A folder for data, and a port.
pub(crate) struct Site {
    folder: tempfile::TempDir,
    pub(crate) addr: SocketAddr,
    /// Lines below `[database]`.
    database: String,
}

impl Site {
    /// A fresh folder, and a port that is free now.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        Self {
            database: format!("backend = {{ kind = \"fs\", path = {data:?} }}"),
            addr: free_addr(),
            folder,
        }
    }

    /// The same, with data in a bucket of this S3 endpoint, and logs too.
    pub(crate) fn on_s3(endpoint: &str) -> Self {
        let site = Self::new();
        // The folder's name is nobody else's.
        let prefix = site.folder.path().file_name().unwrap().to_str().unwrap();
        let prefix = prefix.trim_start_matches('.');
        let database = format!(
            "backend = {{ kind = \"s3\", bucket = \"silo-test\", prefix = \"{prefix}\", \
             endpoint = \"{endpoint}\", allow_http = true, options = {{ \
             access_key_id = \"test\", secret_access_key = \"test\" }} }}"
        );
        Self { database, ..site }
    }

    /// The same data, served on another port.
    pub(crate) fn config_at(&self, addr: SocketAddr, more: &str) -> PathBuf {
        let path = self
            .folder
            .path()
            .join(format!("silo-{}.toml", addr.port()));
        let database = &self.database;
        let text = format!(
            "[server]\ngrpc_addr = \"{addr}\"\n{more}\n\
             [database]\n{database}\n\
             [database.shard]\nmanifest_poll_ms = 500\n"
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Starts a server on the site's own port.
    pub(crate) fn start(&self) -> Server {
        self.start_at(self.addr)
    }

    /// Starts a server on the site's own port, with more lines below `[server]`.
    pub(crate) fn start_with(&self, more: &str) -> Server {
        Server::start(&self.config_at(self.addr, more), self.addr)
    }

    /// Starts a server on the site's own port, with more in its environment.
    pub(crate) fn start_within(&self, environment: &[(&str, &str)]) -> Server {
        let config = self.config_at(self.addr, "");
        Server::start_within(&config, self.addr, environment)
    }

    /// Starts a server on the site's own port, with more lines below `[server]`, that serves
    /// metrics here.
    pub(crate) fn start_with_metrics(&self, more: &str, metrics: &str) -> Server {
        let config = self.config_at(self.addr, more);
        Server::start_within(&config, self.addr, &[("SILO_METRICS_ADDR", metrics)])
    }

    /// Where its files lie.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a server on the site's data at another port.
    pub(crate) fn start_at(&self, addr: SocketAddr) -> Server {
        Server::start(&self.config_at(addr, ""), addr)
    }
}

/// A server of a fresh site, and where commands find it.
pub(crate) struct Served {
    pub(crate) site: Site,
    pub(crate) server: Server,
}

impl Served {
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// With more lines below `[server]`.
    pub(crate) fn with(more: &str) -> Self {
        let site = Site::new();
        let server = site.start_with(more);
        Self { site, server }
    }
}

/// A running server. Killed when it goes out of scope.
pub(crate) struct Server {
    /// None once it has ended.
    child: Option<Child>,
    addr: SocketAddr,
    log: PathBuf,
}

impl Server {
    fn start(config: &Path, addr: SocketAddr) -> Self {
        Self::start_within(config, addr, &[])
    }

    fn start_within(config: &Path, addr: SocketAddr, environment: &[(&str, &str)]) -> Self {
        // A file, not a pipe: a pipe that nobody reads would stop the server when it is full.
        let log = config.with_extension("log");
        let stderr = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let child = silo()
            .args(["serve", "-c"])
            .arg(config)
            .envs(environment.iter().copied())
            .stderr(stderr)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child: Some(child),
            addr,
            log,
        }
    }

    /// A client, once the server answers.
    pub(crate) async fn client(&self) -> Client {
        let mut options = ClientOptions::new([self.addr.to_string()]);
        options.call_deadline = Duration::from_secs(60);
        Client::connect(options).await.unwrap()
    }

    /// kill -9.
    pub(crate) fn kill_nine(mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks it to stop, as an init system does.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Asks it to read its files again.
    pub(crate) fn hang_up(&self) {
        self.signal("-HUP");
    }

    /// Stops it where it is.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([name, &self.child.as_ref().unwrap().id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    /// What was said here so far.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it has ended; its exit status and what was said here so far.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        let said = self.log.clone();
        let mut child = self.child.take().unwrap();
        let wait = tokio::task::spawn_blocking(move || child.wait().unwrap());
        let status = tokio::time::timeout(Duration::from_secs(60), wait).await;
        let status = status.expect("the server ends").unwrap();
        (status, std::fs::read_to_string(said).unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else {
            return;
        };
        if std::thread::panicking() {
            let said = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = said.lines().collect();
            let last = lines.len().saturating_sub(40);
            let ended = child.try_wait();
            eprintln!("{ended:?}, it said:\n{}", lines[last..].join("\n"));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// The binary under test, without the environment's settings.
pub(crate) fn silo() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_silo"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("SILO_") || name.starts_with("OTEL_") || name == "RUST_LOG" {
            command.env_remove(&*name);
        }
    }
    // Tests run side by side: not all of them can have the port that is the default.
    command.env("SILO_METRICS_ADDR", "127.0.0.1:0");
    command
}

/// An address on which nobody listens now. Its port is below those that the system gives to
/// connections and to listeners on port 0, so that none of them takes it before its server does.
pub(crate) fn free_addr() -> SocketAddr {
    const PORTS: std::ops::Range<u64> = 12_000..32_000;
    loop {
        let random = RandomState::new().build_hasher().finish();
        let port = PORTS.start + random % (PORTS.end - PORTS.start);
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, u16::try_from(port).unwrap()));
        if TcpListener::bind(addr).is_ok() {
            return addr;
        }
    }
}
