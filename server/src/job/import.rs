//! `silo job import`.

use std::collections::BTreeMap;

use clap::Parser;
use miette::Report;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use silo_runtime::client::Client;
use silo_runtime::client::error::Error as ClientError;
use silo_runtime::client::import::Import;
use silo_runtime::client::payload;
use silo_runtime::proto::{AttemptStatus, ImportAttempt, JobStatus, SerializedBytes};

use crate::connect::Connect;
use crate::exit::Exit;
use crate::failure::{About, CallFailed};
use crate::input::{FOR_EVER, InputError, Line, Lines, Next};
use crate::job::lines::payload_of;
use crate::job::shape::{Limit, RetryPolicy, Status};
use crate::output::{Output, Show};

/// Jobs in one call, at most.
const JOBS_MAX: usize = 1000;
/// Attempts of all jobs in one call, at most.
const ATTEMPTS_MAX: usize = 10_000;
/// Bytes of lines in one call, about.
const BYTES_MAX: usize = 16 << 20;

/// Bring in jobs with their attempts from another system: one JSON object a line of standard
/// input, as `silo job get --output json` writes them.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) connect: Connect,
}

/// A job with its history. What `silo job get` says besides is not looked at.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ImportLine<'a> {
    id: String,
    task_group: String,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    priority: Option<u32>,
    enqueue_time_ms: Option<i64>,
    start_at_ms: Option<i64>,
    retry_policy: Option<RetryPolicy>,
    limits: Option<Vec<Limit>>,
    metadata: Option<BTreeMap<String, String>>,
    attempts: Option<Vec<AttemptLine<'a>>>,
    #[serde(rename = "status")]
    _status: Option<IgnoredAny>,
    #[serde(rename = "status_changed_at_ms")]
    _status_changed_at_ms: Option<IgnoredAny>,
    #[serde(rename = "next_attempt_starts_after_ms")]
    _next_attempt_starts_after_ms: Option<IgnoredAny>,
    #[serde(rename = "retries_used")]
    _retries_used: Option<IgnoredAny>,
    #[serde(rename = "crashes")]
    _crashes: Option<IgnoredAny>,
    #[serde(rename = "end_code")]
    _end_code: Option<IgnoredAny>,
    #[serde(rename = "result")]
    _result: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AttemptLine<'a> {
    status: Status,
    started_at_ms: i64,
    finished_at_ms: i64,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error_code: Option<String>,
    #[serde(borrow)]
    error_data: Option<&'a RawValue>,
    #[serde(rename = "attempt_number")]
    _attempt_number: Option<IgnoredAny>,
    #[serde(rename = "task_id")]
    _task_id: Option<IgnoredAny>,
}

#[derive(Serialize)]
struct Imported {
    line: u64,
    id: String,
    status: Status,
}

/// A job that was not taken: the server says why in a sentence.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot import job {id}: {why}")]
#[diagnostic(code(silo::import::refused))]
pub(crate) struct NotImported {
    id: String,
    why: String,
}

/// Jobs that go in one call, with their lines.
#[derive(Default)]
struct Batch {
    jobs: Vec<(u64, Import)>,
    attempts: usize,
    bytes: usize,
}

impl Args {
    pub(crate) async fn run(self, client: Client, output: Output) -> miette::Result<Exit> {
        let mut lines = Lines::of_stdin();
        let mut exit = Exit::Done;
        let mut batch = Batch::default();
        loop {
            let next = lines.next(FOR_EVER).await;
            if let Ok(Next::Line(line)) = &next {
                match job(line) {
                    Ok(job) => {
                        if !batch.has_room(&job, line) {
                            exit =
                                exit.and(std::mem::take(&mut batch).send(&client, output).await?);
                        }
                        batch.add(job, line);
                    }
                    Err(error) => exit = exit.and(tell(output, &error.into(), line.number, None)),
                }
                continue;
            }
            exit = exit.and(std::mem::take(&mut batch).send(&client, output).await?);
            // What came before it is not lost.
            next?;
            return Ok(exit);
        }
    }
}

impl Batch {
    fn has_room(&self, job: &Import, line: &Line) -> bool {
        let attempts = self.attempts.saturating_add(job.attempts.len());
        let bytes = self.bytes.saturating_add(line.bytes.len());
        self.jobs.len() < JOBS_MAX && attempts <= ATTEMPTS_MAX && bytes <= BYTES_MAX
    }

    fn add(&mut self, job: Import, line: &Line) {
        self.attempts = self.attempts.saturating_add(job.attempts.len());
        self.bytes = self.bytes.saturating_add(line.bytes.len());
        self.jobs.push((line.number, job));
    }

