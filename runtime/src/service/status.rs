//! The one table of codes and reasons: every denial as a gRPC status.

use std::collections::HashMap;

use silo_core::shard::refusal::{Refusal, RefusalCode};
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::executor::replies::Failure;
use crate::service::denial::Denial;

/// The domain of every `google.rpc.ErrorInfo` of this server.
pub const DOMAIN: &str = "silo";
/// Tells a client when to try again, in milliseconds; a negative number says never.
pub const PUSHBACK: &str = "grpc-retry-pushback-ms";
/// How long a client is asked to wait when there is too much to do, in milliseconds.
pub const PUSHBACK_MS: i64 = 200;
/// Never: the same call would be refused again.
const PUSHBACK_NEVER: i64 = -1;

impl From<Denial> for Status {
    fn from(denial: Denial) -> Self {
        let mut details = ErrorDetails::with_error_info(reason(&denial), DOMAIN, ids(&denial));
        if let Denial::Invalid(invalid) = &denial {
            details.add_bad_request_violation(invalid.field, denial.to_string());
        }
        let mut status = Self::with_error_details(code(&denial), denial.to_string(), details);
        if let Some(pushback) = pushback(&denial) {
            status
                .metadata_mut()
                .insert(PUSHBACK, MetadataValue::from(pushback));
        }
        status
    }
}

/// The gRPC code. `UNAVAILABLE` only for what may be retried blindly.
pub fn code(denial: &Denial) -> Code {
    match denial {
        Denial::Invalid(_) => Code::InvalidArgument,
        Denial::Refused(refusal) => match refusal.code() {
            RefusalCode::NotFound => Code::NotFound,
            RefusalCode::AlreadyExists => Code::AlreadyExists,
            RefusalCode::FailedPrecondition => Code::FailedPrecondition,
            RefusalCode::ResourceExhausted => Code::ResourceExhausted,
            RefusalCode::Internal => Code::Internal,
        },
        Denial::OfBatch { denial, .. } => code(denial),
        Denial::Failed(failure) => match failure {
            Failure::Unavailable
            | Failure::Unreadable
            | Failure::Unproven
            | Failure::Opening
            | Failure::Closing => Code::Unavailable,
            Failure::Overloaded => Code::ResourceExhausted,
            Failure::OutcomeUnknown => Code::Aborted,
        },
        Denial::TenancyOff | Denial::TenantOutsideShard { .. } | Denial::ProfileOff(_) => {
            Code::FailedPrecondition
        }
        Denial::ShardElsewhere(_) | Denial::LeaseUnknown => Code::NotFound,
        Denial::NoShards | Denial::ResetFailed(_) => Code::Unavailable,
        Denial::NotImplemented(_) => Code::Unimplemented,
        Denial::AnswerTooLarge { .. }
        | Denial::RequestTooLarge { .. }
        | Denial::TooManyCalls(_)
        | Denial::TooManyBytes(_)
        | Denial::TooManyAnswerBytes(_)
        | Denial::ProfileRunning => Code::ResourceExhausted,
        Denial::Unauthenticated => Code::Unauthenticated,
        Denial::DeadlineExceeded | Denial::RequestTooSlow(_) => Code::DeadlineExceeded,
        // What was asked may have been done: not for blind repetition.
        Denial::ShuttingDown => Code::Aborted,
        Denial::ResetForbidden => Code::PermissionDenied,
        Denial::ProfileFailed(_) | Denial::Bug(_) => Code::Internal,
    }
}

/// The reason, stable for machines.
pub fn reason(denial: &Denial) -> &'static str {
    match denial {
        Denial::Invalid(_) => "INVALID_FIELD",
        Denial::Refused(refusal) => refusal.reason(),
        Denial::OfBatch { denial, .. } => reason(denial),
        Denial::Failed(failure) => match failure {
            Failure::Unavailable => "STORAGE_UNAVAILABLE",
            Failure::Unreadable => "STORAGE_UNREADABLE",
            Failure::Unproven => "OWNERSHIP_UNPROVEN",
            Failure::Opening => "SHARD_OPENING",
            Failure::Closing => "SHARD_CLOSING",
            Failure::Overloaded => "SHARD_OVERLOADED",
            Failure::OutcomeUnknown => "OUTCOME_UNKNOWN",
        },
        Denial::TenancyOff => "TENANCY_OFF",
        Denial::TenantOutsideShard { .. } => "TENANT_OUTSIDE_SHARD",
        Denial::ShardElsewhere(_) => "SHARD_NOT_FOUND",
        Denial::NoShards => "SHARD_OPENING",
        Denial::LeaseUnknown => "LEASE_UNKNOWN",
        Denial::NotImplemented(_) => "NOT_IMPLEMENTED",
        Denial::AnswerTooLarge { .. } => "ANSWER_TOO_LARGE",
        Denial::RequestTooLarge { .. } => "REQUEST_TOO_LARGE",
        Denial::RequestTooSlow(_) => "REQUEST_TOO_SLOW",
        Denial::TooManyCalls(_) => "TOO_MANY_CALLS",
        Denial::TooManyBytes(_) => "TOO_MANY_BYTES",
        Denial::TooManyAnswerBytes(_) => "TOO_MANY_ANSWER_BYTES",
        Denial::Unauthenticated => "TOKEN_INVALID",
        Denial::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Denial::ShuttingDown => "OUTCOME_UNKNOWN",
        Denial::ResetForbidden => "NOT_IN_DEV_MODE",
        Denial::ResetFailed(_) => "RESET_FAILED",
        Denial::ProfileRunning => "PROFILE_RUNNING",
        Denial::ProfileOff(_) => "PROFILE_OFF",
        Denial::ProfileFailed(_) => "PROFILE_FAILED",
        Denial::Bug(_) => "BUG",
    }
}

