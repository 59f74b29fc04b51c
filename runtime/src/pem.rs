//! Certificates and private keys from PEM text, with what is wrong said for people.

use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What is wrong with a PEM text. It reads after the name of what holds the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// No certificate.
    #[error("holds no certificate: there is no BEGIN CERTIFICATE in it")]
    NoCertificate,
    /// No private key.
    #[error("holds no private key: there is no BEGIN PRIVATE KEY in it")]
    NoKey,
    /// A private key that needs a passphrase.
    #[error("holds a key with a passphrase: store it without (openssl pkey -in … -out …)")]
    Encrypted,
    /// Not PEM.
    #[error("is not valid PEM: {0}")]
    Malformed(String),
}

/// Every certificate in a text, at least one, in their order.
///
/// # Errors
/// [`PemError`] when there is none, or what is there is broken.
pub(crate) fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(malformed)?;
    if certificates.is_empty() {
        return Err(PemError::NoCertificate);
    }
    Ok(certificates)
}

/// The first private key in a text: PKCS #8, PKCS #1 or SEC 1.
///
/// # Errors
/// [`PemError`] when there is none, or it is broken or needs a passphrase.
pub(crate) fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
    // Both forms say so: "BEGIN ENCRYPTED PRIVATE KEY" and "Proc-Type: 4,ENCRYPTED". Neither can
    // be in base64 as a word of its own.
    let is_encrypted = [&b"ENCRYPTED PRIVATE KEY"[..], b"4,ENCRYPTED"]
        .iter()
        .any(|mark| text.windows(mark.len()).any(|part| part == *mark));
    if is_encrypted {
        return Err(PemError::Encrypted);
    }
    PrivateKeyDer::from_pem_slice(text).map_err(|error| {
        if matches!(error, pem::Error::NoItemsFound) {
            PemError::NoKey
        } else {
            malformed(error)
        }
    })
}

fn malformed(error: pem::Error) -> PemError {
    PemError::Malformed(error.to_string())
}
