//! The workers of the demo: A, which is killed, and B, which does the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use silo_runtime::client::Client;
use silo_runtime::client::task::Outcome;
use silo_runtime::proto::Task;
use silo_runtime::worker::Worker;
use silo_runtime::worker::job::Job;
use silo_runtime::worker::options::WorkerOptions;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::demo::cast::{FAILURE_CODE, GROUP, Key, Part};

/// Tasks that worker A holds when it is killed.
pub(crate) const DOOMED_TASKS: usize = 8;
/// Tasks that worker B holds at once.
pub(crate) const CONCURRENCY: usize = 16;
/// Worker A's leases: short, so that the demo does not wait long for them to expire.
const DOOMED_LEASE_MS: u32 = 1000;
/// Worker B's leases: longer than the server is gone, and short enough to wait for those whose
/// answer was lost with the server.
const LEASE_MS: u32 = 3000;
/// What a job takes.
const WORK: Duration = Duration::from_millis(15);

/// Worker A takes tasks, keeps their leases for a while, and is gone without a word.
pub(crate) async fn take_and_die(client: &Client) -> Vec<Task> {
    let mut options = WorkerOptions::new(GROUP, "worker-a");
    options.concurrency = DOOMED_TASKS;
    options.lease_ms = Some(DOOMED_LEASE_MS);
    let (taken, mut tasks) = mpsc::unbounded_channel();
    let worker = Worker::new(client.clone(), options, move |job: Job| {
        let taken = taken.clone();
        async move {
            // Nobody listens any more when the worker is being killed.
            let _ = taken.send(Task::clone(&job.task));
            std::future::pending().await
        }
    });
    let running = tokio::spawn(worker.run(CancellationToken::new()));
    let mut doomed = Vec::new();
    while doomed.len() < DOOMED_TASKS {
        match tasks.recv().await {
            Some(task) => doomed.push(task),
            None => break,
        }
    }
    // Long enough for a heartbeat of each task: a lease without one counts as lost, not crashed.
    sleep(Duration::from_millis(u64::from(DOOMED_LEASE_MS) / 2)).await;
    running.abort();
    doomed
}

/// Worker B: runs whatever there is.
pub(crate) struct WorkerB {
    pub(crate) seen: Arc<Seen>,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<()>,
}

/// What worker B has seen.
pub(crate) struct Seen {
    /// How often each job was begun.
    runs: Mutex<BTreeMap<Key, u32>>,
    /// Jobs that it has done, or that need not be done again.
    done: watch::Sender<BTreeSet<Key>>,
}

impl WorkerB {
    pub(crate) fn start(client: &Client) -> Self {
        let mut options = WorkerOptions::new(GROUP, "worker-b");
        options.concurrency = CONCURRENCY;
        options.lease_ms = Some(LEASE_MS);
        let seen = Arc::new(Seen {
            runs: Mutex::default(),
            done: watch::channel(BTreeSet::new()).0,
        });
        let shared = Arc::clone(&seen);
        let worker = Worker::new(client.clone(), options, move |job: Job| {
            let seen = Arc::clone(&shared);
            async move { seen.run(&job).await }
        });
        let stop = CancellationToken::new();
        let running = tokio::spawn(worker.run(stop.clone()));
        Self {
            seen,
            stop,
            running,
        }
    }

    /// Drains it: every report is acknowledged.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        // It ends when it is told to; if it panicked, the verdict says what is missing.
        let _ = self.running.await;
    }
}

impl Seen {
    /// Waits until so many jobs are done.
    pub(crate) async fn done(&self, jobs: usize) {
        let mut done = self.done.subscribe();
        // The sender lives as long as this.
        let _ = done.wait_for(|done| done.len() >= jobs).await;
    }

    /// Follows how many jobs are done.
    pub(crate) fn follow(&self) -> watch::Receiver<BTreeSet<Key>> {
        self.done.subscribe()
    }

    /// Waits until this job was begun.
    pub(crate) async fn begun(&self, key: &Key) {
        let mut done = self.done.subscribe();
        // It is told of every beginning too.
        let _ = done.wait_for(|_| self.runs_of(key) > 0).await;
    }

    /// How often a job was begun here.
    pub(crate) fn runs_of(&self, key: &Key) -> u32 {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.get(key).copied().unwrap_or_default()
    }

    async fn run(&self, job: &Job) -> Outcome {
        let tenant = job.task.tenant_id.clone().unwrap_or_default();
        let key = (tenant, job.task.job_id.clone());
        let run = self.begin(&key);
        let failure = || Outcome::failure(FAILURE_CODE, Bytes::new());
        let outcome = match Part::of(&key.1) {
            Part::Flaky if run <= 2 => return failure(),
            Part::Broken if !job.task.is_last_attempt => return failure(),
            Part::Broken => failure(),
            Part::CancelledLate => {
                job.stop_token().cancelled().await;
                Outcome::Cancelled
            }
            Part::Plain | Part::Delayed | Part::Flaky | Part::CancelledEarly | Part::LastWord => {
                sleep(WORK).await;
                Outcome::Success(job.payload())
            }
        };
        self.done.send_modify(|done| {
            done.insert(key);
        });
        outcome
    }

    /// Counts a run, and says which it is.
    fn begin(&self, key: &Key) -> u32 {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let run = runs.entry(key.clone()).or_default();
        *run = run.saturating_add(1);
        let run = *run;
        drop(runs);
        // Wakes whoever waits for a beginning.
        self.done.send_modify(|_| {});
        run
    }
}
