//! What happens in the demo, in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use silo_runtime::client::Client;
use silo_runtime::client::enqueue::Enqueue;
use silo_runtime::client::error::Error;
use silo_runtime::client::task::Outcome;
use silo_runtime::proto::{RetryPolicy, Task};
use silo_runtime::worker::Worker;
use silo_runtime::worker::job::Job;
use silo_runtime::worker::options::WorkerOptions;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Whose jobs the demo has.
pub(crate) const TENANTS: [&str; 4] = ["acme", "birch", "cedar", "dune"];
/// The priorities they come in.
const PRIORITIES: [u32; 3] = [0, 10, 50];
/// The queue that the workers ask.
const GROUP: &str = "demo";
/// Tasks that worker A holds when it is killed.
const DOOMED_TASKS: usize = 8;
/// Worker A's leases: short, so that the demo does not wait long for them to expire.
const DOOMED_LEASE_MS: u32 = 1000;
/// Calls in flight while jobs are enqueued.
const ENQUEUES_MAX: usize = 64;
/// The code that the failing job fails with.
pub(crate) const FAILURE_CODE: &str = "FLAKY";

/// The demo, before it is played.
pub(crate) struct Script {
    client: Client,
    jobs: u32,
    ended: Arc<AtomicU32>,
}

/// What was done, to be compared with what the server says.
pub(crate) struct Record {
    /// Every job, by tenant and id, with its payload.
    pub(crate) jobs: BTreeMap<(String, String), Bytes>,
    /// The job that fails once.
    pub(crate) flaky: (String, String),
    /// What worker A held when it was killed.
    pub(crate) doomed: Vec<Task>,
}

impl Script {
    pub(crate) fn new(client: Client, jobs: u32) -> Self {
        Self {
            client,
            jobs,
            ended: Arc::default(),
        }
    }

    /// Jobs that have not ended yet.
    pub(crate) fn left(&self) -> u32 {
        self.jobs.saturating_sub(self.ended.load(Ordering::Relaxed))
    }

    /// Enqueues, kills a worker, works until every job has ended.
    pub(crate) async fn play(&self) -> Result<Record, Error> {
        let jobs = self.enqueue_all().await?;
        let flaky_key = (TENANTS[0].to_owned(), flaky_id());
        let doomed = self.kill_a_worker().await;
        self.work(u32::try_from(jobs.len()).unwrap_or(u32::MAX))
            .await;
        Ok(Record {
            jobs,
            flaky: flaky_key,
            doomed,
        })
    }

    async fn enqueue_all(&self) -> Result<BTreeMap<(String, String), Bytes>, Error> {
        let mut calls = JoinSet::new();
        let mut jobs = BTreeMap::new();
        for number in 0..self.jobs {
            while calls.len() >= ENQUEUES_MAX {
                collect(&mut calls, &mut jobs).await?;
            }
            let tenant = pick(&TENANTS, number);
            let client = self.client.with_tenant(tenant);
            let job = self.job(number);
            let (tenant, payload) = (tenant.to_owned(), job.payload.clone());
            calls.spawn(async move { Ok(((tenant, client.enqueue(job).await?), payload)) });
        }
        while !calls.is_empty() {
            collect(&mut calls, &mut jobs).await?;
        }
        Ok(jobs)
    }

    fn job(&self, number: u32) -> Enqueue {
        // MessagePack: a 32-bit unsigned integer.
        let mut payload = vec![0xce];
        payload.extend_from_slice(&number.to_be_bytes());
        let tenants = u32::try_from(TENANTS.len()).unwrap_or(1);
        let round = number.checked_div(tenants).unwrap_or(0);
        let mut job = Enqueue::new(GROUP, payload);
        job.priority = pick(&PRIORITIES, round);
        // The last job of the first tenant fails once and has one retry.
        if round.checked_mul(tenants) == Some(number) && number.saturating_add(tenants) >= self.jobs
        {
            job.id = Some(flaky_id());
            job.retry_policy = Some(RetryPolicy {
                retry_count: 1,
                initial_interval_ms: 500,
                backoff_factor: 2.0,
                ..RetryPolicy::default()
            });
        }
        job
    }

    /// Worker A takes tasks, keeps their leases for a while, and is gone without a word.
    async fn kill_a_worker(&self) -> Vec<Task> {
        let mut options = WorkerOptions::new(GROUP, "worker-a");
        options.concurrency = DOOMED_TASKS;
        options.lease_ms = Some(DOOMED_LEASE_MS);
        let (taken, mut tasks) = mpsc::unbounded_channel();
        let worker = Worker::new(self.client.clone(), options, move |job: Job| {
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
        // Long enough for a heartbeat of each task: a lease without one counts as lost, not
        // crashed.
        tokio::time::sleep(Duration::from_millis(u64::from(DOOMED_LEASE_MS) / 2)).await;
        running.abort();
        doomed
    }

    /// Worker B works until as many jobs have succeeded as there are.
    async fn work(&self, jobs: u32) {
        let mut options = WorkerOptions::new(GROUP, "worker-b");
        options.concurrency = 32;
        options.idle_max = Duration::from_millis(50);
        let ended = Arc::clone(&self.ended);
        let (progress, mut seen) = watch::channel(0);
        let failed_once = Arc::new(std::sync::Mutex::new(BTreeSet::new()));
        let handler = move |job: Job| {
            let outcome = handle(&job, &failed_once);
            if matches!(outcome, Outcome::Success(_)) {
                progress.send_replace(ended.fetch_add(1, Ordering::Relaxed).saturating_add(1));
            }
            std::future::ready(outcome)
        };
        let worker = Worker::new(self.client.clone(), options, handler);
        let stop = CancellationToken::new();
        let running = worker.run(stop.clone());
        let finish = async {
            // The worker outlives the handler that sends; it ends when it is told to.
            let _ = seen.wait_for(|ended| *ended >= jobs).await;
            stop.cancel();
        };
        // Draining waits until every report is acknowledged.
        tokio::join!(running, finish);
    }
}

/// Answers with the payload; the job that is to fail once fails the first time.
fn handle(job: &Job, failed_once: &std::sync::Mutex<BTreeSet<String>>) -> Outcome {
    let mut failed = failed_once
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if job.task.job_id == flaky_id() && failed.insert(job.task.job_id.clone()) {
        return Outcome::failure(FAILURE_CODE, Bytes::new());
    }
    Outcome::Success(job.payload())
}

fn flaky_id() -> String {
    "fails-once".to_owned()
}

fn pick<T: Copy + Default>(from: &[T], number: u32) -> T {
    let count = u32::try_from(from.len()).unwrap_or(1);
    let index = usize::try_from(number.checked_rem(count).unwrap_or(0)).unwrap_or(0);
    from.get(index).copied().unwrap_or_default()
}

type Enqueued = Result<((String, String), Bytes), Error>;

async fn collect(
    calls: &mut JoinSet<Enqueued>,
    jobs: &mut BTreeMap<(String, String), Bytes>,
) -> Result<(), Error> {
    if let Some(joined) = calls.join_next().await {
        let (key, payload) = joined.map_err(|e| Error::OutcomeUnknown(e.to_string()))??;
        jobs.insert(key, payload);
    }
    Ok(())
}
