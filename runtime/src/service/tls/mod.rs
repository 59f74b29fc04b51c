//! TLS in front of the gRPC service: the certificate in use, which can be replaced while the
//! server runs.
//!
//! A connection begins with what is in use when it arrives and keeps that to its end, whatever is
//! loaded later.
//!
//! * [`files`]: reading and checking certificates and keys
//! * [`incoming`]: handshakes, many at once and none for long

pub mod files;
pub mod incoming;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_rustls::rustls::ServerConfig;

use crate::service::tls::files::{Loaded, TlsError, TlsFiles};

/// What handshakes are held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsLimits {
    /// How long a handshake may take; default 10 s. It is two round trips of work for us; only a
    /// caller that says nothing, or is far away on a bad line, takes seconds.
    pub handshake_max: Duration,
    /// Handshakes at once; default 1024. Further connections wait to be accepted, in the system's
    /// queue of the listener.
    pub handshakes_max: usize,
}

impl Default for TlsLimits {
    fn default() -> Self {
        Self {
            handshake_max: Duration::from_secs(10),
            handshakes_max: 1024,
        }
    }
}

/// What a reload found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// The files say what is in use already.
    Unchanged,
    /// New connections get what was loaded now.
    Replaced,
}

/// The certificate, key and client CA in use, and the files they come from.
pub struct Tls {
    files: TlsFiles,
    limits: TlsLimits,
    loaded: watch::Sender<Arc<Loaded>>,
}

impl Tls {
    /// Loads the files. They are read at once, on the caller's thread.
    ///
    /// # Errors
    /// [`TlsError`] names the file and what is wrong with it.
    pub fn load(files: TlsFiles, limits: TlsLimits) -> Result<Self, TlsError> {
        let loaded = watch::Sender::new(Arc::new(files.load()?));
        Ok(Self {
            files,
            limits,
            loaded,
        })
    }

    /// Reads the files again, on the caller's thread. When this returns, connections that arrive
    /// get what was found; open ones go on as they are.
    ///
    /// # Errors
    /// [`TlsError`] as from [`Self::load`]; what was in use stays in use.
    pub fn reload(&self) -> Result<Reloaded, TlsError> {
        let new = self.files.load()?;
        if self.loaded.borrow().is_same(&new) {
            return Ok(Reloaded::Unchanged);
        }
        self.loaded.send_replace(Arc::new(new));
        Ok(Reloaded::Replaced)
    }

    /// What a connection that arrives now gets.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.loaded.borrow().config)
    }

    pub(crate) const fn limits(&self) -> TlsLimits {
        self.limits
    }
}

impl fmt::Debug for Tls {
    /// Leaves out what was loaded: the key is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("files", &self.files)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
