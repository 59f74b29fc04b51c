//! Many at once against a scripted server: what fails for the moment is sent again, alone.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

mod client_fake;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use client_fake::enqueues::options;
use client_fake::{Asked, Fake, Told, layout};
use silo_runtime::client::Client;
use silo_runtime::client::enqueue::Enqueue;
use silo_runtime::client::error::Error;
use silo_runtime::client::task::{Outcome, TaskRef};
use silo_runtime::proto::enqueue_batch_result::Result as One;
use silo_runtime::proto::{
    CallError, EnqueueBatchRequest, EnqueueBatchResponse, EnqueueBatchResult, EnqueueRequest,
    ReportOutcomesRequest, ReportOutcomesResponse, ReportOutcomesResult,
};
use tonic::{Code, Status};

type Log<T> = Arc<Mutex<Vec<T>>>;

fn error(code: Code, message: &str) -> CallError {
    CallError {
        code: code.into(),
        reason: "REASON".to_owned(),
        message: message.to_owned(),
    }
}

/// A server that answers for the `n`-th job of the `call`-th call, and a log of the calls.
async fn batches(
    answer: impl Fn(usize, &EnqueueRequest) -> Result<One, Status> + Send + Sync + 'static,
) -> (Fake, Log<EnqueueBatchRequest>) {
    let log = Log::default();
    let sink = Arc::clone(&log);
    let fake = Fake::start(move |asked, _| {
        let Asked::EnqueueBatch(request) = asked else {
            panic!("{asked:?}");
        };
        let mut log = sink.lock().unwrap();
        log.push(request.clone());
        let each = request.jobs.iter().map(|job| answer(log.len(), job));
        let results = each.map(|one| one.map(|one| EnqueueBatchResult { result: Some(one) }));
        let results = results.collect::<Result<Vec<_>, _>>();
        async move {
            let results = results?;
            Ok(Told::EnqueueBatch(EnqueueBatchResponse { results }))
        }
    })
    .await;
    (fake, log)
}

fn jobs(ids: &[&str]) -> Vec<Enqueue> {
    let job = |id: &&str| Enqueue {
        id: Some((*id).to_owned()),
        ..Enqueue::new("group", "x")
    };
    ids.iter().map(job).collect()
}

fn ids(request: &EnqueueBatchRequest) -> Vec<&str> {
    request.jobs.iter().map(|job| job.id.as_str()).collect()
}