/// Ids and bounds that belong to the reason.
fn ids(denial: &Denial) -> HashMap<String, String> {
    let pairs: Vec<(&str, String)> = match denial {
        Denial::OfBatch { index, denial } => {
            let mut ids = ids(denial);
            ids.insert("index".to_owned(), index.to_string());
            return ids;
        }
        Denial::Invalid(invalid) => vec![
            ("field", invalid.field.to_owned()),
            ("bound", invalid.bound.clone()),
        ],
        Denial::Refused(refusal) => ids_of_refusal(refusal),
        Denial::TenantOutsideShard { tenant, shard } => {
            vec![("tenant", tenant.to_string()), ("shard", shard.to_string())]
        }
        Denial::ShardElsewhere(shard) => vec![("shard", shard.to_string())],
        Denial::NotImplemented(what) => vec![("what", (*what).to_owned())],
        Denial::AnswerTooLarge { bytes, bytes_max } => vec![
            ("bytes", bytes.to_string()),
            ("bytes_max", bytes_max.to_string()),
        ],
        Denial::RequestTooLarge { bytes, bytes_max } => vec![
            ("bytes", bytes.to_string()),
            ("bytes_max", bytes_max.to_string()),
        ],
        Denial::RequestTooSlow(max) => vec![("arrival_ms_max", max.as_millis().to_string())],
        Denial::TooManyCalls(calls_max) => vec![("calls_max", calls_max.to_string())],
        Denial::TooManyBytes(bytes_max) | Denial::TooManyAnswerBytes(bytes_max) => {
            vec![("bytes_max", bytes_max.to_string())]
        }
        Denial::Failed(_)
        | Denial::TenancyOff
        | Denial::NoShards
        | Denial::LeaseUnknown
        | Denial::Unauthenticated
        | Denial::DeadlineExceeded
        | Denial::ShuttingDown
        | Denial::ResetForbidden
        | Denial::ResetFailed(_)
        | Denial::ProfileRunning
        | Denial::ProfileOff(_)
        | Denial::ProfileFailed(_)
        | Denial::Bug(_) => Vec::new(),
    };
    let owned = |(key, value): (&str, String)| (key.to_owned(), value);
    pairs.into_iter().map(owned).collect()
}

fn ids_of_refusal(refusal: &Refusal) -> Vec<(&'static str, String)> {
    let mut pairs = Vec::new();
    pairs.extend(refusal.job().map(|job| ("job_id", job.to_string())));
    match refusal {
        Refusal::LeaseNotFound { task, .. } | Refusal::LeaseOwnerMismatch(task) => {
            pairs.push(("attempt_number", task.attempt.to_string()));
        }
        Refusal::InBatch { index, refusal } => {
            pairs = ids_of_refusal(refusal);
            pairs.push(("index", index.to_string()));
        }
        Refusal::JobNotFound(key)
        | Refusal::JobRunning(key)
        | Refusal::NotRestartable(key, _)
        | Refusal::NotExpeditable(key, _)
        | Refusal::AlreadyReady(key)
        | Refusal::NotImportable(key, _)
        | Refusal::AlreadyCancelled(key)
        | Refusal::AlreadyTerminal(key)
        | Refusal::NotTerminal(key, _)
        | Refusal::NotLeasable(key, _)
        | Refusal::Paused { key, .. }
        | Refusal::Quarantined(key) => pairs.push(("tenant", key.tenant.to_string())),
        Refusal::LimitFull { key, limit } => {
            pairs.push(("tenant", key.tenant.to_string()));
            pairs.push(("limit", limit.to_string()));
        }
        Refusal::TenantDamaged(tenant)
        | Refusal::TooManyToCount(tenant)
        | Refusal::TooManyQueues { tenant } => pairs.push(("tenant", tenant.to_string())),
        Refusal::LimitDamaged(limit) => pairs.push(("limit", limit.to_string())),
        Refusal::JobExists(_) | Refusal::TooManyPaused => {}
    }
    pairs
}

/// Some clients repeat `RESOURCE_EXHAUSTED`: they are told when, or not to.
fn pushback(denial: &Denial) -> Option<i64> {
    match denial {
        Denial::Failed(Failure::Overloaded)
        | Denial::TooManyCalls(_)
        | Denial::TooManyBytes(_)
        | Denial::TooManyAnswerBytes(_) => Some(PUSHBACK_MS),
        // A profile takes longer than any caller's next tries.
        Denial::AnswerTooLarge { .. } | Denial::RequestTooLarge { .. } | Denial::ProfileRunning => {
            Some(PUSHBACK_NEVER)
        }
        Denial::Refused(refusal) if refusal.code() == RefusalCode::ResourceExhausted => {
            Some(PUSHBACK_MS)
        }
        Denial::OfBatch { denial, .. } => pushback(denial),
        Denial::Failed(
            Failure::Unavailable
            | Failure::Unreadable
            | Failure::Unproven
            | Failure::Opening
            | Failure::Closing
            | Failure::OutcomeUnknown,
        )
        | Denial::Invalid(_)
        | Denial::Refused(_)
        | Denial::TenancyOff
        | Denial::TenantOutsideShard { .. }
        | Denial::ShardElsewhere(_)
        | Denial::NoShards
        | Denial::LeaseUnknown
        | Denial::NotImplemented(_)
        | Denial::Unauthenticated
        | Denial::DeadlineExceeded
        | Denial::RequestTooSlow(_)
        | Denial::ShuttingDown
        | Denial::ResetForbidden
        | Denial::ResetFailed(_)
        | Denial::ProfileOff(_)
        | Denial::ProfileFailed(_)
        | Denial::Bug(_) => None,
    }
}
