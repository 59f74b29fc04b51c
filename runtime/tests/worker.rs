//! One task in a worker, against a scripted server: its lease kept or lost, its outcome reported.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

mod client_fake;
mod worker_board;

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use client_fake::{Asked, Told};
use silo_runtime::client::payload;
use silo_runtime::client::task::Outcome;
use silo_runtime::proto::report_outcome_request::Outcome as Reported;
use silo_runtime::proto::{HeartbeatResponse, ReportOutcomeRequest};
use silo_runtime::worker::job::StopCause;
use silo_runtime::worker::options::WorkerOptions;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tonic::Status;
use worker_board::{Board, OnDrop, SOON, next, options};

#[tokio::test]
async fn a_task_is_run_and_its_success_reported() {
    let mut board = Board::start(1, 10_000, Board::answer).await;
    let works = board.work(options(), |job| async move {
        assert_eq!(job.payload(), "payload 0");
        Outcome::Success("result".into())
    });
    let report = board.report().await;
    assert_eq!(
        (report.task_id.as_str(), report.shard.as_str()),
        ("task 0", "one")
    );
    assert_eq!(
        report.outcome,
        Some(Reported::Success(payload::pack("result".into())))
    );
    works.end().await;
}

#[tokio::test]
async fn a_lease_is_kept_until_the_report_is_acknowledged() {
    let mut board = Board::start(1, 200, |board, asked| async move {
        if let Asked::ReportOutcome(_) = asked {
            // Six heartbeats, at a third of the lease each, are twice the lease.
            let seen = *board.heartbeats.borrow();
            board
                .heartbeats
                .subscribe()
                .wait_for(|now| *now >= seen + 6)
                .await
                .unwrap();
        }
        board.answer(asked).await
    })
    .await;
    let works = board.work(options(), |_| async { Outcome::Success(Bytes::new()) });
    let report = board.report().await;
    assert_eq!(
        report.outcome,
        Some(Reported::Success(payload::pack(payload::NIL)))
    );
    works.end().await;

    let after = *board.shared.heartbeats.borrow();
    sleep(Duration::from_millis(200)).await;
    assert_eq!(
        *board.shared.heartbeats.borrow(),
        after,
        "no heartbeat after the end"
    );
}

#[tokio::test]
async fn a_heartbeat_that_is_lost_does_not_lose_the_lease() {
    let mut board = Board::start(1, 300, |board, asked| async move {
        if matches!(asked, Asked::Heartbeat(_)) {
            board.heartbeats.send_modify(|count| *count += 1);
            let beat = *board.heartbeats.borrow();
            match beat {
                1 => return pending().await,
                2 => return Err(Status::internal("a passing fault")),
                _ => {}
            }
            return Ok(Told::Heartbeat(HeartbeatResponse::default()));
        }
        board.answer(asked).await
    })
    .await;
    let beats = board.shared.heartbeats.subscribe();
    let works = board.work(options(), move |job| {
        let mut beats = beats.clone();
        async move {
            tokio::select! {
                () = job.stop_token().cancelled() => Outcome::Cancelled,
                _ = beats.wait_for(|count| *count >= 8) => Outcome::Success("kept".into()),
            }
        }
    });
    let report = board.report().await;
    assert_eq!(
        report.outcome,
        Some(Reported::Success(payload::pack("kept".into())))
    );
    works.end().await;
}

#[tokio::test]
async fn a_task_whose_lease_passes_unconfirmed_is_stopped_and_dropped() {
    let mut board = Board::start(1, 200, |board, asked| async move {
        match asked {
            Asked::Heartbeat(_) => pending().await,
            other => board.answer(other).await,
        }
    })
    .await;
    let (told, mut causes) = mpsc::unbounded_channel();
    let begun = Instant::now();
    let options = WorkerOptions {
        stop_grace: Duration::from_millis(50),
        ..options()
    };
    let works = board.work(options, move |job| {
        let told = told.clone();
        async move {
            let _dropped = OnDrop(told.clone());
            job.stop_token().cancelled().await;
            told.send(job.stop_cause()).unwrap();
            pending().await
        }
    });
    assert_eq!(next(&mut causes).await, Some(StopCause::LeaseLost));
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_millis(180),
        "stopped before its time: {took:?}"
    );
    assert!(
        took < Duration::from_millis(1_500),
        "stopped too late: {took:?}"
    );
    assert_eq!(
        next(&mut causes).await,
        None,
        "a handler that goes on is dropped"
    );
    works.end().await;
    assert!(
        board.reports.try_recv().is_err(),
        "a lost task is not reported"
    );
}

