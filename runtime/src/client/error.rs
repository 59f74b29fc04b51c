//! Why a call failed, one variant per what to do about it.

use std::collections::BTreeMap;

use thiserror::Error;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::proto::CallError;

/// Why a call failed.
#[derive(Clone, Debug, Error)]
pub enum Error {
    /// The client cannot be used as it was set up.
    #[error("the client's options are wrong: {0}")]
    Options(String),
    /// There is no such job or lease.
    #[error("{0}")]
    NotFound(Refusal),
    /// There is a job with this id already.
    #[error("{0}")]
    AlreadyExists(Refusal),
    /// The server will not do this; the same call again would be refused again.
    #[error("{0}")]
    Refused(Refusal),
    /// Nothing was done, and the cluster could not be reached or was not ready for as long as the
    /// call might take. Try later.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// The call may or may not have been done. Look, or repeat it if it may be done twice.
    #[error("the outcome is unknown: {0}")]
    OutcomeUnknown(String),
    /// No answer came in time. The call may or may not have been done.
    #[error("the deadline passed before an answer came")]
    Deadline,
}

/// A definite no of the server.
#[derive(Clone, Debug, Error)]
#[error("{message} ({code:?}{})", .reason.as_ref().map(|r| format!(", {r}")).unwrap_or_default())]
pub struct Refusal {
    /// The gRPC code.
    pub code: Code,
    /// A stable name of the reason, from `google.rpc.ErrorInfo`.
    pub reason: Option<String>,
    /// A sentence for people.
    pub message: String,
    /// Ids and bounds that belong to the reason.
    pub metadata: BTreeMap<String, String>,
}

impl Error {
    /// Whether the server says that the task's lease is over or another worker's, so that whoever
    /// runs the task must stop and need not report.
    pub fn is_lease_lost(&self) -> bool {
        match self {
            Self::NotFound(refusal) => refusal.message == "lease not found",
            Self::Refused(refusal) => {
                refusal.code == Code::FailedPrecondition
                    && refusal.message == "lease owner mismatch"
            }
            Self::Options(_)
            | Self::AlreadyExists(_)
            | Self::Unavailable(_)
            | Self::OutcomeUnknown(_)
            | Self::Deadline => false,
        }
    }

    /// Whether the server does not know the call, or a field of it.
    pub(crate) fn is_unimplemented(&self) -> bool {
        self.refusal()
            .is_some_and(|refusal| refusal.code == Code::Unimplemented)
    }

    /// The server's definite no, if it is one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::NotFound(refusal) | Self::AlreadyExists(refusal) | Self::Refused(refusal) => {
                Some(refusal)
            }
            Self::Options(_) | Self::Unavailable(_) | Self::OutcomeUnknown(_) | Self::Deadline => {
                None
            }
        }
    }

    /// What an answer that is not worth a retry means.
    pub(crate) fn of_status(status: &Status) -> Self {
        Self::of_refusal(Refusal::of_status(status))
    }

    /// What became of one of many.
    pub(crate) fn of_call(error: CallError) -> Self {
        Self::of_refusal(Refusal {
            code: Code::from_i32(error.code),
            reason: Some(error.reason).filter(|reason| !reason.is_empty()),
            message: error.message,
            metadata: BTreeMap::new(),
        })
    }

    /// Whether this was not done and may be soon, perhaps by another node.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::NotFound(refusal) => refusal.message.contains("shard not found"),
            Self::Refused(refusal) => refusal.code == Code::ResourceExhausted,
            Self::Options(_)
            | Self::AlreadyExists(_)
            | Self::OutcomeUnknown(_)
            | Self::Deadline => false,
        }
    }

    fn of_refusal(refusal: Refusal) -> Self {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "codes are gRPC's; all that need nothing special are refusals"
        )]
        match refusal.code {
            Code::NotFound => Self::NotFound(refusal),
            Code::AlreadyExists => Self::AlreadyExists(refusal),
            Code::Unavailable => Self::Unavailable(refusal.message),
            Code::Aborted => Self::OutcomeUnknown(refusal.message),
            Code::DeadlineExceeded => Self::Deadline,
            _ => Self::Refused(refusal),
        }
    }
}

impl Refusal {
    fn of_status(status: &Status) -> Self {
        let info = status.get_details_error_info();
        let (reason, metadata) = match info {
            Some(info) => (Some(info.reason), info.metadata.into_iter().collect()),
            None => (None, BTreeMap::new()),
        };
        Self {
            code: status.code(),
            reason,
            message: status.message().to_owned(),
            metadata,
        }
    }
}

/// An error with all its causes, for people.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        // Many say their cause as part of themselves.
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}
