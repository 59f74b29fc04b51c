//! What happens in the demo, in order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use silo_runtime::client::Client;
use silo_runtime::client::enqueue::Enqueue;
use silo_runtime::client::error::Error;
use silo_runtime::proto::Task;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::demo::DemoError;
use crate::demo::cast::{Key, Part, TENANTS, plain};
use crate::demo::ending::until_ended;
use crate::demo::progress::Progress;
use crate::demo::stage::Stage;
use crate::demo::workers::{Seen, WorkerB, take_and_die};

/// Calls in flight while jobs are enqueued.
const ENQUEUES_MAX: usize = 64;
/// How long the server is gone.
const OUTAGE: Duration = Duration::from_millis(400);

/// What was done, to be compared with what the server says.
pub(crate) struct Record {
    /// Every job that was acknowledged, with its payload.
    pub(crate) jobs: BTreeMap<Key, Bytes>,
    /// When the delayed job may start, in ms since the epoch.
    pub(crate) start_at_ms: i64,
    /// What worker A held when it was killed.
    pub(crate) doomed: Vec<Task>,
    /// What worker B has seen.
    pub(crate) seen: Arc<Seen>,
    /// How long the last job took that was enqueued before the server was killed, until it had
    /// ended.
    pub(crate) recovered: Duration,
}

/// Plays it: so many jobs, on this stage. Answers with the stage as it is then.
pub(crate) async fn play(
    stage: Stage,
    client: &Client,
    jobs: u32,
    now_ms: i64,
    progress: &Progress,
) -> Result<(Stage, Record), DemoError> {
    let mut acknowledged = enqueue_many(client, jobs, now_ms).await?;
    progress.tell(format!(
        "{} jobs of {} tenants are enqueued and durable, in three priorities; one may only start \
         in {:.1} s",
        acknowledged.len(),
        TENANTS.len(),
        Duration::from_millis(crate::demo::cast::DELAY_MS.unsigned_abs()).as_secs_f64(),
    ));
    cancel(client, Part::CancelledEarly).await?;
    progress.tell("a job that was not due yet is cancelled");

    let doomed = take_and_die(client).await;
    progress.tell(format!(
        "worker A has taken {} jobs and is killed; nobody is told",
        doomed.len()
    ));

    let worker = WorkerB::start(client);
    progress.tell("worker B begins");
    let seen = Arc::clone(&worker.seen);
    let watching = follow(&seen, progress);
    let playing = async {
        let late = Part::CancelledLate.key().unwrap_or_default();
        seen.begun(&late).await;
        cancel(client, Part::CancelledLate).await?;
        progress.tell("a job that runs is asked to stop");

        seen.done(acknowledged.len() / 2).await;
        let (key, payload) = enqueue(client, Part::LastWord, now_ms).await?;
        acknowledged.insert(key.clone(), payload);
        progress.tell("one more job is acknowledged, and the server is killed in the same instant");
        let killed_at = Instant::now();
        let stage = stage.kill_and_restart(sleep(OUTAGE)).await?;
        progress.tell(format!(
            "a new server is open on the same data, {:.0} ms after the kill ({:.0} of them waited)",
            killed_at.elapsed().as_secs_f64() * 1000.0,
            OUTAGE.as_secs_f64() * 1000.0,
        ));
        until_ended(client, [&key]).await?;
        let recovered = killed_at.elapsed();
        until_ended(client, acknowledged.keys()).await?;
        Ok::<_, DemoError>((stage, recovered))
    };
    let (stage, recovered) = tokio::select! {
        played = playing => played?,
        never = watching => match never {},
    };
    progress.tell("every job has ended");
    worker.stop().await;
    let record = Record {
        jobs: acknowledged,
        start_at_ms: now_ms.saturating_add(crate::demo::cast::DELAY_MS),
        doomed,
        seen,
        recovered,
    };
    Ok((stage, record))
}

/// Shows how many jobs are done.
async fn follow(seen: &Seen, progress: &Progress) -> std::convert::Infallible {
    let mut done = seen.follow();
    loop {
        progress.ended(u64::try_from(done.borrow_and_update().len()).unwrap_or(u64::MAX));
        if done.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn cancel(client: &Client, part: Part) -> Result<(), Error> {
    let (tenant, id) = part.key().unwrap_or_default();
    client.with_tenant(tenant).cancel(&id).await
}

async fn enqueue(client: &Client, part: Part, now_ms: i64) -> Result<(Key, Bytes), Error> {
    let (tenant, _) = part.key().unwrap_or_default();
    let client = client.with_tenant(tenant.clone());
    let job = part.job(now_ms);
    let payload = job.payload.clone();
    Ok(((tenant, client.enqueue(job).await?), payload))
}

/// Everything but the last word: those with a part, and plain ones until there are so many.
async fn enqueue_many(
    client: &Client,
    count: u32,
    now_ms: i64,
) -> Result<BTreeMap<Key, Bytes>, Error> {
    let parts = Part::ALL
        .iter()
        .filter(|(part, ..)| *part != Part::LastWord);
    let parted = parts.map(|(part, tenant, _)| (*tenant, part.job(now_ms)));
    let of_parts = u32::try_from(Part::ALL.len()).unwrap_or_default();
    let many = (0..count.saturating_sub(of_parts)).map(plain);
    let mut calls = JoinSet::new();
    let mut jobs = BTreeMap::new();
    for (tenant, job) in many.chain(parted) {
        while calls.len() >= ENQUEUES_MAX {
            collect(&mut calls, &mut jobs).await?;
        }
        calls.spawn(enqueue_one(client.with_tenant(tenant), tenant, job));
    }
    while !calls.is_empty() {
        collect(&mut calls, &mut jobs).await?;
    }
    Ok(jobs)
}

async fn enqueue_one(client: Client, tenant: &str, job: Enqueue) -> Result<(Key, Bytes), Error> {
    let payload = job.payload.clone();
    Ok(((tenant.to_owned(), client.enqueue(job).await?), payload))
}

type Enqueued = Result<(Key, Bytes), Error>;

async fn collect(
    calls: &mut JoinSet<Enqueued>,
    jobs: &mut BTreeMap<Key, Bytes>,
) -> Result<(), Error> {
    if let Some(joined) = calls.join_next().await {
        let (key, payload) = joined.map_err(|e| Error::OutcomeUnknown(e.to_string()))??;
        jobs.insert(key, payload);
    }
    Ok(())
}
