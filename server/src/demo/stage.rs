//! The server that the demo runs on: as `silo serve` runs it, on a port of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use silo_cloud::environment::Environment;
use silo_runtime::client::Client;
use silo_runtime::client::options::ClientOptions;
use silo_runtime::node::Node;
use silo_runtime::service;
use silo_runtime::storage::config::{BackendConfig, StorageConfig};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Server, Tenancy};
use crate::demo::DemoError;
use crate::serve::{ServeError, open, service_options};

/// A server, and a client of it.
pub(crate) struct Stage {
    folder: Folder,
    address: SocketAddr,
    client: Client,
    node: Arc<Node>,
    shutdown: CancellationToken,
    serving: JoinHandle<Result<(), service::ServeError>>,
}

/// Where the data is. A temporary folder goes when the demo ends.
enum Folder {
    Temporary(TempDir),
    Kept(PathBuf),
}

impl Stage {
    /// Starts the server and connects to it.
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
        let backend = BackendConfig::Fs {
            path: folder.path().to_owned(),
            fsync: true,
        };
        let config = Config {
            server: Server {
                grpc_addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                ..Server::default()
            },
            tenancy: Tenancy { enabled: true },
            database: StorageConfig::new(backend),
            ..Config::default()
        };
        let listen = |cause| ServeError::Listen {
            addr: config.server.grpc_addr,
            cause,
        };
        let listener = TcpListener::bind(config.server.grpc_addr)
            .await
            .map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        // Files need nothing of it.
        let nothing = Environment::default();
        let node = open(&config, &nothing, address).await?;
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(service::serve(
            Arc::clone(&node),
            listener,
            service_options(&config),
            shutdown.clone(),
        ));
        let client = Client::connect(ClientOptions::new([address.to_string()])).await?;
        Ok(Self {
            folder,
            address,
            client,
            node,
            shutdown,
            serving,
        })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// Stops the server as SIGTERM would.
    pub(crate) async fn strike(self) -> Result<(), DemoError> {
        self.shutdown.cancel();
        let served = self.serving.await;
        self.node.close().await;
        let served = served.map_err(|gone| ServeError::System(std::io::Error::other(gone)))?;
        Ok(served.map_err(ServeError::Grpc)?)
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
