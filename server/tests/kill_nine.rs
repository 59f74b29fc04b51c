//! A server that is killed at random moments under load: every acknowledged operation is there,
//! every job ends, and only what was in flight runs again.
//!
//! `SILO_KILLS=100` kills more often; `SILO_SEED=N` repeats the moments of an earlier run;
//! `SILO_TEST_S3=http://HOST:PORT` keeps the data in the bucket `silo-test` of that endpoint, as in
//! `scripts/with-store s3 cargo test -p silo --test kill_nine`.

#![cfg(test)]
#![allow(
    clippy::arithmetic_side_effects,
    reason = "a test counts in small numbers"
)]

mod process;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use process::Site;
use silo_core::types::entropy::Entropy;
use silo_runtime::client::Client;
use silo_runtime::client::enqueue::Enqueue;
use silo_runtime::client::payload;
use silo_runtime::client::task::{Outcome, TaskRef};
use silo_runtime::proto::{AttemptStatus, JobStatus, LeaseTasksRequest, RetryPolicy, Task};

const KILLS: u64 = 5;
const PRODUCERS: u64 = 4;
const WORKERS: u64 = 3;
/// Jobs that may be in the system: the load is bounded by what the workers do.
const JOBS_OPEN_MAX: u64 = 400;
const LEASE_MS: u32 = 1500;
/// Tasks of which one is never reported.
const ABANDONED_ONE_IN: u64 = 25;
/// After the last kill everything must have ended within this.
const DRAIN: Duration = Duration::from_secs(90);

#[silo::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_and_only_leases_in_flight_run_again() {
    let kills = number("SILO_KILLS").unwrap_or(KILLS);
    let seed = number("SILO_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("{kills} kills, SILO_SEED={seed}");
    let dice = Entropy(u128::from(seed).to_le_bytes());

    // A server lives until somewhere between "just starting" and "well under way", which comes
    // later where each request takes its time.
    let (site, life_ms) = match std::env::var("SILO_TEST_S3") {
        Ok(endpoint) => (Site::on_s3(&endpoint), 100..2_500),
        Err(_) => (Site::new(), 100..1_000),
    };
    let mut server = site.start();
    let client = server.client().await;
    let load = Arc::new(Load::default());
    let mut tasks = tokio::task::JoinSet::new();
    for producer in 0..PRODUCERS {
        tasks.spawn(produce(client.clone(), Arc::clone(&load), producer));
    }
    for worker in 0..WORKERS {
        tasks.spawn(work(client.clone(), Arc::clone(&load), worker));
    }
    for kill in 0..kills {
        let span = life_ms.end - life_ms.start;
        let life = Duration::from_millis(life_ms.start + dice.number(kill) % span);
        tokio::time::sleep(life).await;
        server.kill_nine();
        server = site.start();
    }
    // One more breath of load on the last server: it must do real work after the last kill.
    let before = load.ended();
    load.until("work goes on after the last kill", || {
        load.ended() > before + 50
    })
    .await;
    load.no_more_jobs.store(true, Ordering::Relaxed);
    load.until("every job ends", || load.open() == 0).await;
    load.done.store(true, Ordering::Relaxed);
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    load.check(&client).await;
    drop(server);
}

/// What the callers know to be true, because it was acknowledged.
#[derive(Default)]
struct Load {
    no_more_jobs: AtomicBool,
    done: AtomicBool,
    enqueued: AtomicU64,
    finished: AtomicU64,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    /// Acknowledged jobs, by id.
    jobs: BTreeMap<String, Kind>,
    cancelled: BTreeSet<String>,
    /// Acknowledged outcomes, by job: (attempt, task, whether it was a success).
    outcomes: BTreeMap<String, Vec<(u32, String, bool)>>,
    /// Leases seen, by job, each task once.
    leases: BTreeMap<String, BTreeSet<String>>,
    faults: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Succeeds the first time.
    Plain,
    /// Fails in its first attempt.
    Flaky,
    /// Never due; cancelled.
    Late,
}

