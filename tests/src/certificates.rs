//! Certificates for tests: CAs made on the spot, and what they sign.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SerialNumber};
use silo_runtime::client::tls::{ClientIdentity, ClientTls};
use silo_runtime::service::tls::files::TlsFiles;
use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::server::Trouble;

/// A CA.
pub struct Ca(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct Signed {
    /// As it goes over the wire.
    pub der: CertificateDer<'static>,
    /// As it is in a file.
    pub cert_pem: String,
    /// Its key.
    pub key_pem: String,
}

impl Ca {
    /// A new one.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new() -> Result<Self, Trouble> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self(CertifiedIssuer::self_signed(
            params,
            KeyPair::generate()?,
        )?))
    }

    /// A certificate with this serial number for whatever listens on 127.0.0.1 and is called
    /// silo.test, or calls.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn sign(&self, serial: u64) -> Result<Signed, Trouble> {
        let key = KeyPair::generate()?;
        let names = ["127.0.0.1", "silo.test"].map(str::to_owned);
        let mut params = CertificateParams::new(names)?;
        params.serial_number = Some(SerialNumber::from(serial));
        let certificate = params.signed_by(&key, &self.0)?;
        Ok(Signed {
            der: certificate.der().clone(),
            cert_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        })
    }

    /// Its own certificate.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A client that trusts it.
    #[must_use]
    pub fn trusted(&self) -> ClientTls {
        ClientTls::new(self.pem())
    }
}

impl std::fmt::Debug for Ca {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ca").finish_non_exhaustive()
    }
}

impl Signed {
    /// What a client shows.
    #[must_use]
    pub fn identity(&self) -> ClientIdentity {
        ClientIdentity {
            cert_pem: self.cert_pem.clone().into(),
            key_pem: self.key_pem.clone().into(),
        }
    }
}

/// The files of a server, in a folder.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Files in this folder, none of them written.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Where they lie, without a client CA.
    #[must_use]
    pub fn files(&self) -> TlsFiles {
        TlsFiles {
            cert: self.0.join("cert.pem"),
            key: self.0.join("key.pem"),
            client_ca: None,
        }
    }

    /// Where they lie, with a client CA.
    #[must_use]
    pub fn mutual(&self) -> TlsFiles {
        TlsFiles {
            client_ca: Some(self.0.join("client-ca.pem")),
            ..self.files()
        }
    }

    /// Writes certificate and key.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&self, signed: &Signed) -> Result<(), Trouble> {
        fs::write(self.files().cert, &signed.cert_pem)?;
        Ok(fs::write(self.files().key, &signed.key_pem)?)
    }

    /// Writes the CA of callers.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_client_ca(&self, ca: &Ca) -> Result<(), Trouble> {
        Ok(fs::write(self.0.join("client-ca.pem"), ca.pem())?)
    }
}
