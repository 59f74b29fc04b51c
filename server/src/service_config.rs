//! What an operator can set about calls: how large they may be, how many at once, how long.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use silo_runtime::service::profile::Profilers;
use silo_runtime::service::{OptionsError, ServiceOptions};

/// Bounds on calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServiceConfig {
    /// Largest payload, result or error data of one job, in bytes.
    // Half of what a shard may hold that is not durable: a larger payload would leave no room for
    // anything beside it.
    #[schemars(range(min = 1, max = 32 << 20))]
    pub(crate) payload_bytes_max: usize,
    /// Largest message, in bytes; at least `payload_bytes_max` and 4 MiB.
    #[schemars(range(min = 1, max = 1 << 30))]
    pub(crate) message_bytes_max: usize,
    /// Calls at once on one connection.
    #[schemars(range(min = 1))]
    pub(crate) streams_max: u32,
    /// Calls at once on all connections.
    #[schemars(range(min = 1))]
    pub(crate) requests_in_flight_max: usize,
    /// Bytes of all requests that are being received or handled; at least `message_bytes_max`.
    pub(crate) request_bytes_in_flight_max: usize,
    /// Bytes of all answers with job data that are being made or sent; at least
    /// `message_bytes_max`.
    pub(crate) answer_bytes_in_flight_max: usize,
    /// How long a request may take to arrive, in milliseconds.
    #[schemars(range(min = 100, max = 3_600_000))]
    pub(crate) request_arrival_ms: u64,
    /// How long any call may take, whatever deadline its caller set, in milliseconds.
    #[schemars(range(min = 1_000, max = 86_400_000))]
    pub(crate) call_deadline_ms: u64,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        let options = ServiceOptions::default();
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            payload_bytes_max: options.payload_bytes_max,
            message_bytes_max: options.message_bytes_max,
            streams_max: options.streams_max,
            requests_in_flight_max: options.requests_in_flight_max,
            request_bytes_in_flight_max: options.request_bytes_in_flight_max,
            answer_bytes_in_flight_max: options.answer_bytes_in_flight_max,
            request_arrival_ms: millis(options.request_arrival_max),
            call_deadline_ms: millis(options.call_deadline_max),
        }
    }
}

impl ServiceConfig {
    /// These bounds, with what else the service is told.
    pub(crate) fn options(&self, token: Option<String>, drain_timeout: Duration) -> ServiceOptions {
        ServiceOptions {
            token,
            message_bytes_max: self.message_bytes_max,
            payload_bytes_max: self.payload_bytes_max,
            streams_max: self.streams_max,
            requests_in_flight_max: self.requests_in_flight_max,
            request_bytes_in_flight_max: self.request_bytes_in_flight_max,
            answer_bytes_in_flight_max: self.answer_bytes_in_flight_max,
            request_arrival_max: Duration::from_millis(self.request_arrival_ms),
            drain_timeout,
            call_deadline_max: Duration::from_millis(self.call_deadline_ms),
            profilers: Profilers::default(),
        }
    }

    /// Checks that the bounds fit into each other.
    pub(crate) fn check(&self) -> Result<(), OptionsError> {
        self.options(None, Duration::ZERO).check()
    }
}
