//! Every way in which the service says no. The sentence stands here; code and reason stand in
//! [`crate::service::status`].

use std::time::Duration;

use silo_core::shard::refusal::Refusal;
use silo_core::types::Invalid;
use silo_core::types::tenant::Tenant;
use uuid::Uuid;

use crate::executor::replies::Failure;
use crate::node::NodeError;

/// Why a call was not answered with what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// A field is out of bounds.
    #[error("{0}")]
    Invalid(Invalid),
    /// The shard has judged the command and refused it.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// A job of several that are taken all or none.
    #[error("job {index} of the batch: {denial}; none of the batch was taken")]
    OfBatch {
        /// Which, from 0.
        index: usize,
        /// Why.
        denial: Box<Denial>,
    },
    /// The shard has not judged the command, or nobody knows.
    #[error("{0}")]
    Failed(Failure),
    /// A tenant where there are none.
    #[error("a tenant was given, but tenancy is off on this server: leave the tenant away")]
    TenancyOff,
    /// The tenant belongs to another shard than the one that was named.
    #[error(
        "tenant {tenant} is outside the range of shard {shard}: learn the routes again with \
         GetClusterInfo"
    )]
    TenantOutsideShard {
        /// The tenant.
        tenant: Tenant,
        /// The shard that was named.
        shard: Uuid,
    },
    /// This node does not serve the shard. Clients match "shard not found".
    #[error("shard not found: this node does not serve {0}")]
    ShardElsewhere(Uuid),
    /// No shard is here at the moment.
    #[error("the shards of this node are being opened: try again")]
    NoShards,
    /// No text that was given with a lease. Clients match this text.
    #[error("lease not found")]
    LeaseUnknown,
    /// Profiles are taken one at a time.
    #[error("another profile is being taken: try again when it is done")]
    ProfileRunning,
    /// The process was not started so that it could take this profile.
    #[error("this profile is off on this server: {0}")]
    ProfileOff(String),
    /// A profile was tried and did not succeed.
    #[error("the profile could not be taken: {0}")]
    ProfileFailed(String),
    /// The contract knows it and this server does not yet.
    #[error("{0} is not implemented by this server yet")]
    NotImplemented(&'static str),
    /// The answer would be too large for a message.
    #[error(
        "the answer would be {bytes} bytes, but a message may be at most {bytes_max}: ask for less"
    )]
    AnswerTooLarge {
        /// What the answer would take.
        bytes: u64,
        /// What a message may take.
        bytes_max: u64,
    },
    /// The request is too large.
    #[error("the request is {bytes} bytes, but may be at most {bytes_max}")]
    RequestTooLarge {
        /// What the caller announced.
        bytes: usize,
        /// What a request may take.
        bytes_max: usize,
    },
    /// The request did not arrive in time.
    #[error("the request did not arrive within {} ms: send it faster, or less", .0.as_millis())]
    RequestTooSlow(Duration),
    /// Too many calls at once.
    #[error("{0} calls are in flight already, as many as this server takes: try again later")]
    TooManyCalls(usize),
    /// Too many bytes at once.
    #[error("requests in flight already take all of the {0} bytes there are: try again later")]
    TooManyBytes(usize),
    /// Too many bytes on their way out.
    #[error("answers on their way out take all of the {0} bytes there are: try again later")]
    TooManyAnswerBytes(usize),
    /// No token, or a wrong one.
    #[error("a valid token is needed: send it as `authorization: Bearer <token>`")]
    Unauthenticated,
    /// The caller's deadline, or the server's, has passed.
    #[error("the deadline has passed; what was asked may still be done")]
    DeadlineExceeded,
    /// The server stops and has waited long enough.
    #[error("the server is shutting down; what was asked may still be done: try again")]
    ShuttingDown,
    /// Not in production.
    #[error("ResetShards throws all jobs away and is allowed in development mode only")]
    ResetForbidden,
    /// The shards could not be begun anew.
    #[error("the shards could not be reset: {0}")]
    ResetFailed(NodeError),
    /// A mistake in this server.
    #[error("a mistake in this server, please report it: {0}")]
    Bug(&'static str),
}

impl From<Invalid> for Denial {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<Refusal> for Denial {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl From<Failure> for Denial {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}
