//! What must be true when the demo ends, and what is shown of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use silo_runtime::client::Client;
use silo_runtime::client::error::Error;
use silo_runtime::client::payload;
use silo_runtime::proto::{AttemptStatus, GetJobResponse, JobAttempt, JobStatus};
use tokio::task::JoinSet;

use crate::demo::cast::{BACKOFF_MS, FAILURE_CODE, Key, Part, TENANTS};
use crate::demo::progress::Event;
use crate::demo::script::Record;
use crate::demo::workers::CONCURRENCY;
use crate::output::Show;

const CRASHED_CODE: &str = "WORKER_CRASHED";
/// Calls in flight while jobs are looked at.
const GETS_MAX: usize = 64;

/// What was found.
#[derive(Serialize)]
pub(crate) struct Verdict {
    /// Whether all was as expected.
    good: bool,
    took_ms: u64,
    tenants: Vec<Tally>,
    checks: Vec<Check>,
    events: Vec<Event>,
}

/// What became of one tenant's jobs.
#[derive(Serialize)]
struct Tally {
    tenant: String,
    jobs: usize,
    succeeded: usize,
    failed: usize,
    cancelled: usize,
    attempts: usize,
    retried: usize,
    crashed: usize,
    /// From enqueue to end, the median of all jobs, in milliseconds.
    median_ms: i64,
    /// The longest.
    max_ms: i64,
}

/// Something that was expected.
#[derive(Serialize)]
struct Check {
    expected: String,
    holds: bool,
}

type Jobs = BTreeMap<Key, GetJobResponse>;

/// Looks at every job.
pub(crate) async fn judge(
    client: &Client,
    record: &Record,
    (events, took): (Vec<Event>, Duration),
) -> Result<Verdict, Error> {
    let jobs = look_at_all(client, record).await?;
    let checks = checks(record, &jobs);
    Ok(Verdict {
        good: checks.iter().all(|check| check.holds),
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        tenants: TENANTS.map(|tenant| tally(tenant, &jobs)).into(),
        checks,
        events,
    })
}

impl Verdict {
    pub(crate) const fn is_good(&self) -> bool {
        self.good
    }
}

impl Show for Verdict {
    fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "\n{:<8}{:>6}{:>11}{:>8}{:>11}{:>10}{:>9}{:>9}{:>13}{:>10}",
            "tenant",
            "jobs",
            "succeeded",
            "failed",
            "cancelled",
            "attempts",
            "retried",
            "crashed",
            "median time",
            "longest"
        );
        for tally in &self.tenants {
            let _ = writeln!(
                text,
                "{:<8}{:>6}{:>11}{:>8}{:>11}{:>10}{:>9}{:>9}{:>10} ms{:>7} ms",
                tally.tenant,
                tally.jobs,
                tally.succeeded,
                tally.failed,
                tally.cancelled,
                tally.attempts,
                tally.retried,
                tally.crashed,
                tally.median_ms,
                tally.max_ms
            );
        }
        text.push('\n');
        for check in &self.checks {
            let verdict = if check.holds { "ok   " } else { "WRONG" };
            let _ = writeln!(text, "  {verdict} {}", check.expected);
        }
        let took = Duration::from_millis(self.took_ms).as_secs_f64();
        let _ = write!(text, "\nDone in {took:.1} s.");
        text
    }
}

fn tally(tenant: &str, jobs: &Jobs) -> Tally {
    let jobs: Vec<&GetJobResponse> = jobs
        .iter()
        .filter(|((of, _), _)| of == tenant)
        .map(|(_, job)| job)
        .collect();
    let count = |status| jobs.iter().filter(|job| job.status() == status).count();
    let attempts = || jobs.iter().flat_map(|job| &job.attempts);
    let ended = |code| attempts().filter(|a| ended_with(a, code)).count();
    let mut times: Vec<i64> = jobs
        .iter()
        .map(|job| job.status_changed_at_ms.saturating_sub(job.enqueue_time_ms))
        .collect();
    times.sort_unstable();
    Tally {
        tenant: tenant.to_owned(),
        jobs: jobs.len(),
        succeeded: count(JobStatus::Succeeded),
        failed: count(JobStatus::Failed),
        cancelled: count(JobStatus::Cancelled),
        attempts: attempts().count(),
        retried: ended(FAILURE_CODE),
        crashed: ended(CRASHED_CODE),
        median_ms: times.get(times.len() / 2).copied().unwrap_or_default(),
        max_ms: times.last().copied().unwrap_or_default(),
    }
}

