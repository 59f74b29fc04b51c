//! Carries out what a stage asks for, on real storage: one task per shard.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use silo_core::shard::command::{Command, Stamp};
use silo_core::shard::commands::quarantine::SetAside;
use silo_core::shard::decision::Notice;
use silo_core::shard::reply::Reply;
use silo_core::shard::view::NeedItem;
use silo_core::table::job::JobKey;
use silo_core::table::key::Key;
use silo_core::table::tenant::Tallies;
use silo_core::types::entropy::Entropy;
use silo_core::types::name::TaskGroup;
use silo_core::types::retention::Retention;
use silo_core::types::task::TaskId;
use silo_core::types::time::{Millis, Now, Uptime};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use uuid::Uuid;

use crate::clock::Clock;
use crate::executor::endings::Endings;
use crate::executor::joining::Joining;
use crate::executor::limits::StageLimits;
use crate::executor::loads::LoadId;
use crate::executor::output::{Loaded, Output};
use crate::executor::reads::{Undelivered, complete, load_twice};
use crate::executor::replies::{Answer, Failure};
use crate::executor::shard::ReadyGroups;
use crate::executor::stage::Stage;
use crate::executor::waiters::Waiters;
use crate::executor::working_set::Round;
use crate::metrics::Metrics;
use crate::metrics::now::ShardNow;
use crate::storage::durable::DurableWatch;
use crate::storage::error::{StorageError, WriteError};
use crate::storage::shard::ShardStore;

/// Requests taken from the inbox at a time.
const INBOX_BATCH_MAX: usize = 1024;
/// Flushes of the write-ahead log after which the tables are flushed too, so that opening the shard
/// does not have to read a long log.
const WAL_FLUSHES_MAX: u32 = 512;
/// A longer wait is slept in parts: the clock that deadlines are told by may run faster than time,
/// by [`crate::clock::FORWARD_PER_MILLE`].
const SLEEP_WHOLE_MAX: u64 = 1_000;
/// Reads under way at once; the rest wait their turn.
const LOADS_MAX: usize = 256;
/// A shard into which nothing was written for so long flushes its tables.
const IDLE_FLUSH: Duration = Duration::from_secs(5);

/// Something to do for a caller.
pub(crate) enum Request {
    /// Decide a command.
    Command(Command, oneshot::Sender<Answer>),
    /// Tell when this job has ended or is gone, durably; unless the driver stops before.
    Watch(JobKey, oneshot::Sender<()>),
    /// Say how many jobs stand where, as far as is known.
    Totals(oneshot::Sender<Tallies>),
    /// Write tables out.
    FlushTables(oneshot::Sender<Result<(), StorageError>>),
    /// Lend the storage, for what needs no decision.
    Storage(oneshot::Sender<Arc<ShardStore>>),
}

/// Why a driver stopped.
pub(crate) enum Ending {
    /// It was asked to: everything that was asked before is durable.
    Closed,
    /// Storage failed: open the shard again.
    Failed(StorageError),
    /// Storage says that another process owns the shard now.
    Fenced(StorageError),
}

/// What a driver needs besides the stage.
pub(crate) struct Surroundings {
    pub(crate) store: Arc<ShardStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) groups: watch::Sender<ReadyGroups>,
    pub(crate) waiters: Waiters,
    pub(crate) metrics: Metrics,
    pub(crate) now: Arc<ShardNow>,
    pub(crate) shard_id: Uuid,
    pub(crate) closing: CancellationToken,
    /// A time at which opening the shard had not begun to prove that it is ours.
    pub(crate) opened_since: Now,
}

