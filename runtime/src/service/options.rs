//! What an operator can set about the service, with every bound it keeps.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::service::gate::token::Token;

const MIB: usize = 1 << 20;

/// How the service listens and what it bounds.
#[derive(Debug)]
pub struct ServiceOptions {
    /// Where to listen.
    pub listen: Listen,
    /// What callers must show; without it everybody may call.
    pub token: Option<Token>,
    /// Largest message, both ways.
    pub message_bytes_max: usize,
    /// Largest payload, result or error data of one job.
    pub payload_bytes_max: usize,
    /// Calls at once on one connection.
    pub streams_max: u32,
    /// Calls at once on all connections.
    pub requests_in_flight_max: usize,
    /// Bytes of all requests that are being received or handled.
    pub request_bytes_in_flight_max: usize,
    /// How long calls in flight may go on once shutdown has begun.
    pub drain_timeout: Duration,
    /// How long any call may take, whatever deadline its caller set.
    pub call_deadline_max: Duration,
}

/// Where to listen.
#[derive(Debug)]
pub enum Listen {
    /// Bind this address.
    Address(SocketAddr),
    /// It is bound already.
    Bound(TcpListener),
}

/// Options that contradict themselves.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{option} is {value}, but must be {bound}")]
pub struct OptionsError {
    /// Which option.
    pub option: &'static str,
    /// Its value.
    pub value: usize,
    /// What is allowed.
    pub bound: String,
}

impl ServiceOptions {
    /// Room that a message needs beside one payload: metadata, ids, and what frames them.
    pub const MESSAGE_OVERHEAD_BYTES: usize = 4 * MIB;

    /// The defaults, without a token.
    #[must_use]
    pub const fn new(listen: Listen) -> Self {
        Self {
            listen,
            token: None,
            message_bytes_max: 128 * MIB,
            payload_bytes_max: 16 * MIB,
            streams_max: 1024,
            requests_in_flight_max: 16_384,
            request_bytes_in_flight_max: 256 * MIB,
            drain_timeout: Duration::from_secs(20),
            call_deadline_max: Duration::from_secs(300),
        }
    }

    /// Checks that the bounds fit into each other.
    ///
    /// # Errors
    /// [`OptionsError`] names the first that does not.
    pub fn check(&self) -> Result<(), OptionsError> {
        let wrong = |option, value, bound| {
            Err(OptionsError {
                option,
                value,
                bound,
            })
        };
        let message_min = self
            .payload_bytes_max
            .saturating_add(Self::MESSAGE_OVERHEAD_BYTES);
        if self.message_bytes_max < message_min {
            let bound = format!("at least payload_bytes_max and 4 MiB, {message_min}");
            return wrong("message_bytes_max", self.message_bytes_max, bound);
        }
        if self.request_bytes_in_flight_max < self.message_bytes_max {
            let bound = format!("at least message_bytes_max, {}", self.message_bytes_max);
            let value = self.request_bytes_in_flight_max;
            return wrong("request_bytes_in_flight_max", value, bound);
        }
        for (option, value) in [
            ("payload_bytes_max", self.payload_bytes_max),
            ("requests_in_flight_max", self.requests_in_flight_max),
            (
                "streams_max",
                usize::try_from(self.streams_max).unwrap_or(usize::MAX),
            ),
        ] {
            if value == 0 {
                return wrong(option, value, "at least 1".to_owned());
            }
        }
        Ok(())
    }
}
