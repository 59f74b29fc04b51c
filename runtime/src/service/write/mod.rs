//! Replies become messages.
//!
//! * [`job`]: a job as it stands
//! * `limit`: limits, and why a job does not run
//! * [`result`]: how a job ended
//! * [`task`]: a leased task

pub mod job;
pub(crate) mod limit;
pub mod result;
pub mod task;

use bytes::Bytes;
use silo_core::shard::reply::Content;
use silo_core::types::data::NIL;

use crate::executor::reads::REPLY_BYTES_MAX;
use crate::proto::SerializedBytes;
use crate::proto::serialized_bytes::Encoding;
use crate::service::denial::Denial;

/// Data as messages carry it.
fn data(bytes: Bytes) -> SerializedBytes {
    let encoding = Some(Encoding::Msgpack(bytes));
    SerializedBytes { encoding }
}

/// Data that says nothing.
fn nil() -> SerializedBytes {
    data(Bytes::from_static(NIL))
}

/// The bytes of a reply. What is still in storage was left there because there is too much of it.
fn content(content: Content) -> Result<SerializedBytes, Denial> {
    match content {
        Content::Inline(bytes) => Ok(data(bytes)),
        Content::Stored { len, .. } => Err(Denial::AnswerTooLarge {
            bytes: len,
            bytes_max: REPLY_BYTES_MAX,
        }),
    }
}
