//! gRPC calls: how many by method and code, how long they took, which are in flight.

use std::time::{Duration, Instant};

use http::Response;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tonic::{Code, Status};

use crate::metrics::SECONDS;
use crate::proto::METHODS;

/// gRPC calls.
#[derive(Clone, Debug)]
pub struct CallMetrics {
    ended: Family<Ended, Counter>,
    took: Family<Of, Histogram, fn() -> Histogram>,
    in_flight: Family<Of, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    method: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    method: &'static str,
}

/// A call in flight. Dropped without an answer it counts as cancelled by its caller.
#[derive(Debug)]
pub struct InFlight<'a> {
    metrics: &'a CallMetrics,
    method: &'static str,
    began: Instant,
    is_over: bool,
}

impl Default for CallMetrics {
    fn default() -> Self {
        Self {
            ended: Family::default(),
            took: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            in_flight: Family::default(),
        }
    }
}

impl CallMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "calls",
            "gRPC calls that ended, by method and code",
            self.ended.clone(),
        );
        registry.register_with_unit(
            "call",
            "Time from a call's headers to its answer, waiting for work included",
            Unit::Seconds,
            self.took.clone(),
        );
        registry.register(
            "calls_in_flight",
            "gRPC calls that have begun and were not answered",
            self.in_flight.clone(),
        );
    }

    /// A call begins. What is no method of ours is counted as "unknown".
    #[must_use]
    pub fn begin(&self, method: &str) -> InFlight<'_> {
        let known = METHODS.iter().find(|known| **known == method);
        let method = known.copied().unwrap_or("unknown");
        self.in_flight.get_or_create(&Of { method }).inc();
        InFlight {
            metrics: self,
            method,
            began: Instant::now(),
            is_over: false,
        }
    }

    /// How many calls of each method are in flight; methods that were never called are left out.
    #[must_use]
    pub fn in_flight(&self) -> Vec<(&'static str, i64)> {
        let of = |method: &'static str| {
            let gauge = self.in_flight.get(&Of { method })?;
            Some((method, gauge.get()))
        };
        METHODS.iter().copied().filter_map(of).collect()
    }

    fn end(&self, method: &'static str, code: Code, took: Duration) {
        let code = name(code);
        self.ended.get_or_create(&Ended { method, code }).inc();
        let of = Of { method };
        self.took.get_or_create(&of).observe(took.as_secs_f64());
        self.in_flight.get_or_create(&of).dec();
    }
}

impl InFlight<'_> {
    /// The call has an answer.
    pub fn answered<B>(mut self, response: &Response<B>) {
        // A call that went well says so in its trailers, after this.
        let status = Status::from_header_map(response.headers());
        self.end(status.map_or(Code::Ok, |status| status.code()));
    }

    fn end(&mut self, code: Code) {
        self.is_over = true;
        self.metrics.end(self.method, code, self.began.elapsed());
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.end(Code::Cancelled);
        }
    }
}

const fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
