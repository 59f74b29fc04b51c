//! Whose span a call, or a job, belongs to: contexts of traces as W3C Trace Context writes them.
//!
//! Spans are `tracing`'s. Whoever exports them has `tracing-opentelemetry` in the process, which
//! tells what the current one is; without it there is none, and nothing is sent.

use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};

/// The header of a call, and the key in a job's metadata, that names a span.
pub const TRACEPARENT: &str = "traceparent";

/// The current span, as a `traceparent` names it. None when no span is current that is exported.
#[must_use]
pub fn current() -> Option<String> {
    Context::map_current(|context| {
        let span = context.span();
        let span = span.span_context();
        span.is_valid().then(|| {
            let flags = span.trace_flags().to_u8();
            format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id())
        })
    })
}

/// The context of a span in another process. None when the text does not name one.
#[must_use]
pub fn remote(traceparent: &str, tracestate: Option<&str>) -> Option<Context> {
    let mut parts = traceparent.split('-').skip(1);
    let trace = TraceId::from_hex(parts.next()?).ok()?;
    let span = SpanId::from_hex(parts.next()?).ok()?;
    let flags = u8::from_str_radix(parts.next()?, 16).ok()?;
    // Only whether it is sampled means anything to us.
    let flags = TraceFlags::new(flags) & TraceFlags::SAMPLED;
    let state = tracestate.and_then(|state| state.parse::<TraceState>().ok());
    let span = SpanContext::new(trace, span, flags, true, state.unwrap_or_default());
    let is_valid = span.is_valid();
    is_valid.then(|| Context::new().with_remote_span_context(span))
}