/// Runs a shard until it is told to close or its storage fails.
pub(crate) async fn drive(
    around: Surroundings,
    limits: StageLimits,
    inbox: &mut mpsc::Receiver<Request>,
) -> Ending {
    let stage = Stage::new(limits, around.opened_since);
    let durable = around.store.durable();
    let driver = Driver {
        retention: limits.retention,
        durable_seen: durable.current(),
        durable,
        stage,
        jobs: FuturesUnordered::new(),
        loads: VecDeque::new(),
        loading: 0,
        last_write: Instant::now(),
        wal_flushes: 0,
        is_flushing_tables: false,
        groups_told: None,
        news: BTreeSet::new(),
        joining: Joining::default(),
        endings: Endings::default(),
        around,
    };
    driver.run(inbox).await
}

type Caller = oneshot::Sender<Answer>;

struct Driver {
    retention: Retention,
    around: Surroundings,
    stage: Stage<Caller>,
    jobs: FuturesUnordered<BoxFuture<'static, Done>>,
    loads: VecDeque<(LoadId, NeedItem)>,
    loading: usize,
    last_write: Instant,
    durable: DurableWatch,
    durable_seen: u64,
    wal_flushes: u32,
    is_flushing_tables: bool,
    groups_told: Option<(u64, bool)>,
    /// Groups that have work since waiters were told last.
    news: BTreeSet<TaskGroup>,
    joining: Joining,
    /// Who waits for the end of a job.
    endings: Endings,
}

/// I/O that has ended.
enum Done {
    Loaded(LoadId, Result<Loaded, StorageError>),
    Accepted(Round, Result<u64, WriteError>),
    Flushed(Duration, Result<(), StorageError>),
    Proven(Uptime, Result<(), StorageError>),
    Completed(Caller, Answer, Undelivered),
    TablesFlushed(
        Option<oneshot::Sender<Result<(), StorageError>>>,
        Result<(), StorageError>,
    ),
}

impl Driver {
    async fn run(mut self, inbox: &mut mpsc::Receiver<Request>) -> Ending {
        let mut requests = Vec::new();
        loop {
            let stamp = self.stamp();
            let began = Instant::now();
            self.run_stage(stamp);
            self.carry_out();
            self.publish_groups();
            self.wake();
            self.begin_flush();
            let is_closing = self.around.closing.is_cancelled();
            if is_closing {
                self.stage.close();
            }
            if is_closing && self.stage.is_idle() && self.jobs.is_empty() {
                return Ending::Closed;
            }
            let wait = self
                .stage
                .next_deadline(stamp.now)
                .map(Millis::get)
                .map(|ms| {
                    if ms > SLEEP_WHOLE_MAX {
                        ms.saturating_sub(ms / 3)
                    } else {
                        ms
                    }
                });
            let idle = IDLE_FLUSH.saturating_sub(self.last_write.elapsed());
            let wants_flush = self.wal_flushes > 0 && !self.is_flushing_tables;
            let flush_waits = self.joining.until();
            let seen = self.durable_seen;
            let failure = tokio::select! {
                biased;
                progress = self.durable.beyond(seen) => match progress {
                    Ok(seq) => {
                        self.durable_seen = seq;
                        self.stage.durable(seq);
                        None
                    }
                    Err(cause) => Some(cause),
                },
                Some(done) = self.jobs.next() => self.take_all(done),
                count = inbox.recv_many(&mut requests, INBOX_BATCH_MAX), if !is_closing => {
                    if count == 0 {
                        self.around.closing.cancel();
                    }
                    None
                }
                () = self.around.closing.cancelled(), if !is_closing => None,
                () = sleep(Duration::from_millis(wait.unwrap_or(0))), if wait.is_some() => None,
                () = sleep_until(flush_waits.unwrap_or(began)), if flush_waits.is_some() => None,
                () = sleep(idle), if wants_flush => {
                    self.flush_tables(None);
                    None
                }
            };
            if let Some(cause) = failure {
                return self.fail(cause);
            }
            // A shard that ticks and writes without a pause must still hear what is asked.
            while !is_closing && requests.len() < INBOX_BATCH_MAX {
                let Ok(request) = inbox.try_recv() else { break };
                requests.push(request);
            }
            for request in requests.drain(..) {
                self.take_request(request);
            }
        }
    }

