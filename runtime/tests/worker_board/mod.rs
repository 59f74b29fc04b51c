//! A server with a queue of tasks, and a worker that works it off.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::arithmetic_side_effects)]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use silo_runtime::client::Client;
use silo_runtime::client::options::ClientOptions;
use silo_runtime::client::payload;
use silo_runtime::client::task::Outcome;
use silo_runtime::proto::{HeartbeatResponse, LeaseTasksResponse, ReportOutcomeRequest, Task};
use silo_runtime::worker::Worker;
use silo_runtime::worker::job::{Job, StopCause};
use silo_runtime::worker::options::WorkerOptions;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::client_fake::{Answer, Asked, Fake, Told};

/// Longer than anything here takes, if it comes at all.
pub const SOON: Duration = Duration::from_secs(10);

/// A server with a queue of tasks.
pub struct Board {
    pub fake: Fake,
    pub shared: Shared,
    pub reports: mpsc::UnboundedReceiver<ReportOutcomeRequest>,
}

/// What the server's script can reach.
#[derive(Clone)]
pub struct Shared {
    pub queue: Arc<Mutex<VecDeque<Task>>>,
    pub heartbeats: watch::Sender<usize>,
    pub leases_asked: Arc<AtomicUsize>,
    pub acknowledged: mpsc::UnboundedSender<ReportOutcomeRequest>,
}

impl Board {
    /// The usual answer to everything.
    pub async fn answer(shared: Shared, asked: Asked) -> Answer {
        shared.answer(asked).await
    }

    pub async fn start<F>(
        tasks: usize,
        lease_ms: i64,
        script: impl Fn(Shared, Asked) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let queue = (0..tasks)
            .map(|number| Task {
                id: format!("task {number}"),
                job_id: format!("job {number}"),
                shard: "one".to_owned(),
                payload: Some(payload::pack(format!("payload {number}").into())),
                lease_ms,
                ..Task::default()
            })
            .collect();
        let (acknowledged, reports) = mpsc::unbounded_channel();
        let shared = Shared {
            queue: Arc::new(Mutex::new(queue)),
            heartbeats: watch::Sender::new(0),
            leases_asked: Arc::default(),
            acknowledged,
        };
        let seen = shared.clone();
        let fake = Fake::start(move |asked, _| script(seen.clone(), asked)).await;
        Self {
            fake,
            shared,
            reports,
        }
    }

    /// Starts a worker.
    pub fn work<H, F>(&self, options: WorkerOptions, handler: H) -> Works
    where
        H: Fn(Job) -> F + Send + Sync + 'static,
        F: Future<Output = Outcome> + Send + 'static,
    {
        let addresses = ClientOptions::new([&self.fake.address]);
        let shutdown = CancellationToken::new();
        let token = shutdown.clone();
        let task = tokio::spawn(async move {
            let client = Client::connect(addresses).await.unwrap();
            Worker::new(client, options, handler).run(token).await;
        });
        Works { shutdown, task }
    }

    /// The next report that was acknowledged.
    pub async fn report(&mut self) -> ReportOutcomeRequest {
        next(&mut self.reports).await
    }
}

impl Shared {
    pub async fn answer(&self, asked: Asked) -> Answer {
        Ok(match asked {
            Asked::LeaseTasks(request) => {
                self.leases_asked.fetch_add(1, Ordering::SeqCst);
                let mut queue = self.queue.lock().unwrap();
                let count = queue.len().min(usize::try_from(request.max_tasks).unwrap());
                let tasks = queue.drain(..count).collect();
                Told::LeaseTasks(LeaseTasksResponse {
                    tasks,
                    ..LeaseTasksResponse::default()
                })
            }
            Asked::Heartbeat(_) => {
                self.heartbeats.send_modify(|count| *count += 1);
                Told::Heartbeat(HeartbeatResponse::default())
            }
            Asked::ReportOutcome(request) => {
                self.acknowledged.send(request).unwrap();
                Told::Nothing
            }
            other => return Err(Status::unimplemented(format!("{other:?}"))),
        })
    }
}

/// A worker at work.
pub struct Works {
    pub shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Works {
    /// Shuts it down and waits until nothing of it runs.
    pub async fn end(self) {
        self.shutdown.cancel();
        timeout(SOON, self.task)
            .await
            .expect("the worker drains in time")
            .unwrap();
    }
}

/// Says `None` when it is dropped.
pub struct OnDrop(pub mpsc::UnboundedSender<Option<StopCause>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        let _ = self.0.send(None);
    }
}

pub async fn next<T>(receiver: &mut mpsc::UnboundedReceiver<T>) -> T {
    timeout(SOON, receiver.recv())
        .await
        .expect("it comes soon")
        .unwrap()
}

pub fn options() -> WorkerOptions {
    WorkerOptions::new("group", "worker")
}
