//! One connection per node.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use crate::client::address::Address;
use crate::client::error::{Error, chain};
use crate::proto::silo_client::SiloClient;

/// The generated client over one connection.
pub(crate) type Stub = SiloClient<Channel>;

/// The largest message, either way.
const MESSAGE_BYTES_MAX: usize = 128 * 1024 * 1024;
/// A connection on which nothing comes back for `KEEP_ALIVE` and then `KEEP_ALIVE_TIMEOUT` is given
/// up.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections that connect when they are first used, and again when they have broken.
#[derive(Debug)]
pub(crate) struct Channels {
    connect_timeout: Duration,
    /// None: plain text.
    tls: Option<ClientTlsConfig>,
    open: Mutex<BTreeMap<Address, Channel>>,
}

impl Channels {
    pub(crate) fn new(connect_timeout: Duration, tls: Option<ClientTlsConfig>) -> Self {
        Self {
            connect_timeout,
            tls,
            open: Mutex::new(BTreeMap::new()),
        }
    }

    /// The connection to a node.
    ///
    /// # Errors
    ///
    /// If the address is not one of HTTP, or the client's certificate and key do not go with each
    /// other.
    pub(crate) fn stub(&self, address: &Address) -> Result<Stub, Error> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = match open.get(address) {
            Some(channel) => channel.clone(),
            None => {
                let channel = self.endpoint(address)?.connect_lazy();
                open.insert(address.clone(), channel.clone());
                channel
            }
        };
        Ok(SiloClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// Closes what leads to none of these, once its calls are over.
    pub(crate) fn keep_only(&self, wanted: impl Fn(&Address) -> bool) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|address, _| wanted(address));
    }

    fn endpoint(&self, address: &Address) -> Result<Endpoint, Error> {
        // Addresses have no scheme: all nodes speak TLS, or none.
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let wrong = |error: tonic::transport::Error| {
            Error::Options(format!("{address}: {}", chain(&error)))
        };
        let endpoint = Endpoint::from_shared(format!("{scheme}://{address}")).map_err(wrong)?;
        let endpoint = match &self.tls {
            Some(tls) => endpoint.tls_config(tls.clone()).map_err(wrong)?,
            None => endpoint,
        };
        Ok(endpoint
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .http2_adaptive_window(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true))
    }
}
