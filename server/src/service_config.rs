//! What an operator can set about calls: how large they may be, how many at once, how long.

use std::time::Duration;

use serde::Deserialize;
use silo_runtime::service::profile::Profilers;
use silo_runtime::service::{OptionsError, ServiceOptions};

/// Bounds on calls.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServiceConfig {
    /// Largest payload, result or error data of one job, in bytes.
    pub(crate) payload_bytes_max: usize,
    /// Largest message, in bytes.
    pub(crate) message_bytes_max: usize,
    /// Calls at once on one connection.
    pub(crate) streams_max: u32,
    /// Calls at once on all connections.
    pub(crate) requests_in_flight_max: usize,
    /// Bytes of all requests that are being received or handled.
    pub(crate) request_bytes_in_flight_max: usize,
    /// Bytes of all answers with job data that are being made or sent.
    pub(crate) answer_bytes_in_flight_max: usize,
    /// How long a request may take to arrive, in milliseconds.
    pub(crate) request_arrival_ms: u64,
    /// How long any call may take, whatever deadline its caller set, in milliseconds.
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

/// Half of what a shard may hold that is not durable: a larger payload would leave no room for
/// anything beside it.
const PAYLOAD_BYTES: std::ops::RangeInclusive<usize> = 1..=32 << 20;
const MESSAGE_BYTES_MAX: usize = 1 << 30;
const ARRIVAL_MS: std::ops::RangeInclusive<u64> = 100..=3_600_000;
const DEADLINE_MS: std::ops::RangeInclusive<u64> = 1_000..=86_400_000;

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

    /// Checks each bound, and that they fit into each other.
    pub(crate) fn check(&self) -> Result<(), OptionsError> {
        let wrong = |option, value, bound: &str| {
            Err(OptionsError {
                option,
                value,
                bound: bound.to_owned(),
            })
        };
        let count = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        if !PAYLOAD_BYTES.contains(&self.payload_bytes_max) {
            let value = self.payload_bytes_max;
            return wrong("payload_bytes_max", value, "1 to 33554432");
        }
        if self.message_bytes_max > MESSAGE_BYTES_MAX {
            let value = self.message_bytes_max;
            return wrong("message_bytes_max", value, "at most 1073741824");
        }
        if !ARRIVAL_MS.contains(&self.request_arrival_ms) {
            let value = count(self.request_arrival_ms);
            return wrong("request_arrival_ms", value, "100 to 3600000");
        }
        if !DEADLINE_MS.contains(&self.call_deadline_ms) {
            let value = count(self.call_deadline_ms);
            return wrong("call_deadline_ms", value, "1000 to 86400000");
        }
        self.options(None, Duration::ZERO).check()
    }
}
