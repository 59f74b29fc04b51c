//! A shard as its callers see it: opened, opened again after trouble with storage, closed.

use std::any::Any;
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use silo_core::shard::command::Command;
use silo_core::shard::reply::Reply;
use silo_core::table::job::JobKey;
use silo_core::table::tenant::Tallies;
use silo_core::types::name::TaskGroup;
use silo_core::types::time::Now;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, error, info, info_span, warn};

use crate::clock::Clock;
use crate::executor::driver::{Ending, Request, Surroundings, drive};
use crate::executor::format;
use crate::executor::limits::StageLimits;
use crate::executor::replies::{Answer, Failure};
use crate::executor::waiters::Waiters;
use crate::metrics::Metrics;
use crate::metrics::now::ShardNow;
use crate::storage::backend::Storage;
use crate::storage::catalog::ShardEntry;
use crate::storage::clock::WallClock;
use crate::storage::compaction::{CompactionReport, StorageInfo};
use crate::storage::error::StorageError;
use crate::storage::ownership::Ownership;
use crate::storage::shard::ShardStore;

/// Requests in a shard's inbox, before its stage takes them.
const INBOX_MAX: usize = 4096;
/// Wait before a shard is opened again after trouble: doubling from the first to the last.
const REOPEN_WAIT_MIN: Duration = Duration::from_millis(100);
const REOPEN_WAIT_MAX: Duration = Duration::from_secs(10);
/// A shard that was open for so long is opened again after the first wait.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);
/// A shard that was open for so long has got over the panics it had before.
const SOUND_AFTER: Duration = Duration::from_secs(60);
/// Panics in a row after which a shard is not opened again.
const PANICS_MAX: u32 = 5;

const RUN: &str = "run shard";

/// What a shard runs on.
#[derive(Clone, Debug)]
pub struct ShardContext {
    /// Where its rows are.
    pub storage: Storage,
    /// The time that its commands are stamped with.
    pub clock: Arc<dyn Clock>,
    /// The time that storage stamps its files with.
    pub wall: Arc<dyn WallClock>,
    /// The bounds of its stage.
    pub limits: StageLimits,
    /// Whom it tells of work.
    pub waiters: Waiters,
    /// What it counts.
    pub metrics: Metrics,
}

/// Whether a shard can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardState {
    /// It is being opened, or opened again.
    Opening,
    /// It answers.
    Open,
    /// It was closed.
    Closed,
    /// Another process has taken it over.
    Fenced(StorageError),
    /// It cannot be opened, and trying again would not help.
    Broken(StorageError),
}

/// The task groups with ready work in a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadyGroups {
    /// Not found out yet: ask the shard.
    Unknown,
    /// These, as of a moment ago.
    Known(BTreeSet<TaskGroup>),
}

/// A shard's address for callers. Dropping it closes the shard without waiting.
#[derive(Debug)]
pub struct Shard {
    entry: ShardEntry,
    inbox: mpsc::Sender<Request>,
    state: watch::Receiver<ShardState>,
    groups: watch::Receiver<ReadyGroups>,
    now: Arc<ShardNow>,
    closing: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Shard {
    /// Begins to open a shard.
    pub fn start(entry: ShardEntry, context: ShardContext) -> Self {
        let (inbox, requests) = mpsc::channel(INBOX_MAX);
        let (state_sender, state) = watch::channel(ShardState::Opening);
        let (groups_sender, groups) = watch::channel(ReadyGroups::Unknown);
        let now = Arc::new(ShardNow::default());
        let closing = CancellationToken::new();
        let span = info_span!("shard", id = %entry.shard_id);
        let keeper = Keeper {
            entry: entry.clone(),
            context,
            requests: Requests {
                inbox: requests,
                closing: closing.clone(),
            },
            state: state_sender,
            groups: groups_sender,
            now: Arc::clone(&now),
            ownership: Ownership::default(),
        };
        let task = tokio::spawn(keeper.keep().instrument(span));
        Self {
            entry,
            inbox,
            state,
            groups,
            now,
            closing,
            task: Mutex::new(Some(task)),
        }
    }

    /// What the catalog says of it.
    pub const fn entry(&self) -> &ShardEntry {
        &self.entry
    }

    /// Whether it can be asked, now and as it changes.
    pub fn state(&self) -> watch::Receiver<ShardState> {
        self.state.clone()
    }

    /// How it stands, as of its last round. After trouble with storage: as it stood before.
    pub fn now(&self) -> &ShardNow {
        &self.now
    }

    /// Whether it may have ready work of a task group.
    pub fn may_have(&self, group: &TaskGroup) -> bool {
        match &*self.groups.borrow() {
            ReadyGroups::Unknown => true,
            ReadyGroups::Known(groups) => groups.contains(group),
        }
    }

    /// Decides a command and waits until its reply may be known. The command runs to completion
    /// whether or not this future does.
    ///
    /// # Errors
    /// [`Failure`] when nothing was decided, or when nobody knows.
    pub async fn call(&self, command: Command) -> Result<Reply, Failure> {
        let is_repeatable = command.is_repeatable();
        let (sender, answer) = oneshot::channel();
        let request = Request::Command(command, sender);
        match self.inbox.try_send(request) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return Err(Failure::Overloaded),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(Failure::Closing),
        }
        match answer.await {
            Ok(Answer::Reply(reply)) => Ok(reply),
            Ok(Answer::Failed(failure)) => Err(failure),
            // The shard's task is gone, with the command.
            Err(_) if is_repeatable => Err(Failure::Unavailable),
            Err(_) => Err(Failure::OutcomeUnknown),
        }
    }