    fn run_stage(&mut self, stamp: Stamp) {
        let began = Instant::now();
        self.stage.run_for(stamp, Caller::is_closed);
        let counts = self.stage.take_counts();
        self.around.metrics.rounds().ran(began.elapsed(), &counts);
        let soft = self.stage.soft();
        // While it counts, what was counted before says more.
        if soft.is_recovered() {
            self.around.now.counted(&soft.totals());
        }
        let queued = self.stage.queued();
        self.around.now.waits(queued, counts.unflushed_bytes);
    }

    fn take_request(&mut self, request: Request) {
        match request {
            Request::Command(command, caller) => {
                if let Command::Lease(lease) = &command {
                    self.joining.asks(&lease.group);
                }
                let stamp = self.stamp();
                if let Err(caller) = self.stage.submit(caller, command, stamp) {
                    // A caller that has gone does not mind.
                    let _ = caller.send(Answer::Failed(Failure::Overloaded));
                }
            }
            Request::Watch(job, caller) => {
                self.stage.watched().add(&job);
                for forgotten in self.endings.add(job, caller) {
                    self.stage.watched().remove(&forgotten);
                }
            }
            Request::Totals(caller) => {
                let _ = caller.send(self.stage.soft().totals());
            }
            Request::FlushTables(caller) => self.flush_tables(Some(caller)),
            Request::Storage(caller) => {
                let _ = caller.send(Arc::clone(&self.around.store));
            }
        }
    }

    /// Takes in everything that has ended by now; a round is better decided over all of it.
    fn take_all(&mut self, first: Done) -> Option<StorageError> {
        let mut next = Some(first);
        while let Some(done) = next {
            if let Some(cause) = self.take_done(done) {
                return Some(cause);
            }
            next = self.jobs.next().now_or_never().flatten();
        }
        None
    }

    fn take_done(&mut self, done: Done) -> Option<StorageError> {
        if matches!(done, Done::Loaded(..)) {
            self.loading = self.loading.saturating_sub(1);
        }
        match done {
            Done::Loaded(id, Ok(loaded)) => self.stage.loaded(id, loaded),
            Done::Loaded(id, Err(cause)) => {
                error!(%cause, "rows could not be read");
                match cause {
                    StorageError::Unavailable { .. } => self.stage.load_failed(id),
                    StorageError::Invalid { .. } => self.stage.load_damaged(id),
                    StorageError::Fenced { .. }
                    | StorageError::Closed { .. }
                    | StorageError::NewerFormat { .. } => return Some(cause),
                }
            }
            Done::Accepted(round, Ok(seq)) => {
                self.last_write = Instant::now();
                self.joining.accepted();
                self.stage.accepted(round, seq);
            }
            Done::Accepted(_, Err(failure)) => return Some(failure.cause().clone()),
            Done::Flushed(took, Ok(())) => {
                self.joining.flushed(took);
                self.wal_flushes = self.wal_flushes.saturating_add(1);
                self.stage.flushed();
                if self.wal_flushes >= WAL_FLUSHES_MAX && !self.is_flushing_tables {
                    self.flush_tables(None);
                }
            }
            Done::Proven(asked_at, Ok(())) => self.stage.proven(asked_at),
            Done::Proven(_, Err(StorageError::Unavailable { operation, detail })) => {
                warn!(operation, detail, "ownership could not be proved");
                self.stage.proof_failed();
            }
            Done::Flushed(_, Err(cause)) | Done::Proven(_, Err(cause)) => return Some(cause),
            Done::Completed(caller, answer, undelivered) => {
                self.hand_back(undelivered.back);
                self.set_aside(undelivered.aside);
                self.deliver(caller, answer);
            }
            Done::TablesFlushed(caller, result) => {
                self.is_flushing_tables = false;
                let cause = result.as_ref().err().cloned();
                if let Some(caller) = caller {
                    let _ = caller.send(result);
                }
                return cause;
            }
        }
        None
    }

