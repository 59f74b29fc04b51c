//! The tracing span of a call: its method, and the caller's trace (W3C Trace Context) if there is
//! one. Whoever exports spans finds that the caller's span is the call's parent.
//!
//! Whatever stands in the headers is a stranger's word. Only what has the right shape is recorded,
//! so that it can neither break a log's lines nor fill them.

use std::collections::BTreeMap;

use http::{HeaderMap, Response};
use opentelemetry::Context;
use silo_core::shard::commands::enqueue::METADATA_PAIRS_MAX;
use tonic::{Code, Status};
use tracing::field::Empty;
use tracing::{Span, info_span};

use crate::trace::{TRACEPARENT, remote};

const TRACESTATE: &str = "tracestate";
/// Longest method that is recorded, in bytes; longer ones are not ours.
const METHOD_BYTES_MAX: usize = 64;
/// `traceparent` of version 00, in bytes. Later versions may go on after a hyphen.
const TRACEPARENT_BYTES: usize = 55;
/// Longest `traceparent` of a later version and longest `tracestate`, in bytes.
const TRACE_BYTES_MAX: usize = 512;
/// Most members of a `tracestate`.
const MEMBERS_MAX: usize = 32;

/// The span of a call of this method.
#[must_use]
pub fn span(method: &str, headers: &HeaderMap) -> Span {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric();
    let is_method = method.len() <= METHOD_BYTES_MAX && method.bytes().all(is_name);
    let method = if is_method { method } else { "unknown" };
    let Some(parent) = only(headers, TRACEPARENT).filter(|text| is_traceparent(text)) else {
        // A state without its parent says nothing.
        return new(method);
    };
    let state = only(headers, TRACESTATE).filter(|text| is_tracestate(text));
    let caller = remote(parent, state).map(Context::attach);
    let span = new(method);
    drop(caller);
    span.record(TRACEPARENT, parent);
    if let Some(state) = state {
        span.record(TRACESTATE, state);
    }
    span
}

/// Puts the caller's span into the metadata of a job that it enqueues, for the worker's span to
/// belong to: unless the job names one already, or has no room for it.
pub fn join(metadata: &mut BTreeMap<String, String>, headers: &HeaderMap) {
    let parent = only(headers, TRACEPARENT).filter(|text| is_traceparent(text));
    let has_room = metadata.len() < METADATA_PAIRS_MAX;
    if let Some(parent) = parent
        && has_room
        && !metadata.contains_key(TRACEPARENT)
    {
        metadata.insert(TRACEPARENT.to_owned(), parent.to_owned());
    }
}

/// Notes in the span of a call how it ended.
pub fn answered<B>(span: &Span, response: &Response<B>) {
    // A call that went well says so in its trailers, after this.
    let Some(status) = Status::from_header_map(response.headers()) else {
        return;
    };
    if span.is_disabled() || status.code() == Code::Ok {
        return;
    }
    span.record("code", tracing::field::debug(status.code()));
    if is_our_fault(status.code()) {
        span.record("otel.status_code", "ERROR");
    }
}

/// The fields that begin with "otel" are how exporters are told name, kind and status of a span.
fn new(method: &str) -> Span {
    info_span!(
        "call",
        method,
        otel.name = method,
        otel.kind = "server",
        otel.status_code = Empty,
        code = Empty,
        traceparent = Empty,
        tracestate = Empty
    )
}

/// What a server's span counts as an error; all else is for the caller to mend.
const fn is_our_fault(code: Code) -> bool {
    match code {
        Code::Unknown
        | Code::DeadlineExceeded
        | Code::Unimplemented
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::Ok
        | Code::Cancelled
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unauthenticated => false,
    }
}

/// A header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn is_traceparent(text: &str) -> bool {
    let mut parts = text.splitn(5, '-');
    let (Some(version), Some(trace), Some(parent), Some(flags)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let is_length = match version {
        "00" => text.len() == TRACEPARENT_BYTES,
        "ff" => false,
        _ => text.len() <= TRACE_BYTES_MAX,
    };
    let is_id = |id: &str, digits| is_hex(id, digits) && id.bytes().any(|digit| digit != b'0');
    is_length
        && is_hex(version, 2)
        && is_id(trace, 32)
        && is_id(parent, 16)
        && is_hex(flags, 2)
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Members `key=value` with commas between them; empty ones are allowed.
fn is_tracestate(text: &str) -> bool {
    let is_printable = |byte: u8| matches!(byte, b' '..=b'~');
    let mut members = text
        .split(',')
        .map(|member| member.trim_matches([' ', '\t']));
    let is_member = |member: &str| {
        let pair = member.split_once('=');
        let is_pair = |(key, value): (&str, &str)| {
            !key.is_empty()
                && key.bytes().all(|byte| byte.is_ascii_graphic())
                && value.bytes().all(is_printable)
                && !value.contains('=')
        };
        member.is_empty() || pair.is_some_and(is_pair)
    };
    !text.is_empty()
        && text.len() <= TRACE_BYTES_MAX
        && members.clone().count() <= MEMBERS_MAX
        && members.all(is_member)
}
