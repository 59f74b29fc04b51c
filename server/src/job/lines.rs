//! Many jobs at once: one a line of standard input, in calls for many.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use miette::Report;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use silo_runtime::client::Client;
use silo_runtime::client::enqueue::Enqueue;
use silo_runtime::client::payload::NIL;

use crate::data::from_json;
use crate::exit::Exit;
use crate::failure::{About, CallFailed};
use crate::input::{FOR_EVER, InputError, Line, Lines, Next};
use crate::job::enqueue::Template;
use crate::job::shape::{Limit, Retention, RetryPolicy};
use crate::output::{Output, Show};

/// Jobs in one call, at most: few enough that something is seen soon.
const JOBS_MAX: usize = 1000;
/// Bytes of lines in one call, about.
const BYTES_MAX: usize = 16 << 20;
/// A call waits so long for more lines.
const PATIENCE: Duration = Duration::from_millis(50);

/// What a line holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Payloads,
    Jobs,
}

/// Jobs to enqueue that stand on standard input.
pub(crate) struct Batch<'a> {
    pub(crate) client: &'a Client,
    pub(crate) template: &'a Template,
    pub(crate) shape: Shape,
    pub(crate) output: Output,
}

/// A job on a line. What is absent the flags say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JobLine<'a> {
    id: Option<String>,
    task_group: Option<String>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    priority: Option<u32>,
    start_at_ms: Option<i64>,
    retry_policy: Option<RetryPolicy>,
    limits: Option<Vec<Limit>>,
    metadata: Option<BTreeMap<String, String>>,
    max_crashes: Option<u32>,
    lease_ms: Option<u32>,
    retention: Option<Retention>,
    request_id: Option<uuid::Uuid>,
}

#[derive(Serialize)]
struct Enqueued {
    line: u64,
    id: String,
}

impl Batch<'_> {
    /// Each for itself, as they come.
    ///
    /// # Errors
    ///
    /// If standard input cannot be read or standard output is gone.
    pub(crate) async fn each(self) -> miette::Result<Exit> {
        let mut lines = Lines::of_stdin();
        let mut exit = Exit::Done;
        let mut waiting: Vec<(u64, Enqueue)> = Vec::new();
        let mut bytes: usize = 0;
        loop {
            let patience = if waiting.is_empty() {
                FOR_EVER
            } else {
                PATIENCE
            };
            let next = lines.next(patience).await;
            let is_line = matches!(next, Ok(Next::Line(_)));
            let is_last = matches!(next, Ok(Next::End) | Err(_));
            if let Ok(Next::Line(line)) = &next {
                bytes = bytes.saturating_add(line.bytes.len());
                match self.job(line) {
                    Ok(job) => waiting.push((line.number, job)),
                    Err(error) => exit = exit.and(self.tell(&error.into(), line.number)),
                }
            }
            if !is_line || waiting.len() >= JOBS_MAX || bytes >= BYTES_MAX {
                exit = exit.and(self.send(std::mem::take(&mut waiting)).await?);
                bytes = 0;
            }
            // What came before it is not lost.
            next?;
            if is_last {
                return Ok(exit);
            }
        }
    }

    /// All of them, or none.
    ///
    /// # Errors
    ///
    /// If a line is wrong, standard input cannot be read, the server refuses one, or standard
    /// output is gone.
    pub(crate) async fn all_or_none(self) -> miette::Result<Exit> {
        let mut lines = Lines::of_stdin();
        let (mut numbers, mut jobs) = (Vec::new(), Vec::new());
        while let Next::Line(line) = lines.next(FOR_EVER).await? {
            jobs.push(self.job(&line)?);
            numbers.push(line.number);
        }
        if jobs.is_empty() {
            return Ok(Exit::Done);
        }
        let what = format!("enqueue {} jobs at once", jobs.len());
        let ids = self.client.enqueue_all(jobs).await;
        let ids = ids.map_err(CallFailed::of(what))?;
        for (line, id) in numbers.into_iter().zip(ids) {
            self.output.show(&Enqueued { line, id })?;
        }
        Ok(Exit::Done)
    }

    async fn send(&self, jobs: Vec<(u64, Enqueue)>) -> miette::Result<Exit> {
        if jobs.is_empty() {
            return Ok(Exit::Done);
        }
        let (numbers, jobs): (Vec<_>, Vec<_>) = jobs.into_iter().unzip();
        let mut exit = Exit::Done;
        for (line, told) in numbers
            .into_iter()
            .zip(self.client.enqueue_batch(jobs).await)
        {
            match told {
                Ok(id) => self.output.show(&Enqueued { line, id })?,
                Err(cause) => {
                    let what = format!("enqueue the job of line {line}");
                    exit = exit.and(self.tell(&CallFailed::of(what)(cause).into(), line));
                }
            }
        }
        Ok(exit)
    }

    fn tell(&self, report: &Report, line: u64) -> Exit {
        let about = About {
            id: None,
            line: Some(line),
        };
        self.output.tell(report, &about)
    }

    fn job(&self, line: &Line) -> Result<Enqueue, InputError> {
        let what = format!("line {} of standard input", line.number);
        match self.shape {
            Shape::Payloads => {
                let payload = from_json(&line.bytes);
                let payload = payload.map_err(|why| InputError::Json { what, why })?;
                Ok(self.template.job(payload))
            }
            Shape::Jobs => {
                let job = self.job_of(&line.bytes);
                job.map_err(|why| InputError::Job { what, why })
            }
        }
    }

    fn job_of(&self, json: &[u8]) -> Result<Enqueue, String> {
        let given: JobLine<'_> = serde_json::from_slice(json).map_err(|why| why.to_string())?;
        let mut job = self.template.job(payload_of(given.payload)?);
        if let Some(group) = given.task_group {
            job.task_group = group;
        }
        if job.task_group.is_empty() {
            return Err("it has no task_group, and there is no --task-group".to_owned());
        }
        job.id = given.id.or(job.id);
        job.priority = given.priority.unwrap_or(job.priority);
        job.start_at_ms = given.start_at_ms.or(job.start_at_ms);
        job.retry_policy = given.retry_policy.map(Into::into).or(job.retry_policy);
        let limits = |given: Vec<Limit>| given.into_iter().map(Into::into).collect();
        job.limits = given.limits.map_or(job.limits, limits);
        job.metadata = given.metadata.unwrap_or(job.metadata);
        job.max_crashes = given.max_crashes.or(job.max_crashes);
        job.lease_ms = given.lease_ms.or(job.lease_ms);
        job.retention = given.retention.map(Into::into).or(job.retention);
        job.request_id = given.request_id.map(uuid::Uuid::into_bytes);
        Ok(job)
    }
}

/// A payload that stands within other JSON.
pub(crate) fn payload_of(json: Option<&RawValue>) -> Result<Bytes, String> {
    json.map_or(Ok(NIL), |json| from_json(json.get().as_bytes()))
}

impl Show for Enqueued {
    fn text(&self) -> String {
        self.id.clone()
    }
}