    /// Begins to look out for a job's end: what is returned completes when the job has ended, was
    /// set aside or is gone, and that is durable; with an error when the shard is no longer open.
    /// Ask about the job after this, and no end goes by unseen.
    ///
    /// # Errors
    /// [`Failure`] when too much is waiting already, or the shard is closed.
    pub fn watch(&self, job: JobKey) -> Result<oneshot::Receiver<()>, Failure> {
        let (sender, over) = oneshot::channel();
        match self.inbox.try_send(Request::Watch(job, sender)) {
            Ok(()) => Ok(over),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Failure::Overloaded),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Failure::Closing),
        }
    }

    /// How many of the shard's jobs stand where, as far as it knows.
    ///
    /// # Errors
    /// [`Failure`] when the shard is not open.
    pub async fn totals(&self) -> Result<Tallies, Failure> {
        let (sender, totals) = oneshot::channel();
        let sent = self.inbox.send(Request::Totals(sender)).await;
        sent.map_err(|_| Failure::Closing)?;
        totals.await.map_err(|_| Failure::Opening)
    }

    /// Writes everything out to tables.
    ///
    /// # Errors
    /// [`Failure`] when storage failed, or the shard is not open.
    pub async fn flush_tables(&self) -> Result<(), Failure> {
        let (sender, done) = oneshot::channel();
        let sent = self.inbox.send(Request::FlushTables(sender)).await;
        sent.map_err(|_| Failure::Closing)?;
        match done.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Failure::Unavailable),
        }
    }

    /// What files the shard has, as of a moment ago.
    ///
    /// # Errors
    /// [`Failure`] when storage failed, or the shard is not open.
    pub async fn storage_info(&self) -> Result<StorageInfo, Failure> {
        let store = self.storage().await?;
        let info = store.storage_info().await;
        info.map_err(|_| Failure::Unavailable)
    }

    /// Begins to merge the shard's files, those included that its memory is written to first.
    ///
    /// # Errors
    /// [`Failure`] when storage failed, or the shard is not open.
    pub async fn compact(&self) -> Result<CompactionReport, Failure> {
        self.flush_tables().await?;
        let store = self.storage().await?;
        let report = store.compact().await;
        report.map_err(|_| Failure::Unavailable)
    }

    async fn storage(&self) -> Result<Arc<ShardStore>, Failure> {
        let (sender, storage) = oneshot::channel();
        let sent = self.inbox.send(Request::Storage(sender)).await;
        sent.map_err(|_| Failure::Closing)?;
        storage.await.map_err(|_| Failure::Opening)
    }

    /// Finishes what the shard has begun on, makes it durable, and closes storage. What is still
    /// in the inbox is refused with [`Failure::Closing`].
    pub async fn close(&self) {
        self.closing.cancel();
        let mut task = self.task.lock().await;
        if let Some(task) = task.take()
            && let Err(failure) = task.await
        {
            error!(%failure, "a shard's task ended badly");
        }
    }
}

/// Keeps a shard open.
struct Keeper {
    entry: ShardEntry,
    context: ShardContext,
    requests: Requests,
    state: watch::Sender<ShardState>,
    groups: watch::Sender<ReadyGroups>,
    now: Arc<ShardNow>,
    ownership: Ownership,
}

/// How a shard that was opened, or was to be opened, came to an end.
enum End {
    /// It was told to close.
    Closed,
    /// It is another process's now.
    Fenced(StorageError),
    /// Opening it again would not help.
    Broken(StorageError),
    /// Opening it again may help.
    Trouble(StorageError),
    /// There is a bug. The rows are whole, and what was in memory is gone: opening it again may
    /// help.
    Panicked(String),
}

