//! The server that the demo runs on: as `silo serve` runs it, on a port of its own, and on threads
//! of its own, so that it can be killed without a word to anybody.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use silo_cloud::environment::Environment;
use silo_runtime::service;
use silo_runtime::storage::config::{BackendConfig, StorageConfig};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Server, Tenancy};
use crate::demo::DemoError;
use crate::serve::{ServeError, open, service_options};

/// How long the threads of a killed server may take to be gone. One that is in the middle of a
/// system call ends with it, as it would on kill -9.
const GONE_MAX: Duration = Duration::from_secs(5);

/// Data, and a server on it.
pub(crate) struct Stage {
    // Before its folder, which it would make anew.
    server: Running,
    folder: Folder,
    address: SocketAddr,
}

/// Where the data is. A temporary folder goes when the demo ends.
enum Folder {
    Temporary(TempDir),
    Kept(PathBuf),
}

/// A server and its threads.
struct Running {
    threads: Threads,
    shutdown: CancellationToken,
    serving: JoinHandle<Result<(), ServeError>>,
}

/// Threads of a server. They end at the latest when nobody holds this any more.
struct Threads(Option<Runtime>);

impl Stage {
    /// Makes a folder and starts the server. Answers when every shard is open.
    pub(crate) async fn set(data: Option<PathBuf>) -> Result<Self, DemoError> {
        let folder = match data {
            Some(path) => {
                std::fs::create_dir(&path).map_err(DemoError::Folder)?;
                Folder::Kept(path)
            }
            None => {
                Folder::Temporary(TempDir::with_prefix("silo-demo-").map_err(DemoError::Folder)?)
            }
        };
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (server, address) = Running::start(folder.path(), any_port).await?;
        Ok(Self {
            folder,
            address,
            server,
        })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Whether the data stays when the demo ends.
    pub(crate) const fn is_kept(&self) -> bool {
        matches!(self.folder, Folder::Kept(_))
    }

    /// Kills the server: its tasks are dropped where they stand. Nothing is finished, flushed or
    /// closed. Then does `meanwhile`, and starts a new server on the same data and port. Answers
    /// when every shard is open again.
    pub(crate) async fn kill_and_restart(
        self,
        meanwhile: impl Future<Output = ()>,
    ) -> Result<Self, DemoError> {
        let mut threads = self.server.threads;
        let killed = spawn_blocking(move || threads.end(GONE_MAX));
        killed.await.map_err(gone)?;
        meanwhile.await;
        let (server, address) = Running::start(self.folder.path(), self.address).await?;
        Ok(Self {
            folder: self.folder,
            address,
            server,
        })
    }

    /// Stops the server as SIGTERM would.
    pub(crate) async fn strike(self) -> Result<(), DemoError> {
        let server = self.server;
        server.shutdown.cancel();
        Ok(server.serving.await.map_err(gone)??)
    }
}

impl Running {
    async fn start(data: &Path, addr: SocketAddr) -> Result<(Self, SocketAddr), DemoError> {
        let backend = BackendConfig::Fs {
            path: data.to_owned(),
            fsync: true,
        };
        let config = Config {
            server: Server {
                grpc_addr: addr,
                ..Server::default()
            },
            tenancy: Tenancy { enabled: true },
            database: StorageConfig::new(backend),
            ..Config::default()
        };
        let threads = tokio::runtime::Builder::new_multi_thread()
            .thread_name("demo-server")
            .enable_all()
            .build()
            .map_err(ServeError::System)?;
        let shutdown = CancellationToken::new();
        let (opened, is_open) = oneshot::channel();
        let serving = threads.spawn(serve(config, shutdown.clone(), opened));
        let server = Self {
            threads: Threads(Some(threads)),
            shutdown,
            serving,
        };
        match is_open.await {
            Ok(address) => Ok((server, address)),
            // It ended before it was open, and says why.
            Err(_) => match server.serving.await.map_err(gone)? {
                Ok(()) => Err(gone("the server stopped at once")),
                Err(error) => Err(error.into()),
            },
        }
    }
}

/// Serves until told to stop. Says where, once every shard is open.
async fn serve(
    config: Config,
    shutdown: CancellationToken,
    opened: oneshot::Sender<SocketAddr>,
) -> Result<(), ServeError> {
    let addr = config.server.grpc_addr;
    let listen = |cause| ServeError::Listen { addr, cause };
    let listener = TcpListener::bind(addr).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    // Files need nothing of it.
    let nothing = Environment::default();
    let node = open(&config, &nothing, address).await?;
    let serving = tokio::spawn(service::serve(
        Arc::clone(&node),
        listener,
        service_options(&config),
        shutdown,
    ));
    node.opened().await.map_err(ServeError::Lost)?;
    // Nobody listens any more when the demo is being given up.
    let _ = opened.send(address);
    let served = serving.await;
    node.close().await;
    let served = served.map_err(|gone| ServeError::System(std::io::Error::other(gone)))?;
    served.map_err(ServeError::Grpc)
}

fn gone(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> DemoError {
    ServeError::System(std::io::Error::other(cause)).into()
}

impl Threads {
    /// Drops all tasks, and waits so long until the threads are gone.
    fn end(&mut self, limit: Duration) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_timeout(limit);
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // A task must not wait for a runtime, but may for a thread that does: the demo is over.
        if let Some(runtime) = self.0.take() {
            let ending = std::thread::spawn(move || runtime.shutdown_timeout(GONE_MAX));
            // It does not panic.
            let _ = ending.join();
        }
    }
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Kept(path) => path,
        }
    }
}
