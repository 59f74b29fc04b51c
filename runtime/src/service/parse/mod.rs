//! Messages become commands, or are refused with the field, its value and its bound. What is parsed
//! needs no further look.
//!
//! * [`tenancy`]: whose call it is
//! * [`enqueue`], [`retry`]: a job to take
//! * [`import`]: a job with a history
//! * [`job`]: calls about one job
//! * [`worker`]: leases, heartbeats, outcomes

pub mod enqueue;
pub mod import;
pub mod job;
pub mod retry;
pub mod tenancy;
pub mod worker;

use bytes::Bytes;
use silo_core::types::Invalid;
use silo_core::types::data::NIL;
use silo_core::types::time::Millis;
use silo_core::types::weight::Weights;

use crate::node::Node;
use crate::proto::SerializedBytes;
use crate::proto::serialized_bytes::Encoding;
use crate::service::ServiceOptions;
use crate::service::parse::tenancy::Tenancy;

/// What parsing needs to know of the server.
#[derive(Clone, Debug)]
pub struct Parser {
    /// Whether callers name a tenant.
    pub tenancy: Tenancy,
    /// Largest payload, result or error data.
    pub payload_bytes_max: usize,
    /// How long leases last unless somebody says otherwise.
    pub lease_default: Millis,
    /// What tenants get beside others, unless it was set at run time.
    pub weights: Weights,
}

impl Parser {
    /// A parser for this node.
    #[must_use]
    pub fn new(node: &Node, options: &ServiceOptions) -> Self {
        Self {
            tenancy: Tenancy::of(node.options()),
            payload_bytes_max: options.payload_bytes_max,
            lease_default: node.options().lease_default,
            weights: node.options().weights.clone(),
        }
    }

    /// Takes a caller's data. Absent and empty data becomes MessagePack nil: clients fail on
    /// empty bytes, and zero bytes are no MessagePack.
    ///
    /// # Errors
    /// [`Invalid`] when it is larger than [`Self::payload_bytes_max`].
    pub fn data(
        &self,
        field: &'static str,
        data: Option<SerializedBytes>,
    ) -> Result<Bytes, Invalid> {
        let Some(Encoding::Msgpack(bytes)) = data.and_then(|data| data.encoding) else {
            return Ok(Bytes::from_static(NIL));
        };
        if bytes.is_empty() {
            return Ok(Bytes::from_static(NIL));
        }
        if bytes.len() > self.payload_bytes_max {
            let value = format!("{} bytes long", bytes.len());
            let bound = format!("at most {} bytes", self.payload_bytes_max);
            return Err(Invalid::new(field, value, bound));
        }
        Ok(bytes)
    }
}

/// Takes a number of milliseconds that may not be negative.
fn millis(field: &'static str, value: i64) -> Result<Millis, Invalid> {
    u64::try_from(value)
        .map(Millis::new)
        .map_err(|_| Invalid::new(field, value, "at least 0"))
}
