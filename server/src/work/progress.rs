//! What is said of each job: a line on standard error for people, a JSON object on standard output
//! for programs.

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use miette::Report;
use serde::Serialize;
use silo_runtime::client::task::{Outcome, Retry};
use silo_runtime::worker::job::{Job, StopCause};
use silo_runtime::worker::options::WorkerOptions;
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;

use crate::exit::Exit;
use crate::moment::{millis, now_ms, shown};
use crate::output::{Output, OutputError, Show, on_one_line};
use crate::work::ending::{Ended, Stopped};

/// What was said so far.
pub(crate) struct Progress {
    output: Output,
    /// Cancelled when nobody hears what is said any more.
    shutdown: CancellationToken,
    unheard: Mutex<Option<OutputError>>,
    succeeded: AtomicU64,
    others: AtomicU64,
}

/// What became of one run of a job, as it is reported. Absent values are null.
#[derive(Debug, Serialize)]
struct Run<'a> {
    job_id: &'a str,
    task_id: &'a str,
    tenant: Option<&'a str>,
    attempt_number: u32,
    outcome: Word,
    error_code: Option<&'a str>,
    /// In how long the job comes back; null where that is not the worker's to say.
    snooze_ms: Option<i64>,
    /// Whether its retry policy may bring it back.
    is_retryable: bool,
    duration_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Succeeded,
    Failed,
    Cancelled,
    /// It comes back later.
    Snoozed,
    /// It went back unfinished.
    Released,
    /// Its lease was lost: what it did counts for nothing.
    Lost,
}

impl Progress {
    pub(crate) fn new(output: Output, shutdown: CancellationToken) -> Self {
        Self {
            output,
            shutdown,
            unheard: Mutex::new(None),
            succeeded: AtomicU64::new(0),
            others: AtomicU64::new(0),
        }
    }

    /// Says who works on what.
    pub(crate) fn begin(&self, options: &WorkerOptions) {
        let WorkerOptions {
            task_group,
            worker_id,
            concurrency,
            ..
        } = options;
        self.note(&format!(
            "{worker_id} takes jobs of {}, {concurrency} at once",
            on_one_line(task_group)
        ));
    }

    /// Says what became of one run.
    pub(crate) fn ended(&self, job: &Job, ended: &Ended) {
        let run = Run::new(job, ended);
        let count = if run.outcome == Word::Succeeded {
            &self.succeeded
        } else {
            &self.others
        };
        count.fetch_add(1, Ordering::Relaxed);
        match self.output {
            Output::Text => self.note(&run.text()),
            Output::Json => {
                if let Err(error) = block_in_place(|| self.output.show(&run)) {
                    let mut unheard = self.unheard.lock().unwrap_or_else(PoisonError::into_inner);
                    unheard.get_or_insert(error);
                    self.shutdown.cancel();
                }
            }
        }
    }

    /// A line for people.
    pub(crate) fn note(&self, text: &str) {
        if self.output == Output::Text {
            say_aside(&format!("{} {text}", shown(now_ms())));
        }
    }

    /// Says how much was done.
    ///
    /// # Errors
    ///
    /// If it ended because nobody heard what was said.
    pub(crate) fn end(&self) -> miette::Result<Exit> {
        let succeeded = self.succeeded.load(Ordering::Relaxed);
        let others = self.others.load(Ordering::Relaxed);
        self.note(&format!("done: {succeeded} succeeded, {others} did not"));
        let unheard = self
            .unheard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        unheard.map_or(Ok(Exit::Done), |error| Err(Report::from(error)))
    }
}

/// A line on standard error. Whoever reads it may stop doing so for a while: leases must be
/// extended meanwhile, so the other tasks of this thread go on on another one.
pub(crate) fn say_aside(text: &str) {
    let line = format!("{text}\n");
    // Should nobody read it any more, the jobs go on.
    let _ = block_in_place(|| std::io::stderr().write_all(line.as_bytes()));
}

impl<'a> Run<'a> {
    fn new(job: &'a Job, ended: &'a Ended) -> Self {
        let task = &job.task;
        let snooze = |pause: Duration| Some(millis(pause));
        let (outcome, error_code, snooze_ms) = match &ended.outcome {
            Outcome::Success(_) => (Word::Succeeded, None, None),
            Outcome::Failure { code, .. } => (Word::Failed, Some(code.as_str()), None),
            Outcome::Cancelled => (Word::Cancelled, None, None),
            Outcome::Release => (Word::Released, None, None),
            Outcome::Snooze(pause) => (Word::Snoozed, None, snooze(*pause)),
        };
        let is_lost = ended.stopped == Some(Stopped::ByWorker(StopCause::LeaseLost));
        let is_final = |retry: &Retry| *retry == Retry::Never || task.is_last_attempt;
        Self {
            job_id: &task.job_id,
            task_id: &task.id,
            tenant: task.tenant_id.as_deref(),
            attempt_number: task.attempt_number,
            outcome: if is_lost { Word::Lost } else { outcome },
            error_code,
            snooze_ms,
            is_retryable: match &ended.outcome {
                Outcome::Failure { retry, .. } => !is_final(retry),
                Outcome::Success(_) | Outcome::Cancelled => false,
                Outcome::Release | Outcome::Snooze(_) => true,
            },
            duration_ms: millis(ended.took),
        }
    }
}

impl Show for Run<'_> {
    fn text(&self) -> String {
        let word = match self.outcome {
            Word::Succeeded => "succeeded",
            Word::Failed => "failed",
            Word::Cancelled => "was cancelled",
            Word::Snoozed => "comes back later",
            Word::Released => "was given back",
            Word::Lost => "lost its lease",
        };
        let code = self
            .error_code
            .map(|code| format!(" with {}", on_one_line(code)));
        let retry = match self.outcome {
            Word::Failed if self.is_retryable => ", to be retried",
            Word::Failed => ", for good",
            Word::Succeeded | Word::Cancelled | Word::Snoozed | Word::Released | Word::Lost => "",
        };
        format!(
            "job {} attempt {} {word}{}{retry} after {}",
            self.job_id,
            self.attempt_number,
            code.unwrap_or_default(),
            humantime::format_duration(Duration::from_millis(
                u64::try_from(self.duration_ms).unwrap_or_default()
            )),
        )
    }
}
