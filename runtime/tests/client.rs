//! The client against a scripted server: retries, deadlines, errors.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

mod client_fake;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use client_fake::enqueues::{
    Log, accept, accepting, failing_first, note, options, pushed_back, wired,
};
use client_fake::{Answer, Asked, Fake};
use silo_runtime::client::Client;
use silo_runtime::client::enqueue::Enqueue;
use silo_runtime::client::error::Error;
use silo_runtime::client::options::ClientOptions;
use silo_runtime::client::payload;
use tokio::sync::Notify;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

#[tokio::test]
async fn unavailable_is_tried_again_with_the_same_request_id() {
    let (fake, log) = failing_first(2, || Status::unavailable("opening")).await;
    let client = Client::connect(options(&fake)).await.unwrap();
    client.enqueue(Enqueue::new("group", "x")).await.unwrap();
    client.enqueue(Enqueue::new("group", "x")).await.unwrap();

    let ids: Vec<Bytes> = log
        .lock()
        .unwrap()
        .iter()
        .map(|it| it.request_id.clone())
        .collect();
    assert_eq!(ids.len(), 4);
    assert_eq!(ids[0].len(), 16);
    assert!(
        ids[0] == ids[1] && ids[1] == ids[2],
        "one call, one id: {ids:?}"
    );
    assert_ne!(ids[2], ids[3], "another call, another id");
}