impl End {
    /// Its name in metrics.
    const fn name(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Fenced(_) => "fenced",
            Self::Broken(_) => "broken",
            Self::Trouble(_) => "storage",
            Self::Panicked(_) => "panic",
        }
    }
}

impl From<StorageError> for End {
    fn from(cause: StorageError) -> Self {
        match cause {
            StorageError::Fenced { .. } => Self::Fenced(cause),
            StorageError::Invalid { .. } | StorageError::NewerFormat { .. } => Self::Broken(cause),
            StorageError::Unavailable { .. } | StorageError::Closed { .. } => Self::Trouble(cause),
        }
    }
}

impl Keeper {
    async fn keep(mut self) {
        let mut patience = Patience::new();
        let end = loop {
            self.state.send_replace(ShardState::Opening);
            self.groups.send_replace(ReadyGroups::Unknown);
            let (end, lasted) = self.open_and_run().await;
            patience.lasted(lasted);
            self.context.metrics.keeper().ended(end.name());
            match end {
                End::Closed => break ShardState::Closed,
                End::Fenced(cause) => break ShardState::Fenced(cause),
                End::Broken(cause) => break ShardState::Broken(cause),
                End::Trouble(cause) => warn!(%cause, "storage trouble: opening the shard again"),
                End::Panicked(message) => {
                    error!(message, "a bug made the shard panic: opening it again");
                    if patience.has_panicked_too_often() {
                        break ShardState::Broken(StorageError::Invalid {
                            operation: RUN,
                            detail: format!("it panics again and again, at last with: {message}"),
                        });
                    }
                }
            }
            let wait = patience.next_wait();
            info!(
                wait_ms = wait.as_millis(),
                "waiting before the shard is opened"
            );
            if self.requests.refuse_until(sleep(wait)).await.is_none() {
                break ShardState::Closed;
            }
        };
        self.state.send_replace(end);
        self.requests.inbox.close();
        while let Some(request) = self.requests.inbox.recv().await {
            refuse(request, Failure::Closing);
        }
    }

    /// Opens the shard and runs it to its end. Also tells how long it answered.
    async fn open_and_run(&mut self) -> (End, Duration) {
        let Self {
            entry,
            context,
            requests,
            ownership,
            ..
        } = self;
        let began_at = Instant::now();
        // That it is ours is proven by the claim, which comes some time after this.
        let began = AssertUnwindSafe(async {
            let since = context.clock.now();
            open(entry, context, ownership)
                .await
                .map(|store| (store, since))
        });
        let end = match requests.refuse_until(began.catch_unwind()).await {
            None => End::Closed,
            Some(Err(panic)) => End::Panicked(message(panic.as_ref())),
            Some(Ok(Err(cause))) => End::from(cause),
            Some(Ok(Ok((store, since)))) => {
                context.metrics.keeper().opened(began_at.elapsed());
                return self.run(Arc::new(store), since).await;
            }
        };
        (end, Duration::ZERO)
    }

    async fn run(&mut self, store: Arc<ShardStore>, opened_since: Now) -> (End, Duration) {
        info!(epoch = store.epoch(), "shard open");
        self.state.send_replace(ShardState::Open);
        let open_at = Instant::now();
        let around = Surroundings {
            store: Arc::clone(&store),
            clock: Arc::clone(&self.context.clock),
            groups: self.groups.clone(),
            waiters: self.context.waiters.clone(),
            metrics: self.context.metrics.clone(),
            now: Arc::clone(&self.now),
            shard_id: self.entry.shard_id,
            closing: self.requests.closing.clone(),
            opened_since,
        };
        let driven = drive(around, self.context.limits, &mut self.requests.inbox);
        // What it leaves behind after a panic is dropped, and nothing of it is looked at again.
        let end = match AssertUnwindSafe(driven).catch_unwind().await {
            Ok(Ending::Closed) => End::Closed,
            Ok(Ending::Fenced(cause)) => End::Fenced(cause),
            Ok(Ending::Failed(cause)) => End::from(cause),
            Err(panic) => End::Panicked(message(panic.as_ref())),
        };
        let lasted = open_at.elapsed();
        // Whoever asks meanwhile is told at once: closing storage that fails can take long.
        let refusal = match &end {
            End::Trouble(_) | End::Panicked(_) => {
                self.state.send_replace(ShardState::Opening);
                Failure::Opening
            }
            End::Closed | End::Fenced(_) | End::Broken(_) => Failure::Closing,
        };
        let Self {
            entry,
            context,
            requests,
            ..
        } = self;
        let close = async {
            if let Err(cause) = store.close().await {
                warn!(%cause, "the shard's storage did not close cleanly");
            }
            match end {
                End::Fenced(cause) if is_still_owner(entry, context, store.epoch()).await => {
                    End::Trouble(cause)
                }
                end @ (End::Closed
                | End::Fenced(_)
                | End::Broken(_)
                | End::Trouble(_)
                | End::Panicked(_)) => end,
            }
        };
        (requests.refuse_during(close, refusal).await, lasted)
    }
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without words".to_owned())
}

