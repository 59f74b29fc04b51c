//! How a client reaches its cluster.

use std::fmt;
use std::time::Duration;

use crate::client::tls::ClientTls;

/// What a client is told at its start.
#[derive(Clone)]
pub struct ClientOptions {
    /// Where to ask for the cluster's layout, each as `host:port` without a scheme, never a
    /// wildcard. One that answers is enough.
    pub addresses: Vec<String>,
    /// Sent as a bearer token with every call.
    pub token: Option<String>,
    /// How to speak TLS; default: plain text.
    pub tls: Option<ClientTls>,
    /// Whose jobs the calls are about. `None` where tenancy is off.
    pub tenant: Option<String>,
    /// How long to wait for a connection, and then for its TLS handshake; default 5 s.
    pub connect_timeout: Duration,
    /// How long a call may take with all its retries; default 30 s.
    pub call_deadline: Duration,
    /// The first pause before a retry, about; default 20 ms. It doubles with every retry.
    pub retry_initial: Duration,
    /// The longest pause before a retry; default 2 s.
    pub retry_max: Duration,
}

impl ClientOptions {
    /// The defaults, with these addresses.
    pub fn new<A: Into<String>>(addresses: impl IntoIterator<Item = A>) -> Self {
        Self {
            addresses: addresses.into_iter().map(Into::into).collect(),
            token: None,
            tls: None,
            tenant: None,
            connect_timeout: Duration::from_secs(5),
            call_deadline: Duration::from_secs(30),
            retry_initial: Duration::from_millis(20),
            retry_max: Duration::from_secs(2),
        }
    }
}

impl fmt::Debug for ClientOptions {
    /// Leaves the token out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOptions")
            .field("addresses", &self.addresses)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("tls", &self.tls)
            .field("tenant", &self.tenant)
            .field("connect_timeout", &self.connect_timeout)
            .field("call_deadline", &self.call_deadline)
            .field("retry_initial", &self.retry_initial)
            .field("retry_max", &self.retry_max)
            .finish()
    }
}