#[tokio::test]
async fn a_task_whose_lease_is_said_to_be_lost_is_stopped() {
    for lost in [
        Status::not_found("lease not found"),
        Status::failed_precondition("lease owner mismatch"),
    ] {
        let mut board = Board::start(1, 600, move |board, asked| {
            let lost = lost.clone();
            async move {
                match asked {
                    Asked::Heartbeat(_) => Err(lost),
                    other => board.answer(other).await,
                }
            }
        })
        .await;
        let (told, mut causes) = mpsc::unbounded_channel();
        let begun = Instant::now();
        let works = board.work(options(), move |job| {
            let told = told.clone();
            async move {
                job.stop_token().cancelled().await;
                told.send(job.stop_cause()).unwrap();
                Outcome::Cancelled
            }
        });
        assert_eq!(next(&mut causes).await, Some(StopCause::LeaseLost));
        assert!(
            begun.elapsed() < Duration::from_millis(550),
            "told, not waited out"
        );
        works.end().await;
        assert!(
            board.reports.try_recv().is_err(),
            "a lost task is not reported"
        );
    }
}

#[tokio::test]
async fn cancellation_reaches_the_handler() {
    let mut board = Board::start(1, 300, |board, asked| async move {
        match asked {
            Asked::Heartbeat(_) => Ok(Told::Heartbeat(HeartbeatResponse {
                cancelled: true,
                cancelled_at_ms: Some(1),
            })),
            other => board.answer(other).await,
        }
    })
    .await;
    let works = board.work(options(), |job| async move {
        job.stop_token().cancelled().await;
        assert_eq!(job.stop_cause(), Some(StopCause::Cancelled));
        Outcome::Cancelled
    });
    assert!(matches!(
        board.report().await.outcome,
        Some(Reported::Cancelled(_))
    ));
    works.end().await;
}

#[tokio::test]
async fn a_panic_fails_the_task() {
    let mut board = Board::start(1, 10_000, Board::answer).await;
    let works = board.work(
        options(),
        |job| async move { panic!("no {}", job.task.job_id) },
    );
    let Some(Reported::Failure(failure)) = board.report().await.outcome else {
        panic!("not a failure")
    };
    assert_eq!(failure.code, "PANICKED");
    assert_eq!(payload::unpack(failure.data), payload::message("no job 0"));
    works.end().await;
}

#[tokio::test]
async fn a_report_is_repeated_until_it_is_taken() {
    let tries = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tries);
    let mut board = Board::start(1, 10_000, move |board, asked| {
        let failure = match &asked {
            Asked::ReportOutcome(report) => {
                assert!(matches!(report.outcome, Some(Reported::Success(_))));
                match count.fetch_add(1, Ordering::SeqCst) {
                    0 => Some(Status::unavailable("opening")),
                    1 => Some(Status::aborted("who knows")),
                    2 => Some(Status::internal("a passing fault")),
                    _ => None,
                }
            }
            _ => None,
        };
        async move {
            match failure {
                Some(failure) => Err(failure),
                None => board.answer(asked).await,
            }
        }
    })
    .await;
    let works = board.work(options(), |_| async { Outcome::Success(Bytes::new()) });
    board.report().await;
    works.end().await;
    assert_eq!(tries.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_report_that_is_refused_is_not_repeated() {
    let tries = watch::Sender::new(0);
    let count = tries.clone();
    let board = Board::start(1, 10_000, move |board, asked| {
        let count = count.clone();
        async move {
            match asked {
                Asked::ReportOutcome(_) => {
                    count.send_modify(|count| *count += 1);
                    Err(Status::not_found("lease not found"))
                }
                other => board.answer(other).await,
            }
        }
    })
    .await;
    let works = board.work(options(), |_| async { Outcome::Success(Bytes::new()) });
    timeout(SOON, tries.subscribe().wait_for(|count| *count > 0))
        .await
        .unwrap()
        .unwrap();
    works.end().await;
    assert_eq!(*tries.borrow(), 1);
}

#[tokio::test]
async fn a_result_that_is_not_acceptable_fails_the_task() {
    let mut board = Board::start(1, 10_000, |board, asked| async move {
        match &asked {
            Asked::ReportOutcome(ReportOutcomeRequest {
                outcome: Some(Reported::Success(_)),
                ..
            }) => Err(Status::invalid_argument("result is too large")),
            _ => board.answer(asked).await,
        }
    })
    .await;
    let works = board.work(options(), |_| async { Outcome::Success("huge".into()) });
    let Some(Reported::Failure(failure)) = board.report().await.outcome else {
        panic!("not a failure")
    };
    assert_eq!(failure.code, "OUTCOME_REFUSED");
    works.end().await;
}
