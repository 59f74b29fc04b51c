//! A worker: leases tasks of one task group, runs a handler for each, keeps their leases and
//! reports their outcomes.
//!
//! A task's lease is extended until its report is acknowledged. A task whose lease could not be
//! confirmed in time, measured on this side's monotonic clock from before the request was sent, is
//! stopped: another worker may be running the job.

mod enough;
pub mod job;
mod lease;
pub mod options;
mod refresh;
mod report;
mod run;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::client::backoff::Backoff;
use crate::client::error::Error;
use crate::client::task::{Leased, Outcome};
use crate::client::time::later;
use crate::proto::LeaseTasksRequest;
use crate::worker::enough::Enough;
use crate::worker::job::Job;
use crate::worker::options::WorkerOptions;
use crate::worker::run::{Shared, give_back, run};

/// The longest a request for tasks may take, waiting aside: leases that come later are half gone.
const LEASE_CALL_MAX: Duration = Duration::from_secs(5);
/// No server waits longer.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A worker, not yet running.
pub struct Worker {
    options: WorkerOptions,
    shared: Arc<Shared>,
}

/// A request for tasks under way. It must be heard out: tasks that nobody hears of stay leased.
type Asking = Pin<Box<dyn Future<Output = Result<Leased, Error>> + Send>>;

impl Worker {
    /// A worker that runs `handler` for each task. The handler is run concurrently, at most
    /// `concurrency` at once; a panic in it fails the task with code `PANICKED`.
    pub fn new<H, F>(client: Client, options: WorkerOptions, handler: H) -> Self
    where
        H: Fn(Job) -> F + Send + Sync + 'static,
        F: Future<Output = Outcome> + Send + 'static,
    {
        let shared = Shared {
            client,
            worker_id: options.worker_id.as_str().into(),
            stop_grace: options.stop_grace,
            give_back: CancellationToken::new(),
            handler: Box::new(move |job| Box::pin(handler(job))),
        };
        Self {
            options,
            shared: Arc::new(shared),
        }
    }

    /// To be cancelled besides `shutdown` when a drain must not last: what runs is told to stop and
    /// given back as if `drain_timeout` had passed.
    pub fn give_back_token(&self) -> CancellationToken {
        self.shared.give_back.clone()
    }

    /// Works until `shutdown` is cancelled, then drains: it leases no more, lets what runs end for
    /// `drain_timeout`, and gives the rest back. Answers when nothing of it runs any more. Errors
    /// are waited out; nothing but `shutdown` ends it, unless its options say when it has done
    /// enough. Dropping the future stops all handlers at once and leaves their leases to expire.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut running = JoinSet::new();
        let mut idle = Idle::new(&self.options);
        let mut asking: Option<Asking> = None;
        let mut enough = Enough::new(&self.options);
        while !(asking.is_none() && running.is_empty() && enough.is_reached()) {
            let room = enough.room(self.concurrency().saturating_sub(running.len()));
            let has_room = room > 0;
            if asking.is_none() && has_room && idle.is_over() {
                let nodes = self.shared.client.nodes();
                let wait = enough.wait(idle.begin(nodes));
                enough.begin(running.is_empty(), nodes);
                asking = Some(self.ask(room, wait));
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                _ = running.join_next(), if !running.is_empty() => {}
                answer = heard(&mut asking), if asking.is_some() => {
                    asking = None;
                    idle.heard(&answer, self.shared.client.nodes());
                    enough.heard(&answer);
                    self.begin(answer, &mut running);
                }
                () = sleep_until(idle.until), if asking.is_none() && has_room => {}
            }
        }
        self.drain(running, asking).await;
    }

    fn ask(&self, room: usize, wait: Duration) -> Asking {
        let request = LeaseTasksRequest {
            worker_id: self.options.worker_id.clone(),
            max_tasks: u32::try_from(room).unwrap_or(u32::MAX),
            task_group: self.options.task_group.clone(),
            lease_ms: self.options.lease_ms,
            wait_ms: u32::try_from(wait.as_millis()).unwrap_or(u32::MAX),
            ..LeaseTasksRequest::default()
        };
        let client = self
            .shared
            .client
            .with_deadline(LEASE_CALL_MAX.saturating_add(wait));
        Box::pin(async move { client.lease_tasks(request).await })
    }

    /// Runs what was leased; what there is no room for goes back.
    fn begin(&self, answer: Result<Leased, Error>, running: &mut JoinSet<()>) {
        let Some(leased) = told(answer) else { return };
        for task in leased.response.tasks {
            let shared = Arc::clone(&self.shared);
            if running.len() < self.concurrency() {
                running.spawn(run(shared, task, leased.sent));
            } else {
                tracing::warn!(task = task.id, "more tasks were leased than asked for");
                running.spawn(give_back(shared, task, leased.sent));
            }
        }
        for task in leased.response.refresh_tasks {
            running.spawn(refresh::decline(
                Arc::clone(&self.shared),
                task,
                leased.sent,
            ));
        }
    }

    async fn drain(self, mut running: JoinSet<()>, mut asking: Option<Asking>) {
        let patience = later(Instant::now(), self.options.drain_timeout);
        let give_back = &self.shared.give_back;
        while asking.is_some() || !running.is_empty() {
            tokio::select! {
                biased;
                () = sleep_until(patience), if !give_back.is_cancelled() => give_back.cancel(),
                answer = heard(&mut asking), if asking.is_some() => {
                    asking = None;
                    self.return_all(answer, &mut running);
                }
                _ = running.join_next(), if !running.is_empty() => {}
            }
        }
    }

    /// Gives back what was leased when it was not wanted any more.
    fn return_all(&self, answer: Result<Leased, Error>, running: &mut JoinSet<()>) {
        let Some(leased) = told(answer) else { return };
        for task in leased.response.tasks {
            running.spawn(give_back(Arc::clone(&self.shared), task, leased.sent));
        }
        for task in leased.response.refresh_tasks {
            running.spawn(refresh::decline(
                Arc::clone(&self.shared),
                task,
                leased.sent,
            ));
        }
    }

    fn concurrency(&self) -> usize {
        self.options.concurrency.max(1)
    }
}

