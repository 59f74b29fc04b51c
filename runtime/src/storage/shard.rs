//! One open shard: its SlateDB database.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use slatedb::Db;
use slatedb::config::{CloseOptions, FlushOptions, FlushType};

use crate::storage::backend::Storage;
use crate::storage::batch::{Changes, slatedb_batch};
use crate::storage::catalog::ShardEntry;
use crate::storage::clock::{ShardClock, WallClock};
use crate::storage::durable::{DurableWatch, end_of};
use crate::storage::error::{StorageError, WriteError, within};
use crate::storage::marks;
use crate::storage::open::open_database;
use crate::storage::ownership::Ownership;
use crate::storage::read::{RangeLimit, Rows, collect, detach_value, scan_options};

/// An open shard. Opening it took it over from whoever had it open before (who is *fenced*).
///
/// Rows are read as written, durable or not. A read or a proof that fails with
/// [`StorageError::Unavailable`] may be tried again. After any other failure but
/// [`StorageError::Invalid`] or [`WriteError::Refused`] drop what is in memory, [`Self::close`],
/// and go by the error. Close it also after it has failed: background tasks stop only then.
pub struct ShardStore {
    db: Db,
    clock: Arc<ShardClock>,
    storage: Storage,
    path: String,
    epoch: u64,
}

impl ShardStore {
    /// Opens the shard's database, creating it if the catalog names one that does not exist yet
    /// (a crash may come between the two), and fences every earlier owner. To open a shard again
    /// that this process had open, use [`Self::open_again`].
    ///
    /// `clock` may be behind the clock of the machine that wrote last; the difference is logged
    /// and reported by [`Self::clock_skew_ms`].
    ///
    /// # Errors
    /// [`StorageError::Fenced`] if another process opened it meanwhile;
    /// [`StorageError::Unavailable`] also when the time limit has passed;
    /// [`StorageError::Invalid`] if it existed and has been deleted.
    pub async fn open(
        storage: &Storage,
        shard: &ShardEntry,
        clock: Arc<dyn WallClock>,
    ) -> Result<Self, StorageError> {
        Self::open_again(storage, shard, clock, &mut Ownership::default()).await
    }

    /// As [`Self::open`] the first time. Afterwards, with the same `ownership`, it opens the shard
    /// only if no other process has done so since.
    ///
    /// # Errors
    /// [`StorageError::Fenced`] if another process has opened it since;
    /// [`StorageError::Invalid`] if its data has been deleted or replaced since;
    /// else as [`Self::open`].
    pub async fn open_again(
        storage: &Storage,
        shard: &ShardEntry,
        clock: Arc<dyn WallClock>,
        ownership: &mut Ownership,
    ) -> Result<Self, StorageError> {
        let path = shard.path.clone();
        let limit = storage.time_limits().open();
        let opening = open_database(storage, &path, clock, ownership);
        let opened = within(limit, OPEN, opening).await?;
        let skew_ms = opened.clock.skew_ms();
        if skew_ms > 0 {
            tracing::warn!(
                shard = %shard.shard_id,
                skew_ms,
                "the clock of this machine is behind what the shard has stored; \
                 the shard's own clock runs ahead by that much until it is opened again"
            );
        }
        Ok(Self {
            epoch: opened.db.manifest().writer_epoch(),
            db: opened.db,
            clock: opened.clock,
            storage: storage.clone(),
            path,
        })
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        within(self.storage.time_limits().read(), GET, async {
            let value = self.db.get(key).await;
            value
                .map(|value| value.map(detach_value))
                .map_err(|error| self.explain(GET, &error))
        })
        .await
    }

