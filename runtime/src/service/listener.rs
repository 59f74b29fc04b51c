//! Where the service takes connections, and what they begin with.

use std::sync::Arc;

use tokio::net::TcpListener;

use crate::service::tls::Tls;

/// A socket that listens.
#[derive(Debug)]
pub enum Listener {
    /// For plain text.
    Plain(TcpListener),
    /// For TLS; plain text is refused.
    Tls(TcpListener, Arc<Tls>),
}

impl Listener {
    pub(crate) const fn socket(&self) -> &TcpListener {
        match self {
            Self::Plain(socket) | Self::Tls(socket, _) => socket,
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(socket: TcpListener) -> Self {
        Self::Plain(socket)
    }
}
