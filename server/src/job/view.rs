//! A job and its end as they are shown.

use std::collections::BTreeMap;

use miette::Diagnostic;
use serde::Serialize;
use silo_runtime::proto::get_job_result_response::Result as WireEnd;
use silo_runtime::proto::{GetJobResponse, GetJobResultResponse, JobAttempt};
use thiserror::Error;

use crate::data::Data;
use crate::exit::Exit;
use crate::failure::About;
use crate::job::shape::{Limit, RetryPolicy, Status};
use crate::moment::{between, now_ms, shown};
use crate::output::{Output, Show, on_one_line, say};
use crate::table::{facts, table};

/// A job as it stands. Absent values are null.
#[derive(Debug, Serialize)]
pub(crate) struct JobView {
    id: String,
    task_group: String,
    status: Status,
    priority: u32,
    enqueue_time_ms: i64,
    status_changed_at_ms: i64,
    next_attempt_starts_after_ms: Option<i64>,
    retries_used: u32,
    crashes: u32,
    end_code: Option<String>,
    retry_policy: Option<RetryPolicy>,
    limits: Vec<Limit>,
    metadata: BTreeMap<String, String>,
    payload: Data,
    result: Option<Data>,
    /// Null if they were not asked for.
    attempts: Option<Vec<AttemptView>>,
}

#[derive(Debug, Serialize)]
struct AttemptView {
    attempt_number: u32,
    task_id: String,
    status: Status,
    started_at_ms: i64,
    finished_at_ms: Option<i64>,
    result: Option<Data>,
    error_code: Option<String>,
    error_data: Option<Data>,
}

impl JobView {
    pub(crate) fn new(job: GetJobResponse, with_attempts: bool) -> Self {
        let status = job.status().into();
        let attempts = job.attempts.into_iter().map(AttemptView::new);
        Self {
            id: job.id,
            task_group: job.task_group,
            status,
            priority: job.priority,
            enqueue_time_ms: job.enqueue_time_ms,
            status_changed_at_ms: job.status_changed_at_ms,
            next_attempt_starts_after_ms: job.next_attempt_starts_after_ms,
            retries_used: job.retries_used,
            crashes: job.crashes,
            end_code: job.end_code,
            retry_policy: job.retry_policy.map(Into::into),
            limits: job.limits.into_iter().filter_map(Limit::of_wire).collect(),
            metadata: job.metadata,
            payload: Data::of_wire(job.payload),
            result: job.result.map(|result| Data::of_wire(Some(result))),
            attempts: with_attempts.then(|| attempts.collect()),
        }
    }

    fn retries(&self) -> String {
        let most = self.retry_policy.as_ref().map_or(0, |it| it.retry_count);
        format!("{} of {most} used", self.retries_used)
    }
}

impl AttemptView {
    fn new(attempt: JobAttempt) -> Self {
        let some = |packed| Data::of_wire(Some(packed));
        Self {
            status: attempt.status().into(),
            attempt_number: attempt.attempt_number,
            task_id: attempt.task_id,
            started_at_ms: attempt.started_at_ms,
            finished_at_ms: attempt.finished_at_ms,
            result: attempt.result.map(some),
            error_code: attempt.error_code,
            error_data: attempt.error_data.map(some),
        }
    }

    fn row(&self) -> [String; 5] {
        let took = self.finished_at_ms.map_or_else(
            || format!("{} so far", between(self.started_at_ms, now_ms())),
            |finished| between(self.started_at_ms, finished),
        );
        let error = self.error_code.iter().cloned();
        let error = error.chain(self.error_data.as_ref().map(Data::json));
        [
            self.attempt_number.to_string(),
            self.status.word().to_owned(),
            shown(self.started_at_ms),
            took,
            error.collect::<Vec<_>>().join(" "),
        ]
    }
}

