//! Addresses that can be connected to.

use std::fmt;
use std::net::IpAddr;

use http::uri::Authority;
use thiserror::Error;

/// A `host:port` of a node, without a scheme, whose host is not a wildcard.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(String);

/// Why a text is not an [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// Not of the form `host:port`.
    #[error("{0:?} is not a host:port without a scheme")]
    Form(String),
    /// A server may listen on it, but nobody can connect to it.
    #[error("{0:?} is a wildcard, which nobody can connect to")]
    Wildcard(String),
}

impl Address {
    /// Reads `host:port`.
    ///
    /// # Errors
    ///
    /// If it has another form, or names every address (`0.0.0.0`, `[::]`, `*`).
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let form = || AddressError::Form(text.to_owned());
        let wildcard = || AddressError::Wildcard(text.to_owned());
        if text.starts_with('*') {
            return Err(wildcard());
        }
        let authority: Authority = text.parse().map_err(|_| form())?;
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let port = authority.port_u16().ok_or_else(form)?;
        if host.is_empty() || port == 0 || text.contains('@') {
            return Err(form());
        }
        match host.parse::<IpAddr>() {
            Ok(ip) if ip.is_unspecified() => Err(wildcard()),
            Ok(_) | Err(_) => Ok(Self(text.to_owned())),
        }
    }

    /// The address as `host:port`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
