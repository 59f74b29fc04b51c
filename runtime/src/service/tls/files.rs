//! Reading and checking certificates and keys.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::server::{
    NoServerSessionStorage, ParsedCertificate, VerifierBuilderError, WebPkiClientVerifier,
};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

use crate::pem::{self, PemError};

/// Largest file of certificates or keys, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// What gRPC speaks.
const ALPN_H2: &[u8] = b"h2";

/// Where certificates and keys lie, each in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, then those that lead from it to its CA.
    pub cert: PathBuf,
    /// The private key of the first certificate, without a passphrase.
    pub key: PathBuf,
    /// CAs of which callers must show a certificate. Without it they need none.
    pub client_ca: Option<PathBuf>,
}

/// Why files cannot be used for TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// It cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// It is too large to be what it should.
    #[error("{} is larger than {FILE_BYTES_MAX} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It does not hold what it should.
    #[error("{} {cause}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: PemError,
    },
    /// One of its certificates cannot be used.
    #[error("{}: certificate {number} cannot be used: {cause}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Which, from 1.
        number: usize,
        /// Why.
        cause: rustls::Error,
    },
    /// The key cannot be used.
    #[error("{}: the key cannot be used: {cause}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: rustls::Error,
    },
    /// Certificate and key are not of one pair.
    #[error(
        "{} is not the key of the first certificate in {}",
        key.display(),
        cert.display()
    )]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's.
        key: PathBuf,
    },
    /// The library refuses what was read.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
    /// The library refuses the CAs of callers.
    #[error("callers' certificates cannot be checked: {0}")]
    Verifier(#[from] VerifierBuilderError),
}

/// What was read from the files.
pub(crate) struct Loaded {
    pub(crate) config: Arc<ServerConfig>,
    chain: Vec<CertificateDer<'static>>,
    client_cas: Vec<CertificateDer<'static>>,
}

impl TlsFiles {
    pub(crate) fn load(&self) -> Result<Loaded, TlsError> {
        // Named, not the process's default: with another library that brings another provider
        // there would be none.
        let provider = Arc::new(ring::default_provider());
        let chain = certificates(&self.cert)?;
        let certified = self.certified(chain.clone(), &provider)?;
        let client_cas = self.client_ca.as_deref().map(certificates).transpose()?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = match (&self.client_ca, &client_cas) {
            (Some(path), Some(cas)) => {
                let roots = Arc::new(roots(path, cas)?);
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(roots, provider).build()?;
                builder.with_client_cert_verifier(verifier)
            }
            (None, _) | (_, None) => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![ALPN_H2.to_vec()];
        // Connections live long, so little is saved by resuming; and whoever resumes is not asked
        // for a certificate again, though it may have expired.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Loaded {
            config: Arc::new(config),
            chain,
            client_cas: client_cas.unwrap_or_default(),
        })
    }

    fn certified(
        &self,
        chain: Vec<CertificateDer<'static>>,
        provider: &CryptoProvider,
    ) -> Result<CertifiedKey, TlsError> {
        let path = || self.key.clone();
        let key = pem::private_key(&read(&self.key)?).map_err(|cause| TlsError::Pem {
            path: path(),
            cause,
        })?;
        let key = provider
            .key_provider
            .load_private_key(key)
            .map_err(|cause| TlsError::Key {
                path: path(),
                cause,
            })?;
        let certified = CertifiedKey::new(chain, key);
        certified.keys_match().map_err(|_| TlsError::Mismatch {
            cert: self.cert.clone(),
            key: path(),
        })?;
        Ok(certified)
    }
}

impl Loaded {
    /// Whether both mean the same. Keys need no look: a certificate has only one.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.chain == other.chain && self.client_cas == other.client_cas
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = pem::certificates(&read(path)?).map_err(|cause| TlsError::Pem {
        path: path.to_owned(),
        cause,
    })?;
    for (number, certificate) in (1_usize..).zip(&found) {
        ParsedCertificate::try_from(certificate).map_err(|cause| TlsError::Certificate {
            path: path.to_owned(),
            number,
            cause,
        })?;
    }
    Ok(found)
}

fn roots(path: &Path, cas: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for (number, ca) in (1_usize..).zip(cas) {
        roots
            .add(ca.clone())
            .map_err(|cause| TlsError::Certificate {
                path: path.to_owned(),
                number,
                cause,
            })?;
    }
    Ok(roots)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |cause| TlsError::Unreadable {
        path: path.to_owned(),
        cause,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(FILE_BYTES_MAX.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > FILE_BYTES_MAX) {
        return Err(TlsError::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(bytes)
}