    /// Does what the stage asks, until it asks for nothing.
    fn carry_out(&mut self) {
        while let Some(output) = self.stage.poll() {
            match output {
                Output::Load(id, item) => self.loads.push_back((id, item)),
                Output::Write(round, batch) => {
                    let store = Arc::clone(&self.around.store);
                    let rounds = self.around.metrics.rounds();
                    rounds.hands_over(batch.len(), bytes_of(&batch));
                    let metrics = self.around.metrics.clone();
                    let began = Instant::now();
                    let write = async move {
                        let accepted = store.write(batch).await;
                        metrics.rounds().accepted(began.elapsed());
                        Done::Accepted(round, accepted)
                    };
                    self.jobs.push(write.boxed());
                    self.joining.writes();
                }
                Output::Flush => self.joining.wants_flush(Instant::now()),
                Output::Prove => {
                    let store = Arc::clone(&self.around.store);
                    let asked_at = self.around.clock.now().uptime;
                    let prove =
                        async move { Done::Proven(asked_at, store.prove_ownership().await) };
                    self.jobs.push(prove.boxed());
                }
                Output::Release(caller, answer) => self.release(caller, answer),
                Output::Over(job) => self.endings.tell(&job),
                Output::Notice(Notice::Ready(group)) => {
                    self.news.insert(group);
                }
                Output::Notice(notice) => {
                    self.around.metrics.rounds().noticed(&notice);
                    log(&notice);
                }
            }
        }
        self.begin_loads();
    }

    /// Begins the flush that is wanted, unless it waits for somebody.
    fn begin_flush(&mut self) {
        let began = Instant::now();
        if !self.joining.begins(began) {
            return;
        }
        let store = Arc::clone(&self.around.store);
        let metrics = self.around.metrics.clone();
        let flush = async move {
            let flushed = store.flush().await;
            let took = began.elapsed();
            metrics.rounds().flushed(took);
            Done::Flushed(took, flushed)
        };
        self.jobs.push(flush.boxed());
    }

    /// Reads what is to be read, a bounded number at once.
    fn begin_loads(&mut self) {
        while self.loading < LOADS_MAX {
            let Some((id, item)) = self.loads.pop_front() else {
                return;
            };
            self.loading = self.loading.saturating_add(1);
            let store = Arc::clone(&self.around.store);
            let metrics = self.around.metrics.clone();
            let began = Instant::now();
            let load = async move {
                let loaded = load_twice(&store, item).await;
                metrics.rounds().loaded(began.elapsed(), loaded.is_ok());
                Done::Loaded(id, loaded)
            };
            self.jobs.push(load.boxed());
        }
    }

    /// Sends an answer; large data in it is read first.
    fn release(&mut self, caller: Caller, answer: Answer) {
        let Answer::Reply(mut reply) = answer else {
            return self.deliver(caller, answer);
        };
        // Workers would take it for an idle shard.
        if self.stage.is_blind() && matches!(&reply, Reply::Leased(tasks) if tasks.is_empty()) {
            return self.deliver(caller, Answer::Failed(Failure::Unreadable));
        }
        if reply.stored().is_empty() {
            return self.deliver(caller, Answer::Reply(reply));
        }
        let store = Arc::clone(&self.around.store);
        self.jobs.push(
            async move {
                let (answer, undelivered) = complete(&store, reply).await;
                Done::Completed(caller, answer, undelivered)
            }
            .boxed(),
        );
    }

    /// Sends an answer. Tasks whose caller has gone are handed back.
    fn deliver(&mut self, caller: Caller, answer: Answer) {
        if let Err(Answer::Reply(Reply::Leased(tasks))) = caller.send(answer) {
            self.hand_back(tasks.into_iter().map(|task| task.id).collect());
        }
    }

    fn hand_back(&mut self, tasks: Vec<TaskId>) {
        if !tasks.is_empty() {
            debug!(
                count = tasks.len(),
                "tasks did not reach their worker and are handed back"
            );
            let stamp = self.stamp();
            self.stage.hand_back(tasks, stamp);
        }
    }