/// How long to wait before a shard is opened again, and when to give up.
struct Patience {
    wait: Duration,
    panics: u32,
}

impl Patience {
    const fn new() -> Self {
        Self {
            wait: REOPEN_WAIT_MIN,
            panics: 0,
        }
    }

    /// The shard was open for so long. One that opens and fails at its first write is not well.
    fn lasted(&mut self, open_for: Duration) {
        if open_for >= HEALTHY_AFTER {
            self.wait = REOPEN_WAIT_MIN;
        }
        if open_for >= SOUND_AFTER {
            self.panics = 0;
        }
    }

    fn next_wait(&mut self) -> Duration {
        let wait = self.wait;
        self.wait = wait.saturating_mul(2).min(REOPEN_WAIT_MAX);
        wait
    }

    fn has_panicked_too_often(&mut self) -> bool {
        self.panics = self.panics.saturating_add(1);
        self.panics >= PANICS_MAX
    }
}

/// Whether the newest manifest still names us, though storage says that we are fenced. On local
/// files a put that succeeded and was reported as failed looks like a fence when it is tried again.
/// Whoever takes a shard over writes the manifest before anything else.
async fn is_still_owner(entry: &ShardEntry, context: &ShardContext, epoch: u64) -> bool {
    let admin = context.storage.admin(&entry.path);
    let limit = context.storage.time_limits().request();
    let manifest = timeout(limit, admin.read_manifest(None)).await;
    matches!(manifest, Ok(Ok(Some(manifest))) if manifest.writer_epoch() == epoch)
}

/// What callers send, and the word to stop.
struct Requests {
    inbox: mpsc::Receiver<Request>,
    closing: CancellationToken,
}

impl Requests {
    /// Refuses requests while `future` runs. None when the shard is told to close meanwhile.
    async fn refuse_until<F: Future>(&mut self, future: F) -> Option<F::Output> {
        let mut future = std::pin::pin!(future);
        loop {
            tokio::select! {
                biased;
                () = self.closing.cancelled() => return None,
                output = &mut future => return Some(output),
                request = self.inbox.recv() => match request {
                    Some(request) => refuse(request, Failure::Opening),
                    None => return None,
                },
            }
        }
    }

    /// Refuses requests until `future` has ended.
    async fn refuse_during<F: Future>(&mut self, future: F, failure: Failure) -> F::Output {
        let mut future = std::pin::pin!(future);
        loop {
            tokio::select! {
                biased;
                output = &mut future => return output,
                Some(request) = self.inbox.recv() => refuse(request, failure),
            }
        }
    }
}

fn refuse(request: Request, failure: Failure) {
    match request {
        Request::Command(_, caller) => {
            // A caller that has gone does not mind.
            let _ = caller.send(Answer::Failed(failure));
        }
        // Dropping the caller is the answer.
        Request::Watch(..) | Request::Totals(_) | Request::Storage(_) => {}
        Request::FlushTables(caller) => {
            let closed = StorageError::Closed { operation: "flush" };
            let _ = caller.send(Err(closed));
        }
    }
}

/// Opens storage, if its rows are of a format that this release knows, and brings them to the
/// newest.
async fn open(
    entry: &ShardEntry,
    context: &ShardContext,
    ownership: &mut Ownership,
) -> Result<ShardStore, StorageError> {
    // Before the claim: it would stop an owner that knows more than we do.
    format::refuse_newer(&context.storage, entry).await?;
    let wall = Arc::clone(&context.wall);
    let store = ShardStore::open_again(&context.storage, entry, wall, ownership).await?;
    match format::settle(&store, context.clock.now().wall).await {
        Ok(()) => Ok(store),
        Err(cause) => {
            if let Err(close) = store.close().await {
                warn!(%close, "the shard's storage did not close cleanly");
            }
            Err(cause)
        }
    }
}
