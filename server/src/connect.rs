//! How a command reaches the server: flags that all commands have which call one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use miette::Diagnostic;
use silo_runtime::client::Client;
use silo_runtime::client::options::ClientOptions;
use silo_runtime::client::tls::{ClientIdentity, ClientTls};
use thiserror::Error;

use crate::exit::Exit;
use crate::failure::CallFailed;

/// Where the server is, and who calls.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct Connect {
    /// Nodes to ask, as host:port. One that answers is enough.
    #[arg(
        long,
        value_name = "ADDR,…",
        env = "SILO_SERVER",
        value_delimiter = ',',
        default_value = "127.0.0.1:7450"
    )]
    pub(crate) server: Vec<String>,

    /// Whose jobs these are. Only where tenancy is on.
    #[arg(long, value_name = "NAME", env = "SILO_TENANT")]
    pub(crate) tenant: Option<String>,

    /// The server's token.
    #[arg(long, value_name = "TOKEN", env = "SILO_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,

    /// How long a call may take with all its retries, in milliseconds.
    #[arg(long, value_name = "MS", env = "SILO_TIMEOUT_MS", default_value_t = 30_000,
          value_parser = clap::value_parser!(u64).range(1..=86_400_000))]
    pub(crate) timeout_ms: u64,

    /// How long to try to reach a first server, in milliseconds.
    #[arg(long, value_name = "MS", env = "SILO_CONNECT_TIMEOUT_MS", default_value_t = 5_000,
          value_parser = clap::value_parser!(u64).range(1..=86_400_000))]
    pub(crate) connect_timeout_ms: u64,

    /// Speak TLS, and trust the certificates of these authorities (PEM).
    #[arg(long, value_name = "FILE", env = "SILO_TLS_CA")]
    pub(crate) tls_ca: Option<PathBuf>,

    /// The name in the server's certificate, if it is not its host.
    #[arg(
        long,
        value_name = "NAME",
        env = "SILO_TLS_DOMAIN",
        requires = "tls_ca"
    )]
    pub(crate) tls_domain: Option<String>,

    /// The certificate to show to the server (PEM).
    #[arg(long, value_name = "FILE", env = "SILO_TLS_CERT", requires_all = ["tls_ca", "tls_key"])]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The certificate's private key (PEM).
    #[arg(long, value_name = "FILE", env = "SILO_TLS_KEY", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
}

/// Why there is no client.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum ConnectError {
    #[error("cannot start the runtime")]
    #[diagnostic(code(silo::connect::system))]
    System(#[source] std::io::Error),
    #[error("cannot read {}", path.display())]
    #[diagnostic(
        code(silo::connect::file),
        help("check the path that --tls-ca, --tls-cert or --tls-key names")
    )]
    File {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error(transparent)]
    #[diagnostic(transparent)]
    Call(CallFailed),
}

impl Connect {
    /// Connects, and runs a command that needs a client.
    ///
    /// # Errors
    ///
    /// As [`Connect::client`], and as the command.
    pub(crate) fn run<F>(&self, command: F) -> miette::Result<Exit>
    where
        F: AsyncFnOnce(Client) -> miette::Result<Exit>,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(ConnectError::System)?;
        let ended = runtime.block_on(async {
            let client = self.client().await?;
            command(client).await
        });
        // A thread may be reading standard input, perhaps for ever.
        runtime.shutdown_background();
        ended
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// If a file of TLS cannot be read, or no server answers, trusts and is trusted.
    pub(crate) async fn client(&self) -> Result<Client, ConnectError> {
        let mut options = ClientOptions::new(self.server.iter().cloned());
        options.token.clone_from(&self.token);
        options.tenant.clone_from(&self.tenant);
        options.call_deadline = Duration::from_millis(self.connect_timeout_ms);
        options.tls = self.tls()?;
        let failed = CallFailed::of(format!("reach a server at {}", self.server.join(", ")));
        let client = Client::connect(options).await;
        let client = client.map_err(|cause| ConnectError::Call(failed(cause)))?;
        Ok(client.with_deadline(Duration::from_millis(self.timeout_ms)))
    }

    fn tls(&self) -> Result<Option<ClientTls>, ConnectError> {
        let Some(ca) = &self.tls_ca else {
            return Ok(None);
        };
        let mut tls = ClientTls::new(read(ca)?);
        tls.domain.clone_from(&self.tls_domain);
        if let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) {
            tls.identity = Some(ClientIdentity {
                cert_pem: read(cert)?.into(),
                key_pem: read(key)?.into(),
            });
        }
        Ok(Some(tls))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ConnectError> {
    std::fs::read(path).map_err(|cause| ConnectError::File {
        path: path.to_owned(),
        cause,
    })
}
