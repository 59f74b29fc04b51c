//! How far a shard is durable, and when it ended.

use slatedb::{CloseReason, Db, DbStatus};
use tokio::sync::watch;

use crate::storage::error::StorageError;

/// Tells up to which sequence number a shard's writes are durable, and when the shard has ended.
///
/// One of these serves any number of waiting commands: wait for the number to move, then release
/// all that it has passed. Sequence numbers of durable writes survive every crash.
#[derive(Clone)]
pub struct DurableWatch {
    status: watch::Receiver<DbStatus>,
    db: Db,
}

impl DurableWatch {
    pub(crate) fn new(db: &Db) -> Self {
        Self {
            status: db.subscribe(),
            db: db.clone(),
        }
    }

    /// The largest sequence number known to be durable: all writes up to it are.
    #[must_use]
    pub fn current(&self) -> u64 {
        self.status.borrow().durable_seq
    }

    /// Waits until the durable sequence number exceeds `seq`, and returns it. May be dropped and
    /// called again at any time.
    ///
    /// # Errors
    /// [`StorageError`] telling why the shard ended before that: nothing that is not durable by now
    /// will be reported durable any more.
    pub async fn beyond(&mut self, seq: u64) -> Result<u64, StorageError> {
        let reached = self
            .status
            .wait_for(|status| status.durable_seq > seq || status.close_reason.is_some())
            .await
            .map(|status| status.durable_seq);
        match reached {
            Ok(durable_seq) if durable_seq > seq => Ok(durable_seq),
            Ok(_) | Err(_) => Err(why_closed(&self.db, WATCH)),
        }
    }

    /// Waits until the shard has ended, by [`crate::storage::shard::ShardStore::close`] or
    /// underneath us, and tells why. A shard that another process has taken over ends within the
    /// configured poll interval even if it is idle.
    pub async fn closed(&mut self) -> StorageError {
        // An error means that the database is gone altogether, which is an end as well.
        let _ = self
            .status
            .wait_for(|status| status.close_reason.is_some())
            .await;
        why_closed(&self.db, WATCH)
    }
}

impl std::fmt::Debug for DurableWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DurableWatch")
            .field("current", &self.current())
            .finish_non_exhaustive()
    }
}

const WATCH: &str = "watch shard";

/// Why the database has ended, or `None` while it has not.
///
/// The status only says "panic" when, for instance, the object store was unreachable; the error
/// itself comes out of any operation.
pub(crate) fn end_of(db: &Db, operation: &'static str) -> Option<StorageError> {
    let reason = db.subscribe().borrow().close_reason?;
    if let Err(error) = db.snapshot() {
        return Some(StorageError::from_slatedb(operation, &error));
    }
    Some(match reason {
        CloseReason::Fenced => StorageError::Fenced { operation },
        CloseReason::Clean => StorageError::Closed { operation },
        CloseReason::Panic | _ => StorageError::unavailable(operation, "a background task died"),
    })
}

fn why_closed(db: &Db, operation: &'static str) -> StorageError {
    end_of(db, operation).unwrap_or(StorageError::Closed { operation })
}