    /// The rows from `start` inclusive to `end` exclusive, in order, up to a limit. They are the
    /// rows of one moment: writes accepted meanwhile are not seen.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn range(
        &self,
        start: &[u8],
        end: &[u8],
        limit: RangeLimit,
    ) -> Result<Rows, StorageError> {
        // SlateDB panics on an empty range.
        if start >= end {
            return Ok(Rows {
                rows: Vec::new(),
                complete: true,
            });
        }
        within(self.storage.time_limits().read(), RANGE, async {
            let options = scan_options(limit);
            let rows = self.db.scan_with_options(start..end, &options).await;
            match rows {
                Ok(rows) => collect(rows, limit).await,
                Err(error) => Err(error),
            }
            .map_err(|error| self.explain(RANGE, &error))
        })
        .await
    }

    /// Writes a batch atomically and returns its sequence number: visible to reads at once, durable
    /// when [`Self::durable`] has reached the number, which takes a [`Self::flush`].
    ///
    /// Waits only while too much is unflushed, and then until something has been flushed: keep
    /// flushing meanwhile. Call it for one batch at a time, as two that wait may swap. Do not drop
    /// the future: the batch may or may not be written then.
    ///
    /// # Errors
    /// [`WriteError::Refused`] if the batch is empty, a key or value is too large, or the shard had
    /// ended before; [`WriteError::Unknown`] for all else.
    pub async fn write(&self, changes: Changes) -> Result<u64, WriteError> {
        let batch = slatedb_batch(WRITE, changes).map_err(WriteError::Refused)?;
        if let Some(end) = end_of(&self.db, WRITE) {
            return Err(WriteError::Refused(end));
        }
        within(self.storage.time_limits().write(), WRITE, async {
            let written = self.db.write(batch).await;
            written
                .map(|handle| handle.seqnum())
                .map_err(|error| self.explain(WRITE, &error))
        })
        .await
        .map_err(WriteError::Unknown)
    }

    /// Makes durable all that was accepted before the call. With nothing to do it costs no request.
    /// One at a time: a second one meanwhile would cut the log into more objects.
    ///
    /// # Errors
    /// [`StorageError`]; what was not durable before then has an unknown outcome.
    pub async fn flush(&self) -> Result<(), StorageError> {
        self.flush_as(FLUSH, FlushType::Wal).await
    }

    /// Makes durable all that was accepted before the call and moves it from the write-ahead log
    /// into tables, so that the next opening has nothing to replay. Costs one object per table
    /// touched, and a new manifest.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub async fn flush_tables(&self) -> Result<(), StorageError> {
        self.flush_as(FLUSH_TABLES, FlushType::MemTable).await
    }

    /// A subscription to the durable sequence number and the end of this shard.
    #[must_use]
    pub fn durable(&self) -> DurableWatch {
        DurableWatch::new(&self.db)
    }

    /// Waits until this shard has ended, and tells why. See [`DurableWatch::closed`].
    pub async fn closed(&self) -> StorageError {
        self.durable().closed().await
    }

    /// Proves that this process still owned the shard when the call was made, by reading the
    /// newest manifest: one list request and one or two reads. Count the proof from before the
    /// call, not from its return.
    ///
    /// # Errors
    /// [`StorageError::Fenced`] if another process has taken over; [`StorageError::Invalid`] if the
    /// shard's data is gone.
    pub async fn prove_ownership(&self) -> Result<(), StorageError> {
        if let Some(end) = end_of(&self.db, PROVE) {
            return Err(end);
        }
        let admin = self.storage.admin(&self.path);
        let manifest = within(self.storage.time_limits().request(), PROVE, async {
            let manifest = admin.read_manifest(None).await;
            manifest.map_err(|error| StorageError::from_slatedb(PROVE, &error))
        })
        .await?;
        match manifest.map(|manifest| manifest.writer_epoch()) {
            Some(epoch) if epoch == self.epoch => Ok(()),
            Some(epoch) if epoch > self.epoch => Err(StorageError::Fenced { operation: PROVE }),
            Some(_) | None => Err(StorageError::invalid(
                PROVE,
                format!("the data at {} has been deleted or replaced", self.path),
            )),
        }
    }

    /// Remembers beside the data that this database exists, and the format of its rows: from now
    /// on, opening the shard never creates it anew. Call it before anybody is told that something
    /// was stored, and before rows of a newer format are written.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`].
    pub async fn mark_created(&self, format: u32) -> Result<(), StorageError> {
        marks::mark_created(&self.storage, &self.path, format).await
    }

    /// Ends this shard: flushes everything into tables, if it has not failed before, and stops its
    /// background tasks. Whoever watches it sees [`StorageError::Closed`]. Closing again is
    /// harmless.
    ///
    /// # Errors
    /// [`StorageError`] if the last flush failed or took too long; what was not durable before then
    /// has an unknown outcome. The shard has ended all the same.
    pub async fn close(&self) -> Result<(), StorageError> {
        within(self.storage.time_limits().close(), CLOSE, async {
            let options = CloseOptions::default().with_flush_type(Some(FlushType::MemTable));
            match self.db.close_with_options(options).await {
                Ok(()) => Ok(()),
                Err(error) => match StorageError::from_slatedb(CLOSE, &error) {
                    StorageError::Closed { .. } => Ok(()),
                    failure @ (StorageError::Fenced { .. }
                    | StorageError::Unavailable { .. }
                    | StorageError::Invalid { .. }
                    | StorageError::NewerFormat { .. }) => Err(failure),
                },
            }
        })
        .await
    }

    /// The writer epoch with which this process owns the shard; every opening takes a larger one.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How far the shard's own clock runs ahead of the injected one, in milliseconds: how much
    /// this machine's clock was behind the last writer's when the shard was opened.
    #[must_use]
    pub fn clock_skew_ms(&self) -> i64 {
        self.clock.skew_ms()
    }

    pub(crate) fn storage(&self) -> &Storage {
        &self.storage
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn clock(&self) -> &Arc<ShardClock> {
        &self.clock
    }

    async fn flush_as(
        &self,
        operation: &'static str,
        flush_type: FlushType,
    ) -> Result<(), StorageError> {
        within(self.storage.time_limits().flush(), operation, async {
            let flushed = self
                .db
                .flush_with_options(FlushOptions { flush_type })
                .await;
            flushed.map_err(|error| self.explain(operation, &error))
        })
        .await
    }

    /// When the database has ended, every call in flight fails with whatever it met (often a
    /// dropped channel); what ended the database is what the caller has to go by.
    fn explain(&self, operation: &'static str, error: &slatedb::Error) -> StorageError {
        end_of(&self.db, operation).unwrap_or_else(|| StorageError::from_slatedb(operation, error))
    }
}

impl fmt::Debug for ShardStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardStore")
            .field("path", &self.path)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

const OPEN: &str = "open shard";
const GET: &str = "read key";
const RANGE: &str = "read range";
const WRITE: &str = "write batch";
const FLUSH: &str = "flush log";
const FLUSH_TABLES: &str = "flush tables";
const PROVE: &str = "prove ownership";
const CLOSE: &str = "close shard";
