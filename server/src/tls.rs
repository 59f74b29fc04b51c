//! TLS: where its files lie, and when they are read again.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use silo_runtime::service::tls::files::{TlsError, TlsFiles};
use silo_runtime::service::tls::{Reloaded, Tls, TlsLimits};
use tokio::signal::unix::Signal;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{error, info};

/// TLS. Without it the server speaks plain text. The [guide](../guides/tls.md) says how to make the
/// files, and how they are replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsConfig {
    /// The server's certificate and those that lead to its CA, in PEM.
    pub(crate) cert: PathBuf,
    /// Its private key, in PEM.
    pub(crate) key: PathBuf,
    /// CAs in PEM; with it callers must show a certificate of one of them.
    pub(crate) client_ca: Option<PathBuf>,
    /// How often the files are read again, in milliseconds; 0: on SIGHUP only.
    #[serde(default = "reload_ms_default")]
    #[schemars(extend("anyOf" = [{ "const": 0 }, { "minimum": 100, "maximum": 86_400_000 }]))]
    pub(crate) reload_ms: u64,
}

impl TlsConfig {
    /// Reads the files.
    pub(crate) fn load(&self) -> Result<Arc<Tls>, TlsError> {
        let files = TlsFiles {
            cert: self.cert.clone(),
            key: self.key.clone(),
            client_ca: self.client_ca.clone(),
        };
        Ok(Arc::new(Tls::load(files, TlsLimits::default())?))
    }
}

/// What is loaded, and when it is loaded anew.
pub(crate) struct Reloading {
    pub(crate) loaded: Arc<Tls>,
    /// SIGHUP.
    pub(crate) hangup: Signal,
    /// 0: only when told to.
    pub(crate) every_ms: u64,
}

impl Reloading {
    /// Reads the files again every now and then, and when told to. What cannot be used is logged,
    /// once, and the old certificate stays.
    pub(crate) async fn follow(mut self) -> Infallible {
        let mut last_wrong = None;
        loop {
            let is_told = tokio::select! {
                _ = self.hangup.recv() => true,
                () = pause(self.every_ms) => false,
            };
            let tell = is_told || last_wrong.is_some();
            let wrong = reload(&self.loaded, tell).await.err();
            if let Some(why) = &wrong
                && (is_told || wrong != last_wrong)
            {
                error!(%why, "the TLS files are refused: what was loaded before stays in use");
            }
            last_wrong = wrong;
        }
    }
}

const fn reload_ms_default() -> u64 {
    10_000
}

async fn pause(ms: u64) {
    if ms == 0 {
        std::future::pending().await
    } else {
        sleep(Duration::from_millis(ms)).await;
    }
}

/// Reads the files once; says what is wrong with them.
async fn reload(tls: &Arc<Tls>, is_unchanged_told: bool) -> Result<(), String> {
    let tls = Arc::clone(tls);
    // A file on a network may take long to read.
    let found = spawn_blocking(move || tls.reload())
        .await
        .map_err(|panic| panic.to_string())?;
    match found.map_err(|error| error.to_string())? {
        Reloaded::Replaced => info!("the TLS files were loaded: new connections use them"),
        Reloaded::Unchanged if is_unchanged_told => info!("the TLS files are what is in use"),
        Reloaded::Unchanged => {}
    }
    Ok(())
}