#[tokio::test]
async fn only_what_failed_for_the_moment_is_sent_again() {
    let (fake, log) = batches(|call, job| {
        Ok(match (job.id.as_str(), call) {
            ("opening", 1..3) => One::Error(error(Code::Unavailable, "opening")),
            ("moved", 1) => One::Error(error(Code::NotFound, "shard not found: elsewhere")),
            ("full", 1) => One::Error(error(Code::ResourceExhausted, "too much")),
            ("bad", _) => One::Error(error(Code::InvalidArgument, "bad")),
            ("unknown", _) => One::Error(error(Code::Aborted, "unknown")),
            (id, _) => One::Id(id.to_owned()),
        })
    })
    .await;
    let client = Client::connect(options(&fake)).await.unwrap();
    let asked = ["a", "opening", "bad", "moved", "unknown", "full", "b"];
    let told = client.enqueue_batch(jobs(&asked)).await;
    for (id, told) in asked.iter().zip(&told) {
        match (*id, told) {
            ("bad", Err(Error::Refused(refusal))) => {
                assert_eq!(refusal.reason.as_deref(), Some("REASON"));
            }
            ("unknown", Err(Error::OutcomeUnknown(_))) => {}
            (id, Ok(told)) => assert_eq!(id, told),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(told.len(), asked.len());
    let log = log.lock().unwrap();
    let calls: Vec<_> = log.iter().map(ids).collect();
    assert_eq!(
        calls,
        [&asked[..], &["opening", "moved", "full"], &["opening"]]
    );
    let request_id = |call: usize, index: usize| -> &Bytes { &log[call].jobs[index].request_id };
    assert_eq!(request_id(0, 1), request_id(2, 0), "one job, one id");
    assert_ne!(request_id(0, 0), request_id(0, 1));
    assert_eq!(request_id(0, 0).len(), 16);
    assert!(log.iter().all(|call| !call.atomic));
    assert!(fake.layouts() > 1, "the layout was doubted");
}

#[tokio::test]
async fn it_ends_at_the_deadline_with_what_was_said_last() {
    let (fake, log) = batches(|_, job| {
        Ok(match job.id.as_str() {
            "good" => One::Id("good".to_owned()),
            _ => One::Error(error(Code::Unavailable, "opening")),
        })
    })
    .await;
    let client = Client::connect(options(&fake)).await.unwrap();
    let client = client.with_deadline(Duration::from_millis(300));
    let told = client.enqueue_batch(jobs(&["good", "never"])).await;
    assert!(matches!(
        told.as_slice(),
        [Ok(_), Err(Error::Unavailable(_))]
    ));
    assert!(log.lock().unwrap().len() > 1);
}

#[tokio::test]
async fn a_call_that_fails_fails_each() {
    let (fake, log) = batches(|_, _| Err(Status::invalid_argument("no"))).await;
    let client = Client::connect(options(&fake)).await.unwrap();
    let told = client.enqueue_batch(jobs(&["a", "b"])).await;
    assert_eq!(told.len(), 2);
    for told in told {
        assert!(matches!(told, Err(Error::Refused(_))), "{told:?}");
    }
    assert_eq!(log.lock().unwrap().len(), 1);
    let error = client.enqueue_all(jobs(&["a"])).await.unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error:?}");
    assert!(log.lock().unwrap()[1].atomic);
}

#[tokio::test]
async fn an_answer_that_lacks_some_leaves_them_unknown() {
    let fake = Fake::start(|_, _| async {
        let results = Vec::new();
        Ok(Told::EnqueueBatch(EnqueueBatchResponse { results }))
    })
    .await;
    let client = Client::connect(options(&fake)).await.unwrap();
    let told = client.enqueue_batch(jobs(&["a"])).await;
    assert!(
        matches!(told.as_slice(), [Err(Error::OutcomeUnknown(_))]),
        "{told:?}"
    );
    let error = client.enqueue_all(jobs(&["a"])).await.unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown(_)), "{error:?}");
}

/// A node that takes all outcomes, and a log of the calls.
async fn reports() -> (Fake, Log<ReportOutcomesRequest>) {
    let log = Log::default();
    let sink = Arc::clone(&log);
    let fake = Fake::start(move |asked, _| {
        let Asked::ReportOutcomes(request) = asked else {
            panic!("{asked:?}");
        };
        let results = vec![ReportOutcomesResult::default(); request.outcomes.len()];
        sink.lock().unwrap().push(request);
        async { Ok(Told::ReportOutcomes(ReportOutcomesResponse { results })) }
    })
    .await;
    (fake, log)
}

#[tokio::test]
async fn outcomes_go_to_the_nodes_of_their_shards() {
    let ((low, lower), (high, upper)) = (reports().await, reports().await);
    let point = "8000000000000000";
    *low.layout.lock().unwrap() = layout(&[
        (&low.address, "lower", "", point),
        (&high.address, "upper", point, ""),
    ]);
    let client = Client::connect(options(&low)).await.unwrap();
    let task = |number: usize| TaskRef {
        id: format!("task {number}").into(),
        shard: if number.is_multiple_of(3) {
            "lower"
        } else {
            "upper"
        }
        .into(),
        tenant: None,
    };
    let outcomes = (0..3000).map(|number| (task(number), Outcome::Release));
    let told = client.report_all(outcomes.collect()).await;
    assert_eq!(told.len(), 3000);
    assert!(told.iter().all(Result::is_ok), "{told:?}");
    let counts = |log: &Log<ReportOutcomesRequest>, shard: &str| -> Vec<usize> {
        let log = log.lock().unwrap();
        let of_shard = |call: &ReportOutcomesRequest| {
            assert!(call.outcomes.iter().all(|one| one.shard == shard));
            call.outcomes.len()
        };
        log.iter().map(of_shard).collect()
    };
    assert_eq!(counts(&lower, "lower"), [1000]);
    assert_eq!(counts(&upper, "upper"), [1000, 1000]);
}
