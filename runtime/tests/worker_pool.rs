//! The tasks of a worker together, against a scripted server: how many, from where, and how they
//! end when the worker shuts down.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

mod client_fake;
mod worker_board;

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use client_fake::{Asked, Told, layout};
use silo_runtime::client::payload;
use silo_runtime::client::task::Outcome;
use silo_runtime::proto::report_outcome_request::Outcome as Reported;
use silo_runtime::proto::{
    LeaseTasksResponse, RefreshFloatingLimitTask, report_refresh_outcome_request,
};
use silo_runtime::worker::job::StopCause;
use silo_runtime::worker::options::WorkerOptions;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use worker_board::{Board, OnDrop, SOON, next, options};

#[tokio::test]
async fn draining_lets_running_tasks_end() {
    let mut board = Board::start(1, 10_000, Board::answer).await;
    let (begun, mut begins) = mpsc::unbounded_channel();
    let ending = CancellationToken::new();
    let end = ending.clone();
    let works = board.work(options(), move |_| {
        begun.send(()).unwrap();
        let end = end.clone();
        async move {
            end.cancelled().await;
            Outcome::Success(Bytes::new())
        }
    });
    next(&mut begins).await;
    works.shutdown.cancel();
    let asked = board.shared.leases_asked.load(Ordering::SeqCst);
    ending.cancel();
    works.end().await;
    assert!(matches!(
        board.report().await.outcome,
        Some(Reported::Success(_))
    ));
    let later = board.shared.leases_asked.load(Ordering::SeqCst);
    assert!(later <= asked + 1, "at most the request under way");
}

#[tokio::test]
async fn draining_gives_back_what_does_not_end() {
    let mut board = Board::start(2, 10_000, Board::answer).await;
    let (told, mut causes) = mpsc::unbounded_channel();
    let (begun, mut begins) = mpsc::unbounded_channel();
    let options = WorkerOptions {
        drain_timeout: Duration::from_millis(50),
        stop_grace: Duration::from_millis(50),
        ..options()
    };
    // One gives up when it is told to, with an answer that is only a consequence; one does not.
    let works = board.work(options, move |job| {
        begun.send(()).unwrap();
        let told = told.clone();
        async move {
            let _dropped = OnDrop(told);
            job.stop_token().cancelled().await;
            assert_eq!(job.stop_cause(), Some(StopCause::Shutdown));
            if job.task.id == "task 0" {
                Outcome::Cancelled
            } else {
                pending().await
            }
        }
    });
    next(&mut begins).await;
    next(&mut begins).await;
    works.end().await;
    for _ in 0..2 {
        assert_eq!(next(&mut causes).await, None, "dropped");
        let report = board.report().await;
        assert!(
            matches!(report.outcome, Some(Reported::Release(_))),
            "{report:?}"
        );
    }
}

#[tokio::test]
async fn what_is_leased_while_draining_goes_back_unrun() {
    let answering = CancellationToken::new();
    let gate = answering.clone();
    let mut board = Board::start(1, 10_000, move |board, asked| {
        let gate = gate.clone();
        async move {
            if let Asked::LeaseTasks(_) = asked {
                board.leases_asked.fetch_add(1, Ordering::SeqCst);
                board.heartbeats.send_modify(|_| {});
                gate.cancelled().await;
            }
            board.answer(asked).await
        }
    })
    .await;
    let mut asked = board.shared.heartbeats.subscribe();
    let works = board.work(options(), |_| async { panic!("must not run") });
    timeout(SOON, asked.changed()).await.unwrap().unwrap();
    works.shutdown.cancel();
    sleep(Duration::from_millis(20)).await; // the worker is draining now
    answering.cancel();
    works.end().await;
    let report = board.report().await;
    assert!(
        matches!(report.outcome, Some(Reported::Release(_))),
        "{report:?}"
    );
}

