//! A `silo serve` in a process of its own, on a folder that outlives it.

#![allow(dead_code, reason = "each test file uses a part of this")]

use std::io::Read as _;
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
}

impl Site {
    /// A fresh folder, and a port that is free now.
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            addr: free_addr(),
        }
    }

    /// The same data, served on another port.
    pub(crate) fn config_at(&self, addr: SocketAddr, more: &str) -> PathBuf {
        let path = self
            .folder
            .path()
            .join(format!("silo-{}.toml", addr.port()));
        let data = self.folder.path().join("data");
        let text = format!(
            "[server]\ngrpc_addr = \"{addr}\"\n{more}\n\
             [database]\nbackend = {{ kind = \"fs\", path = {data:?} }}\n\
             [database.shard]\nmanifest_poll_ms = 500\n"
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Starts a server on the site's own port.
    pub(crate) fn start(&self) -> Server {
        self.start_at(self.addr)
    }

    /// Starts a server on the site's data at another port.
    pub(crate) fn start_at(&self, addr: SocketAddr) -> Server {
        Server::start(&self.config_at(addr, ""), addr)
    }
}

/// A running server. Killed when it goes out of scope.
pub(crate) struct Server {
    child: Child,
    addr: SocketAddr,
}

impl Server {
    fn start(config: &Path, addr: SocketAddr) -> Self {
        let child = silo()
            .args(["serve", "-c"])
            .arg(config)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, addr }
    }

    /// A client, once the server answers.
    pub(crate) async fn client(&self) -> Client {
        let mut options = ClientOptions::new([self.addr.to_string()]);
        options.call_deadline = Duration::from_secs(60);
        Client::connect(options).await.unwrap()
    }

    /// kill -9.
    pub(crate) fn kill_nine(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, as an init system does.
    pub(crate) fn terminate(&self) {
        let status = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    /// Waits until it has ended; its exit status and what it said.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        let mut stderr = self.child.stderr.take().unwrap();
        let read = tokio::task::spawn_blocking(move || {
            let mut said = String::new();
            stderr.read_to_string(&mut said).unwrap();
            said
        });
        // Standard error ends when the process does.
        let said = tokio::time::timeout(Duration::from_secs(60), read).await;
        let said = said.expect("the server ends").unwrap();
        (self.child.wait().unwrap(), said)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary under test, without the environment's settings.
pub(crate) fn silo() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_silo"));
    for name in [
        "SILO_CONFIG",
        "SILO_DATA",
        "SILO_GRPC_ADDR",
        "SILO_TENANCY",
        "RUST_LOG",
    ] {
        command.env_remove(name);
    }
    command
}

/// An address on which nobody listens now.
pub(crate) fn free_addr() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}
