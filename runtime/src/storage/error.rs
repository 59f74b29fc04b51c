//! What can go wrong in storage, by what the caller should do about it.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use slatedb::{CloseReason, ErrorKind};

/// Why a storage operation failed.
///
/// After any of these from an open [`crate::storage::shard::ShardStore`], writes that were
/// accepted but not yet reported durable may or may not have become durable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// Another process has opened this database and owns it now. Give the shard up; never open it
    /// again to win it back.
    #[error("{operation}: another process has taken this shard's storage over")]
    Fenced {
        /// What was being done.
        operation: &'static str,
    },
    /// This process closed the database before.
    #[error("{operation}: the shard's storage has been closed")]
    Closed {
        /// What was being done.
        operation: &'static str,
    },
    /// The object store did not answer, refused, or took longer than the time limit. Close, wait
    /// and open again.
    #[error("{operation}: storage is unavailable: {detail}")]
    Unavailable {
        /// What was being done.
        operation: &'static str,
        /// What the store said.
        detail: String,
    },
    /// The request is wrong, stored data cannot be read, or there is a bug. Repeating the request
    /// will not help.
    #[error("{operation}: {detail}")]
    Invalid {
        /// What was being done.
        operation: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// The data was written by a newer release of this program. Upgrade; nothing was changed.
    #[error(
        "{what} has format {found}, and this release ({}) reads the formats 1 to {supported}: \
         start the release that was used last, or any later one (docs/guides/formats.md says which \
         release reads which format); the data is whole, and nothing of it was changed",
        env!("CARGO_PKG_VERSION")
    )]
    NewerFormat {
        /// Which stored object.
        what: &'static str,
        /// The version stored.
        found: u64,
        /// The newest version that this program reads.
        supported: u64,
    },
}

/// Why [`crate::storage::shard::ShardStore::write`] failed, by what became of the batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Nothing of the batch was or will be written.
    #[error("batch refused: {0}")]
    Refused(#[source] StorageError),
    /// The whole batch may or may not become durable. The store must not be written to again:
    /// close it and open it anew to find out.
    #[error("outcome of the batch unknown: {0}")]
    Unknown(#[source] StorageError),
}

impl WriteError {
    /// What went wrong, apart from what became of the batch.
    #[must_use]
    pub fn cause(&self) -> &StorageError {
        match self {
            Self::Refused(cause) | Self::Unknown(cause) => cause,
        }
    }
}

impl StorageError {
    pub(crate) fn invalid(operation: &'static str, detail: impl Into<String>) -> Self {
        Self::Invalid {
            operation,
            detail: detail.into(),
        }
    }

    pub(crate) fn unavailable(operation: &'static str, detail: impl Into<String>) -> Self {
        Self::Unavailable {
            operation,
            detail: detail.into(),
        }
    }

    /// Translates an error of SlateDB.
    pub(crate) fn from_slatedb(operation: &'static str, error: &slatedb::Error) -> Self {
        let detail = with_sources(error);
        match error.kind() {
            ErrorKind::Closed(CloseReason::Fenced) => Self::Fenced { operation },
            ErrorKind::Closed(CloseReason::Clean) => Self::Closed { operation },
            // A background task of the database died; the data is whole, so opening again helps.
            ErrorKind::Closed(_) | ErrorKind::Unavailable => {
                Self::Unavailable { operation, detail }
            }
            ErrorKind::Transaction | ErrorKind::Invalid | ErrorKind::Data | ErrorKind::Internal => {
                Self::Invalid { operation, detail }
            }
            // A kind that SlateDB adds later: unknown troubles are not retried blindly.
            _ => Self::Invalid { operation, detail },
        }
    }

    /// Translates an error of the object store itself.
    pub(crate) fn from_object_store(operation: &'static str, error: &object_store::Error) -> Self {
        Self::unavailable(operation, with_sources(error))
    }
}

/// Runs `work` for at most `limit`; longer is [`StorageError::Unavailable`]. The work is then
/// dropped, which leaves its outcome unknown.
pub(crate) async fn within<T>(
    limit: Duration,
    operation: &'static str,
    work: impl Future<Output = Result<T, StorageError>>,
) -> Result<T, StorageError> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(StorageError::unavailable(
            operation,
            format!("no answer within {} ms", limit.as_millis()),
        )),
    }
}

/// The message of an error and of everything that caused it: the outer message alone ("object
/// store error") tells an operator nothing.
fn with_sources(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Wrappers often repeat what they wrap.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
