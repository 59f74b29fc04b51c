//! One task, from its lease to its acknowledged report.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::Context;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span, info_span};

use crate::client::Client;
use crate::client::payload;
use crate::client::task::Outcome;
use crate::proto::Task;
use crate::trace::{TRACEPARENT, remote};
use crate::worker::job::{Job, Stop, StopCause};
use crate::worker::lease::{Lease, Lost};
use crate::worker::report::report;

/// The code of an attempt whose handler panicked.
const PANICKED: &str = "PANICKED";

/// The handler, its types forgotten.
pub(crate) type Handler =
    dyn Fn(Job) -> Pin<Box<dyn Future<Output = Outcome> + Send>> + Send + Sync;

/// What all tasks of a worker share.
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) worker_id: Arc<str>,
    pub(crate) stop_grace: Duration,
    /// Cancelled when running tasks are to be given back.
    pub(crate) give_back: CancellationToken,
    pub(crate) handler: Box<Handler>,
}

/// Runs a task leased at `sent` or later, and reports it. Its lease is kept until then. All of it
/// belongs to one span, a child of the span that the job's metadata names, if they do.
pub(crate) async fn run(shared: Arc<Shared>, task: Task, sent: Instant) {
    let span = span(&task);
    attempt(shared, task, sent).instrument(span).await;
}

fn span(task: &Task) -> Span {
    let parent = task.metadata.get(TRACEPARENT);
    let parent = parent.and_then(|parent| remote(parent, None));
    let _parent = parent.map(Context::attach);
    info_span!(
        "task",
        otel.kind = "consumer",
        id = task.id,
        task_group = task.task_group
    )
}

async fn attempt(shared: Arc<Shared>, task: Task, sent: Instant) {
    let lease = lease_of(&shared, &task, sent);
    let stop = Stop::default();
    let job = Job::new(Arc::new(task), stop.clone());
    // A set of one: dropping it stops the handler.
    let mut handler = JoinSet::new();
    let running = Arc::clone(&shared);
    handler.spawn(async move { (running.handler)(job).await }.in_current_span());

    let keep = lease.keep(&shared.client, || stop.ask(StopCause::Cancelled));
    tokio::pin!(keep);
    let lost = {
        let ended = end_of(&shared, &mut handler, &stop);
        tokio::select! {
            biased;
            outcome = ended => Ok(outcome),
            lost = &mut keep => Err(lost),
        }
    };
    match lost {
        Ok(outcome) => report_kept(&shared.client, &lease, outcome, keep).await,
        Err(lost) => {
            let why = match lost {
                Lost::Expired => "its time passed unconfirmed".to_owned(),
                Lost::Told(error) => error.to_string(),
            };
            tracing::warn!(task = %lease.task.id, why, "a lease was lost, stopping the task");
            stop.ask(StopCause::LeaseLost);
            let _ = timeout(shared.stop_grace, handler.join_next()).await;
        }
    }
}

/// Gives back a task that was never begun.
pub(crate) async fn give_back(shared: Arc<Shared>, task: Task, sent: Instant) {
    let lease = lease_of(&shared, &task, sent);
    let keep = lease.keep(&shared.client, || {});
    tokio::pin!(keep);
    report_kept(&shared.client, &lease, Outcome::Release, keep).await;
}

fn lease_of(shared: &Shared, task: &Task, sent: Instant) -> Lease {
    Lease::new(
        task.into(),
        Arc::clone(&shared.worker_id),
        task.lease_ms,
        sent,
    )
}

/// What the handler answers, or would not answer in time when the worker had to end.
async fn end_of(shared: &Shared, handler: &mut JoinSet<Outcome>, stop: &Stop) -> Outcome {
    tokio::select! {
        biased;
        ended = handler.join_next() => return outcome_of(ended),
        () = shared.give_back.cancelled() => stop.ask(StopCause::Shutdown),
    }
    // An answer other than a success is a consequence of having been stopped.
    match timeout(shared.stop_grace, handler.join_next())
        .await
        .map(outcome_of)
    {
        Ok(success @ Outcome::Success(_)) => success,
        Ok(
            Outcome::Failure { .. } | Outcome::Cancelled | Outcome::Release | Outcome::Snooze(_),
        )
        | Err(_) => {
            handler.shutdown().await;
            Outcome::Release
        }
    }
}

fn outcome_of(ended: Option<Result<Outcome, JoinError>>) -> Outcome {
    match ended {
        Some(Ok(outcome)) => outcome,
        Some(Err(error)) => match error.try_into_panic() {
            Ok(panic) => {
                let data = payload::message(panic_text(panic.as_ref()));
                Outcome::failure(PANICKED, data)
            }
            Err(_) => Outcome::Release,
        },
        None => Outcome::Release,
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message")
}

/// Reports while the lease is kept on. That it is lost does not end the reporting: the report may
/// have been taken just before, and only its answer lost.
async fn report_kept(
    client: &Client,
    lease: &Lease,
    outcome: Outcome,
    keep: Pin<&mut impl Future<Output = Lost>>,
) {
    let reported = report(client, lease, outcome);
    tokio::pin!(reported);
    tokio::select! {
        () = &mut reported => {}
        lost = keep => {
            tracing::debug!(task = %lease.task.id, ?lost, "lease lost, reporting all the same");
            reported.await;
        }
    }
}
