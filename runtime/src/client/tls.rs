//! How a client reaches servers that speak TLS.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use crate::client::error::Error;
use crate::pem::{self, PemError};

/// What a client checks of servers, and shows to them. All nodes of a cluster speak TLS, or none.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientTls {
    /// CAs, in PEM. A server's certificate must come from one of them, and no other is trusted.
    pub ca_pem: Bytes,
    /// The name that every server's certificate must have. Without it each must have the host of
    /// the address at which it is reached.
    pub domain: Option<String>,
    /// What to show to servers that ask for a certificate.
    pub identity: Option<ClientIdentity>,
}

/// A client's certificate.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The certificate, then those that lead from it to its CA, in PEM.
    pub cert_pem: Bytes,
    /// The private key of the first certificate, in PEM, without a passphrase.
    pub key_pem: Bytes,
}

impl ClientTls {
    /// Trusts these CAs, and shows no certificate.
    pub fn new(ca_pem: impl Into<Bytes>) -> Self {
        Self {
            ca_pem: ca_pem.into(),
            domain: None,
            identity: None,
        }
    }

    /// What connections are made with.
    pub(crate) fn config(&self, handshake_max: Duration) -> Result<ClientTlsConfig, Error> {
        // The transport leaves out what it cannot read; then no server would be trusted, and
        // nothing would say why.
        let mut roots = RootCertStore::empty();
        for ca in pem::certificates(&self.ca_pem).map_err(|error| wrong("ca_pem", &error))? {
            roots
                .add(ca)
                .map_err(|error| Error::Options(format!("tls.ca_pem: {error}")))?;
        }
        let mut config = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.ca_pem))
            .timeout(handshake_max);
        if let Some(domain) = &self.domain {
            ServerName::try_from(domain.as_str())
                .map_err(|_| Error::Options(format!("tls.domain: {domain:?} is no host name")))?;
            config = config.domain_name(domain);
        }
        if let Some(ClientIdentity { cert_pem, key_pem }) = &self.identity {
            pem::certificates(cert_pem).map_err(|error| wrong("identity.cert_pem", &error))?;
            pem::private_key(key_pem).map_err(|error| wrong("identity.key_pem", &error))?;
            config = config.identity(Identity::from_pem(cert_pem, key_pem));
        }
        Ok(config)
    }
}

fn wrong(what: &str, error: &PemError) -> Error {
    Error::Options(format!("tls.{what} {error}"))
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls")
            .field("domain", &self.domain)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientIdentity {
    /// Leaves the key out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientIdentity").finish_non_exhaustive()
    }
}
