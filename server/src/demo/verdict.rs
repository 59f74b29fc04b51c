//! What must be true when the demo ends, and the table that says what was.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use silo_runtime::client::Client;
use silo_runtime::client::error::Error;
use silo_runtime::client::payload;
use silo_runtime::proto::{AttemptStatus, GetJobResponse, JobAttempt, JobStatus};
use tokio::task::JoinSet;

use crate::demo::script::{FAILURE_CODE, Record, TENANTS};

const CRASHED_CODE: &str = "WORKER_CRASHED";
/// Calls in flight while jobs are looked at.
const GETS_MAX: usize = 64;

/// What was found.
pub(crate) struct Verdict {
    tenants: BTreeMap<String, Tally>,
    claims: Vec<(String, bool)>,
}

/// What became of one tenant's jobs.
#[derive(Default)]
struct Tally {
    jobs: u32,
    succeeded: u32,
    attempts: u32,
    failed_attempts: u32,
    crashed_attempts: u32,
    wrong_results: u32,
}

/// Looks at every job.
pub(crate) async fn judge(client: &Client, record: &Record) -> Result<Verdict, Error> {
    let jobs = look_at_all(client, record).await?;
    let mut tenants: BTreeMap<String, Tally> = BTreeMap::new();
    for (key, job) in &jobs {
        let tally = tenants.entry(key.0.clone()).or_default();
        add(&mut tally.jobs, true);
        add(&mut tally.succeeded, job.status() == JobStatus::Succeeded);
        let right = record
            .jobs
            .get(key)
            .is_some_and(|p| *p == payload::unpack(job.result.clone()));
        add(&mut tally.wrong_results, !right);
        for attempt in &job.attempts {
            add(&mut tally.attempts, true);
            add(
                &mut tally.failed_attempts,
                ended_with(attempt, FAILURE_CODE),
            );
            add(
                &mut tally.crashed_attempts,
                ended_with(attempt, CRASHED_CODE),
            );
        }
    }
    let claims = claims(record, &jobs, &tenants);
    Ok(Verdict { tenants, claims })
}

impl Verdict {
    pub(crate) fn is_good(&self) -> bool {
        self.claims.iter().all(|(_, holds)| *holds)
    }

    /// The table, and what was expected with whether it was so.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:<8} {:>6} {:>10} {:>9} {:>7} {:>8}",
            "tenant", "jobs", "succeeded", "attempts", "failed", "crashed"
        );
        for (tenant, tally) in &self.tenants {
            let _ = writeln!(
                text,
                "{:<8} {:>6} {:>10} {:>9} {:>7} {:>8}",
                tenant,
                tally.jobs,
                tally.succeeded,
                tally.attempts,
                tally.failed_attempts,
                tally.crashed_attempts
            );
        }
        text.push('\n');
        for (claim, holds) in &self.claims {
            let _ = writeln!(
                text,
                "{} {claim}",
                if *holds { "  ok   " } else { "  WRONG" }
            );
        }
        text
    }
}

type Jobs = BTreeMap<(String, String), GetJobResponse>;

fn claims(record: &Record, jobs: &Jobs, tenants: &BTreeMap<String, Tally>) -> Vec<(String, bool)> {
    let doomed: BTreeSet<(String, String)> = record
        .doomed
        .iter()
        .map(|task| {
            (
                task.tenant_id.clone().unwrap_or_default(),
                task.job_id.clone(),
            )
        })
        .collect();
    let first_is = |key: &(String, String), code: &str| {
        jobs.get(key)
            .and_then(|job| job.attempts.first())
            .is_some_and(|a| ended_with(a, code))
    };
    let runs = |key: &(String, String)| jobs.get(key).map_or(0, |job| job.attempts.len());
    let others = jobs
        .keys()
        .filter(|key| !doomed.contains(*key) && **key != record.flaky);
    let served: BTreeSet<&str> = doomed.iter().map(|(tenant, _)| tenant.as_str()).collect();
    let all = |of: fn(&Tally) -> bool| tenants.values().all(of);
    vec![
        (
            format!(
                "all {} jobs are there, each once, and succeeded",
                record.jobs.len()
            ),
            jobs.len() == record.jobs.len() && all(|tally| tally.jobs == tally.succeeded),
        ),
        (
            "every result is what its job was asked for".to_owned(),
            all(|t| t.wrong_results == 0),
        ),
        (
            "the job that failed once ran again and succeeded".to_owned(),
            first_is(&record.flaky, FAILURE_CODE) && runs(&record.flaky) == 2,
        ),
        (
            format!(
                "the {} jobs of the killed worker ran again elsewhere",
                doomed.len()
            ),
            !doomed.is_empty()
                && doomed
                    .iter()
                    .all(|k| first_is(k, CRASHED_CODE) && runs(k) == 2),
        ),
        (
            "every other job ran exactly once".to_owned(),
            others.map(runs).all(|runs| runs == 1),
        ),
        (
            "the first tasks leased were of every tenant, and of the first priority".to_owned(),
            served.len() == TENANTS.len() && record.doomed.iter().all(|task| task.priority == 0),
        ),
    ]
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

type Looked = Result<((String, String), GetJobResponse), Error>;

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

fn add(tally: &mut u32, holds: bool) {
    *tally = tally.saturating_add(u32::from(holds));
}