impl Load {
    fn ended(&self) -> u64 {
        self.finished.load(Ordering::Relaxed)
    }

    fn open(&self) -> u64 {
        self.enqueued
            .load(Ordering::Relaxed)
            .saturating_sub(self.ended())
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let began = Instant::now();
        while !holds() {
            assert!(
                began.elapsed() < DRAIN,
                "{what}: {} jobs are open",
                self.open()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }

    async fn check(&self, client: &Client) {
        let Book {
            jobs,
            cancelled,
            outcomes,
            leases,
            faults,
        } = std::mem::take(&mut *self.book());
        assert_eq!(faults, Vec::<String>::new());
        assert!(jobs.len() > 100, "there was load: {} jobs", jobs.len());
        let mut rerun = 0;
        for (id, kind) in &jobs {
            let job = client.job(id, true).await.unwrap();
            let failed: Vec<u32> = job
                .attempts
                .iter()
                .filter(|attempt| attempt.status() == AttemptStatus::Failed)
                .map(|attempt| attempt.attempt_number)
                .collect();
            match kind {
                Kind::Late => {
                    assert!(cancelled.contains(id), "{id} was cancelled");
                    assert_eq!(job.status(), JobStatus::Cancelled, "{id}");
                    continue;
                }
                Kind::Plain => assert_eq!(failed, Vec::<u32>::new(), "{id} never failed"),
                Kind::Flaky => {
                    assert_eq!(failed, vec![1], "{id} failed once, in its first attempt")
                }
            }
            assert_eq!(job.status(), JobStatus::Succeeded, "{id}");
            assert_eq!(payload::unpack(job.result.clone()), payload_of(id), "{id}");
            // What was acknowledged stands, and was acknowledged once.
            let acknowledged = outcomes.get(id).cloned().unwrap_or_default();
            let mut attempts = BTreeSet::new();
            for (attempt, task, success) in &acknowledged {
                assert!(
                    attempts.insert(*attempt),
                    "{id}: attempt {attempt} ended twice"
                );
                let stored = job
                    .attempts
                    .iter()
                    .find(|stored| stored.attempt_number == *attempt);
                let stored = stored.unwrap_or_else(|| panic!("{id}: attempt {attempt} is lost"));
                assert_eq!(stored.task_id, *task, "{id}: attempt {attempt}");
                assert_eq!(
                    stored.status() == AttemptStatus::Succeeded,
                    *success,
                    "{id}"
                );
            }
            // Every lease but the one of each attempt's end ended without an outcome: its worker
            // died, or it was in flight when the server did.
            let seen = leases.get(id).map_or(0, BTreeSet::len);
            rerun += seen.saturating_sub(job.attempts.len());
        }
        eprintln!("{} jobs, {} leases ran again", jobs.len(), rerun);
        assert!(
            rerun > 0,
            "some leases ended without an outcome, and their jobs ran again"
        );
    }
}

/// Enqueues jobs, cancels the late ones.
async fn produce(client: Client, load: Arc<Load>, producer: u64) {
    for number in 0.. {
        while load.open() >= JOBS_OPEN_MAX && !load.no_more_jobs.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if load.no_more_jobs.load(Ordering::Relaxed) {
            return;
        }
        let id = format!("job-{producer}-{number}");
        let kind = match number % 10 {
            3 => Kind::Flaky,
            7 => Kind::Late,
            _ => Kind::Plain,
        };
        let mut job = Enqueue::new("work", payload_of(&id));
        job.id = Some(id.clone());
        job.priority = u32::try_from(number % 3).unwrap();
        match kind {
            Kind::Plain => {}
            Kind::Flaky => {
                job.retry_policy = Some(RetryPolicy {
                    retry_count: 3,
                    initial_interval_ms: 10,
                    backoff_factor: 2.0,
                    ..RetryPolicy::default()
                });
            }
            Kind::Late => job.start_at_ms = Some(i64::MAX / 2),
        }
        // The client repeats the call with the same request id until it is acknowledged.
        if let Err(error) = client.enqueue(job).await {
            load.book().faults.push(format!("enqueue of {id}: {error}"));
            return;
        }
        load.book().jobs.insert(id.clone(), kind);
        load.enqueued.fetch_add(1, Ordering::Relaxed);
        if kind == Kind::Late {
            cancel(&client, &load, &id).await;
        }
    }
}

/// Cancels until the server says that it is so.
async fn cancel(client: &Client, load: &Load, id: &str) {
    loop {
        match client.cancel(id).await {
            Ok(()) => break,
            // An earlier try was done and its answer lost.
            Err(error) if error.to_string().contains("already cancelled") => break,
            Err(error) if error.refusal().is_some() => {
                load.book().faults.push(format!("cancel of {id}: {error}"));
                return;
            }
            Err(_) => {}
        }
    }
    load.book().cancelled.insert(id.to_owned());
    load.finished.fetch_add(1, Ordering::Relaxed);
}

/// Leases tasks and reports each.
async fn work(client: Client, load: Arc<Load>, worker: u64) {
    let client = client.with_deadline(Duration::from_secs(20));
    let mut running = tokio::task::JoinSet::new();
    while !load.done.load(Ordering::Relaxed) {
        let request = LeaseTasksRequest {
            worker_id: format!("worker-{worker}"),
            max_tasks: 16,
            task_group: "work".to_owned(),
            lease_ms: Some(LEASE_MS),
            ..LeaseTasksRequest::default()
        };
        let tasks = match client.lease_tasks(request).await {
            Ok(leased) => leased.response.tasks,
            // The server is down: leases that got lost on the way come back by themselves.
            Err(_) => Vec::new(),
        };
        if tasks.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for task in tasks {
            running.spawn(finish(client.clone(), Arc::clone(&load), task));
        }
    }
    while running.join_next().await.is_some() {}
}

async fn finish(client: Client, load: Arc<Load>, task: Task) {
    note_lease(&load, &task);
    // One worker in so many dies with its task in hand.
    if task.id.bytes().map(u64::from).sum::<u64>() % ABANDONED_ONE_IN == 0 {
        return;
    }
    let fails = task.attempt_number == 1 && is_flaky(&task.job_id);
    let outcome = if fails {
        Outcome::failure("FLAKY", Bytes::new())
    } else {
        Outcome::Success(payload::unpack(task.payload.clone()))
    };
    let report = TaskRef::from(&task);
    loop {
        match client.report(&report, outcome.clone()).await {
            Ok(()) => break,
            // Its time was over: somebody else has it, or will.
            Err(error) if error.is_lease_lost() => return,
            Err(error) if error.refusal().is_some() => {
                load.book()
                    .faults
                    .push(format!("report of {}: {error}", task.job_id));
                return;
            }
            // Nobody knows: the same report again is answered as the first one was.
            Err(_) => {}
        }
    }
    let ended = (task.attempt_number, task.id.clone(), !fails);
    load.book()
        .outcomes
        .entry(task.job_id)
        .or_default()
        .push(ended);
    if !fails {
        load.finished.fetch_add(1, Ordering::Relaxed);
    }
}

/// A job whose success was acknowledged is never leased again.
fn note_lease(load: &Load, task: &Task) {
    let mut book = load.book();
    let succeeded = book
        .outcomes
        .get(&task.job_id)
        .is_some_and(|outcomes| outcomes.iter().any(|(_, _, success)| *success));
    if succeeded {
        book.faults.push(format!(
            "{} was leased after its success was acknowledged",
            task.job_id
        ));
    }
    book.leases
        .entry(task.job_id.clone())
        .or_default()
        .insert(task.id.clone());
}

fn is_flaky(id: &str) -> bool {
    id.rsplit('-')
        .next()
        .and_then(|number| number.parse::<u64>().ok())
        .is_some_and(|n| n % 10 == 3)
}

/// A MessagePack string of the id.
fn payload_of(id: &str) -> Bytes {
    let mut bytes = vec![0xd9, u8::try_from(id.len()).unwrap()];
    bytes.extend_from_slice(id.as_bytes());
    bytes.into()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