#[tokio::test]
async fn unavailable_is_tried_until_the_deadline_and_not_longer() {
    let (fake, log) = failing_first(usize::MAX, || Status::unavailable("opening")).await;
    let client = Client::connect(options(&fake)).await.unwrap();
    let client = client.with_deadline(Duration::from_millis(300));
    let begun = Instant::now();
    let error = client
        .enqueue(Enqueue::new("group", "x"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Unavailable(_) | Error::Deadline),
        "{error:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert!(log.lock().unwrap().len() > 1);
}

#[tokio::test]
async fn a_pause_beyond_the_deadline_is_not_waited_for() {
    let (fake, log) =
        failing_first(1, || pushed_back(Status::unavailable("opening"), "60000")).await;
    let client = Client::connect(options(&fake)).await.unwrap();
    let begun = Instant::now();
    let error = client
        .enqueue(Enqueue::new("group", "x"))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::Unavailable(why) if why == "opening"),
        "{error:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(log.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn aborted_is_not_tried_again() {
    let (fake, log) = failing_first(1, || Status::aborted("written, not known durable")).await;
    let client = Client::connect(options(&fake)).await.unwrap();
    let error = client
        .enqueue(Enqueue::new("group", "x"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown(_)), "{error:?}");
    assert_eq!(log.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn the_servers_pause_is_kept() {
    let (fake, log) =
        failing_first(1, || pushed_back(Status::resource_exhausted("busy"), "300")).await;
    let client = Client::connect(options(&fake)).await.unwrap();
    let begun = Instant::now();
    client.enqueue(Enqueue::new("group", "x")).await.unwrap();
    assert!(
        begun.elapsed() >= Duration::from_millis(300),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(log.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_server_can_forbid_another_try() {
    let (fake, log) = failing_first(1, || pushed_back(Status::unavailable("no"), "-1")).await;
    let client = Client::connect(options(&fake)).await.unwrap();
    let error = client
        .enqueue(Enqueue::new("group", "x"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    assert_eq!(log.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn exhausted_without_a_pause_is_a_refusal() {
    let (fake, log) = failing_first(1, || Status::resource_exhausted("too large")).await;
    let client = Client::connect(options(&fake)).await.unwrap();
    let error = client
        .enqueue(Enqueue::new("group", "x"))
        .await
        .unwrap_err();
    assert_eq!(
        error.refusal().map(|it| it.code),
        Some(Code::ResourceExhausted),
        "{error:?}"
    );
    assert_eq!(log.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn every_call_carries_the_token_and_its_deadline() {
    let seen = Arc::new(Mutex::new(None));
    let sink = Arc::clone(&seen);
    let fake = Fake::start(move |asked, metadata| {
        *sink.lock().unwrap() = Some(metadata);
        async move { accept(&asked) }
    })
    .await;
    let token = Some("s3cret".to_owned());
    let client = Client::connect(ClientOptions {
        token,
        ..options(&fake)
    })
    .await
    .unwrap();
    client.enqueue(Enqueue::new("group", "x")).await.unwrap();

    let call = seen.lock().unwrap().take().unwrap();
    let layout = fake.layout_metadata.lock().unwrap().clone();
    for metadata in [call, layout] {
        assert_eq!(metadata.get("authorization").unwrap(), "Bearer s3cret");
        assert!(metadata.contains_key("grpc-timeout"));
    }
}

#[test]
fn options_do_not_tell_the_token() {
    let token = Some("s3cret".to_owned());
    let options = ClientOptions {
        token,
        ..ClientOptions::new(["localhost:7450"])
    };
    assert!(!format!("{options:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_call_without_an_answer_ends_at_its_deadline() {
    let fake = Fake::start(|_, _| std::future::pending::<Answer>()).await;
    let client = Client::connect(options(&fake)).await.unwrap();
    let begun = Instant::now();
    let client = client.with_deadline(Duration::from_millis(100));
    let error = client
        .enqueue(Enqueue::new("group", "x"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Deadline), "{error:?}");
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_millis(90) && took < Duration::from_secs(2),
        "{took:?}"
    );
}

#[tokio::test]
async fn an_enqueue_whose_connection_breaks_is_sent_again_as_the_same() {
    let arrived = Arc::new(Notify::new());
    let log: Log = Arc::default();
    let (bell, sink) = (Arc::clone(&arrived), Arc::clone(&log));
    let fake = Fake::start(move |asked, _| {
        let first = note(&sink, &asked) == 1;
        let bell = Arc::clone(&bell);
        async move {
            if first {
                bell.notify_one();
                std::future::pending::<()>().await;
            }
            accept(&asked)
        }
    })
    .await;
    let (client, wire) = wired(&fake).await;
    let (done, ()) = tokio::join!(client.enqueue(Enqueue::new("group", "x")), async {
        arrived.notified().await;
        wire.cut();
    });
    done.unwrap();
    let log = log.lock().unwrap();
    assert_eq!(log.len(), 2);
    assert_eq!(log[0].request_id, log[1].request_id);
}

#[tokio::test]
async fn a_cancel_whose_connection_breaks_is_of_unknown_outcome() {
    let arrived = Arc::new(Notify::new());
    let asked = Arc::new(AtomicUsize::new(0));
    let (bell, count) = (Arc::clone(&arrived), Arc::clone(&asked));
    let fake = Fake::start(move |_, _| {
        count.fetch_add(1, Ordering::SeqCst);
        bell.notify_one();
        std::future::pending::<Answer>()
    })
    .await;
    let (client, wire) = wired(&fake).await;
    let (done, ()) = tokio::join!(client.cancel("job"), async {
        arrived.notified().await;
        wire.cut();
    });
    assert!(matches!(done, Err(Error::OutcomeUnknown(_))), "{done:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn empty_payloads_are_sent_as_nil() {
    let (fake, log) = accepting().await;
    let client = Client::connect(options(&fake)).await.unwrap();
    client
        .enqueue(Enqueue::new("group", Bytes::new()))
        .await
        .unwrap();
    let sent = log.lock().unwrap()[0].payload.clone();
    assert_eq!(sent, Some(payload::pack(payload::NIL)));
    assert_eq!(payload::unpack(sent), Bytes::from_static(&[0xc0]));
    assert_eq!(payload::unpack(None), Bytes::from_static(&[0xc0]));
}

#[test]
fn messages_are_maps_of_message_pack() {
    assert_eq!(
        payload::message("oh").as_ref(),
        b"\x81\xa7message\xda\x00\x02oh"
    );
    let long = "ä".repeat(40_000);
    assert_eq!(payload::message(&long).len(), 1 + 8 + 3 + 65_534);
}

#[tokio::test]
async fn refusals_tell_their_reason() {
    let fake = Fake::start(|asked, _| async move {
        let ids = HashMap::from([("job_id".to_owned(), "j".to_owned())]);
        let details = ErrorDetails::with_error_info("JOB_EXISTS", "silo", ids);
        Err(match asked {
            Asked::Enqueue(_) => {
                Status::with_error_details(Code::AlreadyExists, "there is one", details)
            }
            Asked::GetJob(_) => Status::not_found("job not found"),
            _ => Status::failed_precondition("job is already cancelled"),
        })
    })
    .await;
    let client = Client::connect(options(&fake)).await.unwrap();

    let Err(Error::AlreadyExists(it)) = client.enqueue(Enqueue::new("group", "x")).await else {
        panic!("not AlreadyExists");
    };
    assert_eq!(
        (it.reason.as_deref(), it.message.as_str()),
        (Some("JOB_EXISTS"), "there is one")
    );
    assert_eq!(it.metadata.get("job_id").map(String::as_str), Some("j"));
    assert!(
        matches!(client.job("j", false).await, Err(Error::NotFound(it)) if it.reason.is_none())
    );
    let Err(Error::Refused(it)) = client.cancel("j").await else {
        panic!("not Refused")
    };
    assert_eq!(it.code, Code::FailedPrecondition);
}

#[tokio::test]
async fn what_may_have_been_done_is_not_called_unavailable() {
    let arrived = Arc::new(Notify::new());
    let log: Log = Arc::default();
    let (bell, sink) = (Arc::clone(&arrived), Arc::clone(&log));
    let fake = Fake::start(move |asked, _| {
        let first = note(&sink, &asked) == 1;
        let bell = Arc::clone(&bell);
        async move {
            if first {
                bell.notify_one();
                std::future::pending::<()>().await;
            }
            Err(pushed_back(Status::unavailable("opening"), "60000"))
        }
    })
    .await;
    let (client, wire) = wired(&fake).await;
    let (done, ()) = tokio::join!(client.enqueue(Enqueue::new("group", "x")), async {
        arrived.notified().await;
        wire.cut();
    });
    assert!(matches!(done, Err(Error::OutcomeUnknown(_))), "{done:?}");
    assert_eq!(log.lock().unwrap().len(), 2);
}