impl Show for JobView {
    fn text(&self) -> String {
        let metadata = self.metadata.iter();
        let metadata: Vec<_> = metadata
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let limits: Vec<_> = self.limits.iter().map(Limit::text).collect();
        let next = self.next_attempt_starts_after_ms;
        let mut text = facts(&[
            ("id", Some(self.id.clone())),
            ("task group", Some(self.task_group.clone())),
            ("status", Some(self.status.word().to_owned())),
            ("since", Some(shown(self.status_changed_at_ms))),
            ("end code", self.end_code.clone()),
            ("starts", next.map(shown)),
            ("enqueued", Some(shown(self.enqueue_time_ms))),
            ("priority", Some(self.priority.to_string())),
            ("retries", Some(self.retries())),
            (
                "crashes",
                (self.crashes > 0).then(|| self.crashes.to_string()),
            ),
            (
                "limits",
                (!self.limits.is_empty()).then(|| limits.join(" ")),
            ),
            (
                "metadata",
                (!metadata.is_empty()).then(|| metadata.join(" ")),
            ),
            ("payload", Some(self.payload.json())),
            ("result", self.result.as_ref().map(Data::json)),
        ]);
        if let Some(attempts) = self.attempts.as_ref().filter(|it| !it.is_empty()) {
            let header = ["ATTEMPT", "STATUS", "STARTED", "TOOK", "ERROR"];
            text.push_str("\n\n");
            text.push_str(&table(header, attempts.iter().map(AttemptView::row)));
        }
        text
    }
}

/// How a job has ended. Absent values are null.
#[derive(Debug, Serialize)]
pub(crate) struct EndView {
    id: String,
    status: Status,
    finished_at_ms: i64,
    result: Option<Data>,
    error_code: Option<String>,
    error_data: Option<Data>,
}

/// That a job did not end well.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum NotWell {
    #[error("job {id} failed with code {}", on_one_line(code))]
    #[diagnostic(
        code(silo::job::failed),
        help("`silo job get {id}` shows its attempts, `silo job restart {id}` runs it again")
    )]
    Failed {
        id: String,
        code: String,
        #[source]
        data: Told,
    },
    #[error("job {id} was cancelled")]
    #[diagnostic(
        code(silo::job::cancelled),
        help("`silo job restart {id}` runs it again")
    )]
    Cancelled { id: String },
    #[error("job {id} has not ended yet: it is {}", status.word())]
    #[diagnostic(code(silo::job::not_yet), help("wait longer, or without --timeout"))]
    NotYet { id: String, status: Status },
}

/// The error data of a failure.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct Told(String);

impl EndView {
    pub(crate) fn new(end: GetJobResultResponse) -> Self {
        let mut view = Self {
            status: end.status().into(),
            id: end.id,
            finished_at_ms: end.finished_at_ms,
            result: None,
            error_code: None,
            error_data: None,
        };
        match end.result {
            Some(WireEnd::SuccessData(data)) => view.result = Some(Data::of_wire(Some(data))),
            Some(WireEnd::Failure(failure)) => {
                view.error_code = Some(failure.error_code);
                view.error_data = Some(Data::of_wire(failure.error_data));
            }
            Some(WireEnd::Cancelled(_)) | None => {}
        }
        view
    }

    /// Shows it: for people the result alone on standard output, and what went wrong on standard
    /// error; for programs one document whatever became of the job.
    ///
    /// # Errors
    ///
    /// If standard output is gone.
    pub(crate) fn show(self, output: Output) -> miette::Result<Exit> {
        let exit = match self.status {
            Status::Failed => Exit::JobFailed,
            Status::Cancelled => Exit::JobCancelled,
            Status::Scheduled | Status::Running | Status::Succeeded => Exit::Done,
        };
        if output == Output::Json {
            output.show(&self)?;
            return Ok(exit);
        }
        let id = self.id;
        match self.status {
            Status::Failed => {
                let code = self.error_code.unwrap_or_default();
                let data = self.error_data.map(|data| data.json());
                let data = Told(data.unwrap_or_default());
                Ok(output.tell(
                    &NotWell::Failed { id, code, data }.into(),
                    &About::default(),
                ))
            }
            Status::Cancelled => {
                Ok(output.tell(&NotWell::Cancelled { id }.into(), &About::default()))
            }
            Status::Scheduled | Status::Running | Status::Succeeded => {
                say(&self.result.map(|data| data.json()).unwrap_or_default())?;
                Ok(exit)
            }
        }
    }
}

impl Show for EndView {
    fn text(&self) -> String {
        self.result.as_ref().map(Data::json).unwrap_or_default()
    }
}