/// When to ask for tasks again.
struct Idle {
    backoff: Backoff,
    max: Duration,
    until: Instant,
    /// Answers in a row that gave nothing.
    empty: usize,
    /// How long a node may wait; zero once one has said that it does not.
    wait: Duration,
    /// When it was asked, and how long it may wait this time.
    asked: (Instant, Duration),
}

impl Idle {
    fn new(options: &WorkerOptions) -> Self {
        let min = options.idle_min.max(Duration::from_millis(1));
        let max = options.idle_max.max(min);
        Self {
            backoff: Backoff::new(min, max),
            max,
            until: Instant::now(),
            empty: 0,
            wait: options.wait.min(WAIT_MAX),
            asked: (Instant::now(), Duration::ZERO),
        }
    }

    /// Says how long the next node may wait: only the last of a round, once the others had nothing,
    /// and not long while there are others.
    fn begin(&mut self, nodes: usize) -> Duration {
        let is_last = self.empty.saturating_add(1) >= nodes;
        let wait = match (is_last, nodes) {
            (false, _) => Duration::ZERO,
            (true, 0 | 1) => self.wait,
            (true, _) => self.wait.min(self.max),
        };
        self.asked = (Instant::now(), wait);
        wait
    }

    /// Whether the node has waited, and did not say at once that there was nothing.
    fn has_waited(&self) -> bool {
        let (at, wait) = self.asked;
        !wait.is_zero() && at.elapsed() >= wait.checked_div(2).unwrap_or(wait)
    }

    fn is_over(&self) -> bool {
        self.until <= Instant::now()
    }

    /// After tasks ask at once, and after a node has waited; after nothing wait, once every node
    /// has been asked; after an error wait longest.
    fn heard(&mut self, answer: &Result<Leased, Error>, nodes: usize) {
        let pause = match answer {
            Ok(leased) if !leased.response.tasks.is_empty() => {
                self.backoff.reset();
                self.empty = 0;
                Duration::ZERO
            }
            Ok(_) => {
                self.empty = self.empty.saturating_add(1);
                if self.empty < nodes {
                    Duration::ZERO
                } else if self.has_waited() {
                    self.empty = 0;
                    Duration::ZERO
                } else {
                    self.empty = 0;
                    self.backoff.pause()
                }
            }
            Err(error) if error.is_unimplemented() && !self.wait.is_zero() => {
                self.wait = Duration::ZERO;
                Duration::ZERO
            }
            Err(_) => self.max,
        };
        self.until = later(Instant::now(), pause);
    }
}

fn told(answer: Result<Leased, Error>) -> Option<Leased> {
    answer
        .inspect_err(|error| tracing::warn!(%error, "no tasks could be leased"))
        .ok()
}

async fn heard(asking: &mut Option<Asking>) -> Result<Leased, Error> {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}