    /// Imports them. One that runs here refuses its call: then each goes alone.
    async fn send(self, client: &Client, output: Output) -> miette::Result<Exit> {
        if self.jobs.is_empty() {
            return Ok(Exit::Done);
        }
        let jobs = self.jobs.iter().map(|(_, job)| job.clone()).collect();
        let told = match client.import(jobs).await {
            Ok(told) => told,
            Err(cause) if is_of_running(&cause) => {
                let mut exit = Exit::Done;
                for (line, job) in self.jobs {
                    exit = exit.and(alone(client, output, line, job).await?);
                }
                return Ok(exit);
            }
            Err(cause) => {
                let (first, last) = (self.jobs.first(), self.jobs.last());
                let number = |job: Option<&(u64, _)>| job.map_or(0, |(line, _)| *line);
                let (first, last) = (number(first), number(last));
                let what = format!("import the jobs of lines {first} to {last}");
                return Err(CallFailed::of(what)(cause).into());
            }
        };
        let mut exit = Exit::Done;
        for ((line, job), told) in self.jobs.into_iter().zip(told) {
            exit = exit.and(show(output, line, job.id, told)?);
        }
        Ok(exit)
    }
}

/// Whether a call was refused because one of its jobs runs here.
fn is_of_running(error: &ClientError) -> bool {
    let reason = error
        .refusal()
        .and_then(|refusal| refusal.reason.as_deref());
    reason == Some("JOB_RUNNING")
}

async fn alone(client: &Client, output: Output, line: u64, job: Import) -> miette::Result<Exit> {
    let id = job.id.clone();
    match client.import(vec![job]).await {
        Ok(told) => match told.into_iter().next() {
            Some(told) => show(output, line, id, told),
            None => Ok(Exit::Done),
        },
        Err(cause) => {
            let report = CallFailed::of(format!("import job {id}"))(cause).into();
            Ok(tell(output, &report, line, Some(id)))
        }
    }
}

/// What became of one.
fn show(
    output: Output,
    line: u64,
    id: String,
    told: Result<JobStatus, String>,
) -> miette::Result<Exit> {
    match told {
        Ok(status) => {
            let status = status.into();
            output.show(&Imported { line, id, status })?;
            Ok(Exit::Done)
        }
        Err(why) => {
            let report = NotImported {
                id: id.clone(),
                why,
            }
            .into();
            Ok(tell(output, &report, line, Some(id)))
        }
    }
}

fn tell(output: Output, report: &Report, line: u64, id: Option<String>) -> Exit {
    let line = Some(line);
    output.tell(report, &About { id, line })
}

fn job(line: &Line) -> Result<Import, InputError> {
    let wrong = |why| InputError::Job {
        what: format!("line {} of standard input", line.number),
        why,
    };
    let given: ImportLine<'_> =
        serde_json::from_slice(&line.bytes).map_err(|why| wrong(why.to_string()))?;
    let attempts = given.attempts.unwrap_or_default().into_iter();
    let attempts: Result<_, String> = attempts.map(AttemptLine::read).collect();
    Ok(Import {
        id: given.id,
        task_group: given.task_group,
        payload: payload_of(given.payload).map_err(wrong)?,
        priority: given.priority.unwrap_or(50),
        enqueue_time_ms: given.enqueue_time_ms,
        start_at_ms: given.start_at_ms,
        retry_policy: given.retry_policy.map(Into::into),
        limits: given
            .limits
            .unwrap_or_default()
            .into_iter()
            .map(Into::into)
            .collect(),
        metadata: given.metadata.unwrap_or_default(),
        attempts: attempts.map_err(wrong)?,
    })
}

impl AttemptLine<'_> {
    fn read(self) -> Result<ImportAttempt, String> {
        let status = match self.status {
            Status::Succeeded => AttemptStatus::Succeeded,
            Status::Failed => AttemptStatus::Failed,
            Status::Cancelled => AttemptStatus::Cancelled,
            Status::Scheduled | Status::Running => {
                return Err("an attempt must have succeeded, failed or been cancelled".to_owned());
            }
        };
        Ok(ImportAttempt {
            status: status.into(),
            started_at_ms: self.started_at_ms,
            finished_at_ms: self.finished_at_ms,
            result: packed(self.result)?,
            error_code: self.error_code,
            error_data: packed(self.error_data)?,
        })
    }
}

fn packed(json: Option<&RawValue>) -> Result<Option<SerializedBytes>, String> {
    let bytes = json.map(|json| payload_of(Some(json))).transpose()?;
    Ok(bytes.map(payload::pack))
}

impl Show for Imported {
    fn text(&self) -> String {
        format!("{} {}", self.id, self.status.word())
    }
}