fn checks(record: &Record, jobs: &Jobs) -> Vec<Check> {
    let doomed: BTreeSet<Key> = record
        .doomed
        .iter()
        .map(|task| {
            let tenant = task.tenant_id.clone().unwrap_or_default();
            (tenant, task.job_id.clone())
        })
        .collect();
    let served: BTreeSet<&str> = doomed.iter().map(|(tenant, _)| tenant.as_str()).collect();
    let of = |part: Part| part.key().and_then(|key| jobs.get(&key));
    let status = |part, status| of(part).is_some_and(|job| job.status() == status);
    let attempts = |part| {
        of(part)
            .map(|job| job.attempts.as_slice())
            .unwrap_or_default()
    };
    let first_crashed = |job: &GetJobResponse| {
        let first = job.attempts.first();
        first.is_some_and(|attempt| ended_with(attempt, CRASHED_CODE))
    };
    let others: Vec<(&Key, &GetJobResponse)> = jobs
        .iter()
        .filter(|(key, _)| !doomed.contains(*key) && Part::of(&key.1) == Part::Plain)
        .collect();
    let again = others.iter().filter(|(_, job)| job.attempts.len() > 1);
    let (again, lost) = (
        again.clone().count(),
        again.filter(|(_, job)| first_crashed(job)).count(),
    );
    let mut checks = Vec::new();
    let mut expect = |expected: String, holds| checks.push(Check { expected, holds });

    expect(
        format!(
            "all {} acknowledged jobs are there and have ended: succeeded, but for three",
            record.jobs.len()
        ),
        jobs.len() == record.jobs.len()
            && jobs
                .iter()
                .all(|(key, job)| job.status() == expected_end(&key.1)),
    );
    expect(
        "every result is what its job was asked for".to_owned(),
        jobs.iter().all(|(key, job)| {
            job.status() != JobStatus::Succeeded
                || record.jobs.get(key) == Some(&payload::unpack(job.result.clone()))
        }),
    );
    expect(
        "the first tasks leased were of every tenant, and of the first priority".to_owned(),
        served.len() == TENANTS.len() && record.doomed.iter().all(|task| task.priority == 0),
    );
    expect(
        format!(
            "the {} jobs of the killed worker ran again elsewhere",
            doomed.len()
        ),
        // Worker A was still the only one that had them when it was killed.
        !doomed.is_empty()
            && doomed.iter().all(|key| {
                let job = jobs.get(key);
                record.seen.runs_of(key) >= 1
                    && job.is_some_and(|job| job.status() == JobStatus::Succeeded)
            }),
    );
    expect(
        "the delayed job did not start before its time".to_owned(),
        attempts(Part::Delayed)
            .first()
            .is_some_and(|attempt| attempt.started_at_ms >= record.start_at_ms),
    );
    expect(
        "the job that failed twice waited 300 ms, then 600 ms, and succeeded".to_owned(),
        status(Part::Flaky, JobStatus::Succeeded) && backed_off(attempts(Part::Flaky)),
    );
    expect(
        "the job that never works failed for good after two retries".to_owned(),
        status(Part::Broken, JobStatus::Failed) && backed_off(attempts(Part::Broken)),
    );
    expect(
        "the job cancelled before it was due never ran".to_owned(),
        attempts(Part::CancelledEarly).is_empty(),
    );
    expect(
        "the job cancelled while it ran was told so, and stopped".to_owned(),
        status(Part::CancelledLate, JobStatus::Cancelled)
            && Part::CancelledLate
                .key()
                .is_some_and(|key| record.seen.runs_of(&key) >= 1),
    );
    expect(
        format!(
            "the job acknowledged as the server was killed is there; it had ended {:.1} s later",
            record.recovered.as_secs_f64()
        ),
        status(Part::LastWord, JobStatus::Succeeded),
    );
    expect(
        format!(
            "every other job ran once, but for the {again} whose lease the dying server could not \
             confirm"
        ),
        again == lost && again <= CONCURRENCY,
    );
    checks
}

/// How a job has to end.
fn expected_end(id: &str) -> JobStatus {
    match Part::of(id) {
        Part::Plain | Part::Delayed | Part::Flaky | Part::LastWord => JobStatus::Succeeded,
        Part::Broken => JobStatus::Failed,
        Part::CancelledEarly | Part::CancelledLate => JobStatus::Cancelled,
    }
}

/// Whether three attempts were made, not counting those that were lost with the server, and each
/// waited as it should for the failure before it.
fn backed_off(attempts: &[JobAttempt]) -> bool {
    let made: Vec<&JobAttempt> = attempts
        .iter()
        .filter(|attempt| !ended_with(attempt, CRASHED_CODE))
        .collect();
    let waits = made
        .windows(2)
        .zip([BACKOFF_MS, BACKOFF_MS.saturating_mul(2)]);
    made.len() == 3
        && waits.into_iter().all(|(pair, wait)| match pair {
            [first, second] => first
                .finished_at_ms
                .is_some_and(|ended| second.started_at_ms >= ended.saturating_add(wait)),
            _ => false,
        })
}

async fn look_at_all(client: &Client, record: &Record) -> Result<Jobs, Error> {
    let mut calls = JoinSet::new();
    let mut jobs = BTreeMap::new();
    for (tenant, id) in record.jobs.keys().cloned() {
        while calls.len() >= GETS_MAX {
            collect(&mut calls, &mut jobs).await?;
        }
        let client = client.with_tenant(tenant.clone());
        calls.spawn(async move {
            let job = client.job(&id, true).await?;
            Ok(((tenant, id), job))
        });
    }
    while !calls.is_empty() {
        collect(&mut calls, &mut jobs).await?;
    }
    Ok(jobs)
}

type Looked = Result<(Key, GetJobResponse), Error>;

async fn collect(calls: &mut JoinSet<Looked>, jobs: &mut Jobs) -> Result<(), Error> {
    if let Some(joined) = calls.join_next().await {
        let (key, job) = joined.map_err(|e| Error::OutcomeUnknown(e.to_string()))??;
        jobs.insert(key, job);
    }
    Ok(())
}

fn ended_with(attempt: &JobAttempt, code: &str) -> bool {
    attempt.status() == AttemptStatus::Failed && attempt.error_code.as_deref() == Some(code)
}
