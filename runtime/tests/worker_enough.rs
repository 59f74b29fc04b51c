//! A worker that ends by itself when it has done enough, and one that may not drain for long,
//! against a scripted server.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

mod client_fake;
mod worker_board;

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use client_fake::Asked;
use silo_runtime::client::Client;
use silo_runtime::client::options::ClientOptions;
use silo_runtime::client::task::Outcome;
use silo_runtime::proto::Task;
use silo_runtime::proto::report_outcome_request::Outcome as Reported;
use silo_runtime::worker::Worker;
use silo_runtime::worker::job::Job;
use silo_runtime::worker::options::WorkerOptions;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use worker_board::{Board, SOON, next, options};

async fn worker<H, F>(board: &Board, options: WorkerOptions, handler: H) -> Worker
where
    H: Fn(Job) -> F + Send + Sync + 'static,
    F: Future<Output = Outcome> + Send + 'static,
{
    let addresses = ClientOptions::new([&board.fake.address]);
    Worker::new(Client::connect(addresses).await.unwrap(), options, handler)
}

async fn succeed(_: Job) -> Outcome {
    Outcome::Success(Bytes::new())
}

#[tokio::test]
async fn it_takes_no_more_than_so_many_tasks() {
    let most = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&most);
    let mut board = Board::start(5, 10_000, move |board, asked| {
        if let Asked::LeaseTasks(request) = &asked {
            let max = usize::try_from(request.max_tasks).unwrap();
            seen.fetch_max(max, Ordering::SeqCst);
        }
        Board::answer(board, asked)
    })
    .await;
    let options = WorkerOptions {
        tasks_max: Some(3),
        concurrency: 2,
        ..options()
    };
    let worker = worker(&board, options, succeed).await;
    let never = CancellationToken::new();
    timeout(SOON, worker.run(never)).await.unwrap();
    for _ in 0..3 {
        board.report().await;
    }
    assert_eq!(board.shared.queue.lock().unwrap().len(), 2);
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn it_ends_when_there_is_nothing_and_nothing_runs() {
    let mut board = Board::start(2, 10_000, Board::answer).await;
    let queue = Arc::clone(&board.shared.queue);
    let asked = Arc::clone(&board.shared.leases_asked);
    let options = WorkerOptions {
        ends_when_idle: true,
        ..options()
    };
    // The second enqueues a third, once the worker has been told that there is nothing.
    let worker = worker(&board, options, move |job| {
        let (queue, asked) = (Arc::clone(&queue), Arc::clone(&asked));
        async move {
            if job.task.id == "task 1" {
                let before = asked.load(Ordering::SeqCst);
                while asked.load(Ordering::SeqCst) < before + 3 {
                    tokio::task::yield_now().await;
                }
                queue.lock().unwrap().push_back(Task {
                    id: "task 2".to_owned(),
                    shard: "one".to_owned(),
                    lease_ms: 10_000,
                    ..Task::default()
                });
            }
            succeed(job).await
        }
    })
    .await;
    let never = CancellationToken::new();
    timeout(SOON, worker.run(never)).await.unwrap();
    let mut reported = Vec::new();
    for _ in 0..3 {
        reported.push(board.report().await.task_id);
    }
    reported.sort();
    assert_eq!(reported, ["task 0", "task 1", "task 2"]);
}

#[tokio::test]
async fn a_drain_may_be_cut_short() {
    let mut board = Board::start(1, 10_000, Board::answer).await;
    let (begun, mut begins) = mpsc::unbounded_channel();
    let options = WorkerOptions {
        drain_timeout: Duration::from_secs(3600),
        stop_grace: Duration::from_millis(50),
        ..options()
    };
    let worker = worker(&board, options, move |_| {
        begun.send(()).unwrap();
        pending()
    })
    .await;
    let give_back = worker.give_back_token();
    let shutdown = CancellationToken::new();
    let working = tokio::spawn(worker.run(shutdown.clone()));
    next(&mut begins).await;
    shutdown.cancel();
    give_back.cancel();
    timeout(SOON, working).await.unwrap().unwrap();
    let report = board.report().await;
    assert!(
        matches!(report.outcome, Some(Reported::Release(_))),
        "{report:?}"
    );
}