    fn set_aside(&mut self, jobs: Vec<SetAside>) {
        let stamp = self.stamp();
        self.stage.set_aside(jobs, stamp);
    }

    fn flush_tables(&mut self, caller: Option<oneshot::Sender<Result<(), StorageError>>>) {
        self.is_flushing_tables = true;
        self.wal_flushes = 0;
        self.around.metrics.rounds().flushes_tables();
        let store = Arc::clone(&self.around.store);
        let flush = async move { Done::TablesFlushed(caller, store.flush_tables().await) };
        self.jobs.push(flush.boxed());
    }

    /// Tells the node which task groups have work here, when that has changed.
    fn publish_groups(&mut self) {
        let soft = self.stage.soft();
        let knows_all = soft.is_recovered() && !self.stage.is_blind();
        let news = (soft.groups_version(), knows_all);
        let told = self.groups_told.replace(news);
        if told == Some(news) {
            return;
        }
        // Whoever asked before all was known may have been told that there is nothing.
        if knows_all && told.is_none_or(|(_, knew_all)| !knew_all) {
            self.news.extend(soft.groups().cloned());
        }
        self.around.groups.send_replace(if knows_all {
            ReadyGroups::Known(soft.groups().cloned().collect())
        } else {
            ReadyGroups::Unknown
        });
    }

    /// Wakes whoever waits for work that has come. Not before the node has been told of it: whoever
    /// is woken asks only shards that may have some.
    fn wake(&mut self) {
        for group in std::mem::take(&mut self.news) {
            if self.around.waiters.wake(self.around.shard_id, &group) {
                self.joining.woke(group);
            }
        }
    }

    /// Answers everybody and says why.
    fn fail(self, cause: StorageError) -> Ending {
        let Self { stage, jobs, .. } = self;
        // Dropping the jobs answers whoever waits for large data: their reply ends unsent.
        drop(jobs);
        for (caller, mut answer) in stage.fail() {
            // Large data can no longer be read: dropping the caller answers it.
            if let Answer::Reply(reply) = &mut answer
                && !reply.stored().is_empty()
            {
                continue;
            }
            let _ = caller.send(answer);
        }
        match cause {
            StorageError::Fenced { .. } => Ending::Fenced(cause),
            StorageError::Closed { .. }
            | StorageError::Unavailable { .. }
            | StorageError::Invalid { .. }
            | StorageError::NewerFormat { .. } => Ending::Failed(cause),
        }
    }

    fn stamp(&self) -> Stamp {
        Stamp {
            now: self.around.clock.now(),
            entropy: Entropy(*uuid::Uuid::new_v4().as_bytes()),
            retention: self.retention,
        }
    }
}

/// Bytes of the keys and values of a batch.
fn bytes_of(batch: &[(Key, Option<Bytes>)]) -> usize {
    let bytes = |(key, value): &(Key, Option<Bytes>)| {
        key.len()
            .saturating_add(value.as_ref().map_or(0, Bytes::len))
    };
    batch.iter().map(bytes).fold(0, usize::saturating_add)
}

fn log(notice: &Notice) {
    match notice {
        Notice::Ready(_) | Notice::CancelAsked(_) => {}
        Notice::Crashed(key) => info!(tenant = %key.tenant, job = %key.job, "lease expired: crash"),
        Notice::Lost(key) => {
            info!(tenant = %key.tenant, job = %key.job, "lease expired without a heartbeat");
        }
        Notice::IndexDropped(table) => error!(?table, "an index row without its job was dropped"),
        Notice::Quarantined(key, reason) => {
            error!(tenant = %key.tenant, job = %key.job, reason, "job quarantined");
        }
        Notice::Mended(what) => error!(what, "mended"),
        Notice::Unreadable(table) => error!(?table, "a row does not decode and was passed over"),
    }
}