#[tokio::test]
async fn no_more_tasks_run_than_allowed() {
    // A server that gives more than it was asked for.
    let mut board = Board::start(30, 10_000, |board, asked| async move {
        match asked {
            Asked::LeaseTasks(mut request) => {
                assert!(request.max_tasks <= 4, "{request:?}");
                request.max_tasks += 2;
                board.answer(Asked::LeaseTasks(request)).await
            }
            other => board.answer(other).await,
        }
    })
    .await;
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (gauge, peak) = (Arc::clone(&running), Arc::clone(&most));
    let works = board.work(
        WorkerOptions {
            concurrency: 4,
            ..options()
        },
        move |_| {
            let gauge = Arc::clone(&gauge);
            peak.fetch_max(gauge.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            async move {
                sleep(Duration::from_millis(5)).await;
                gauge.fetch_sub(1, Ordering::SeqCst);
                Outcome::Success(Bytes::new())
            }
        },
    );
    let mut released = 0;
    for _ in 0..30 {
        released += usize::from(matches!(
            board.report().await.outcome,
            Some(Reported::Release(_))
        ));
    }
    works.end().await;
    assert_eq!(most.load(Ordering::SeqCst), 4);
    assert!(released > 0, "what there is no room for goes back");
}

#[tokio::test]
async fn a_worker_with_nothing_to_do_asks_seldom() {
    let board = Board::start(0, 10_000, Board::answer).await;
    let works = board.work(options(), |_| async { Outcome::Release });
    sleep(Duration::from_millis(600)).await;
    works.end().await;
    let asked = board.shared.leases_asked.load(Ordering::SeqCst);
    assert!((3..=20).contains(&asked), "{asked}");
}

#[tokio::test]
async fn a_server_that_does_not_wait_is_asked_again_and_again() {
    let refused = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refused);
    let mut board = Board::start(1, 10_000, move |board, asked| {
        let count = Arc::clone(&count);
        async move {
            match asked {
                Asked::LeaseTasks(request) if request.wait_ms > 0 => {
                    count.fetch_add(1, Ordering::SeqCst);
                    Err(Status::unimplemented("wait_ms"))
                }
                other => board.answer(other).await,
            }
        }
    })
    .await;
    let works = board.work(options(), |_| async { Outcome::Success(Bytes::new()) });
    board.report().await;
    works.end().await;
    assert_eq!(
        refused.load(Ordering::SeqCst),
        1,
        "it is not asked to wait twice"
    );
}

#[tokio::test]
async fn a_lease_that_was_waited_for_is_not_old() {
    // The server waited for longer than the lease that it then gave.
    let mut board = Board::start(1, 400, |board, asked| async move {
        let waits = matches!(asked, Asked::LeaseTasks(_));
        if waits {
            sleep(Duration::from_millis(600)).await;
        }
        let mut answer = board.answer(asked).await?;
        if let Told::LeaseTasks(leased) = &mut answer {
            leased.waited_ms = 590;
        }
        Ok(answer)
    })
    .await;
    let works = board.work(options(), |_| async { Outcome::Success("done".into()) });
    let report = board.report().await;
    assert_eq!(
        report.outcome,
        Some(Reported::Success(payload::pack("done".into())))
    );
    assert_eq!(*board.shared.heartbeats.borrow(), 0, "it has just begun");
    works.end().await;
}

#[tokio::test]
async fn every_node_is_asked_for_tasks() {
    let mut one = Board::start(1, 10_000, Board::answer).await;
    let mut two = Board::start(1, 10_000, Board::answer).await;
    let middle = "8000000000000000";
    for board in [&one, &two] {
        *board.fake.layout.lock().unwrap() = layout(&[
            (&one.fake.address, "one", "", middle),
            (&two.fake.address, "two", middle, ""),
        ]);
    }
    let works = one.work(options(), |_| async { Outcome::Success(Bytes::new()) });
    one.report().await; // its task names shard one
    timeout(SOON, async {
        while !two.shared.queue.lock().unwrap().is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .unwrap();
    one.report().await; // the other node's task names shard one too
    works.end().await;
    assert!(two.reports.try_recv().is_err());
}

#[tokio::test]
async fn a_refresh_of_a_limit_is_declined() {
    let (told, mut outcomes) = mpsc::unbounded_channel();
    let board = Board::start(0, 10_000, move |board, asked| {
        let told = told.clone();
        async move {
            match asked {
                Asked::LeaseTasks(_) if board.leases_asked.fetch_add(1, Ordering::SeqCst) == 0 => {
                    let task = RefreshFloatingLimitTask {
                        id: "refresh".to_owned(),
                        shard: "one".to_owned(),
                        lease_ms: 10_000,
                        ..RefreshFloatingLimitTask::default()
                    };
                    let refresh_tasks = vec![task];
                    Ok(Told::LeaseTasks(LeaseTasksResponse {
                        refresh_tasks,
                        ..LeaseTasksResponse::default()
                    }))
                }
                Asked::ReportRefreshOutcome(report) => {
                    told.send(report).unwrap();
                    Ok(Told::Nothing)
                }
                other => board.answer(other).await,
            }
        }
    })
    .await;
    let works = board.work(options(), |_| async { Outcome::Release });
    let report = next(&mut outcomes).await;
    assert_eq!(report.task_id, "refresh");
    let failed = matches!(
        report.outcome,
        Some(report_refresh_outcome_request::Outcome::Failure(it)) if it.code == "NOT_SUPPORTED"
    );
    assert!(failed);
    works.end().await;
}
