//! The client against a scripted server: routing, retries, deadlines, errors.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

mod client_fake;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use client_fake::{Answer, Asked, Fake, Told, Wire, layout};
use silo_runtime::client::Client;
use silo_runtime::client::enqueue::Enqueue;
use silo_runtime::client::error::Error;
use silo_runtime::client::options::ClientOptions;
use silo_runtime::client::payload;
use silo_runtime::client::routes::tenant_hash;
use silo_runtime::proto::{EnqueueRequest, EnqueueResponse};
use tokio::sync::Notify;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

#[test]
fn tenants_hash_with_xxh64_and_seed_0() {
    // Published values of the algorithm.
    assert_eq!(tenant_hash(""), "ef46db3751d8e999");
    assert_eq!(tenant_hash("a"), "d24ec4f1a98c6e5b");
}

#[tokio::test]
async fn a_call_goes_to_the_owner_of_the_tenants_range() {
    let (low, low_log) = accepting().await;
    let (high, high_log) = accepting().await;
    let middle = "8000000000000000";
    *low.layout.lock().unwrap() = layout(&[
        (&low.address, "lower", "", middle),
        (&high.address, "upper", middle, ""),
    ]);
    let client = Client::connect(options(&low)).await.unwrap();

    for tenant in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] {
        let (shard, log) = match tenant_hash(tenant).as_str() < middle {
            true => ("lower", &low_log),
            false => ("upper", &high_log),
        };
        client
            .with_tenant(tenant)
            .enqueue(Enqueue::new("group", "x"))
            .await
            .unwrap();
        let last = log.lock().unwrap().last().cloned().unwrap();
        assert_eq!(
            (last.tenant.as_deref(), last.shard.as_str()),
            (Some(tenant), shard)
        );
    }
    assert!(!low_log.lock().unwrap().is_empty() && !high_log.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_range_begins_with_its_start_and_ends_before_its_end() {
    let (low, low_log) = accepting().await;
    let (high, high_log) = accepting().await;
    let point = tenant_hash("exact");
    *low.layout.lock().unwrap() = layout(&[
        (&low.address, "lower", "", &point),
        (&high.address, "upper", &point, ""),
    ]);
    let client = Client::connect(options(&low)).await.unwrap();
    client
        .with_tenant("exact")
        .enqueue(Enqueue::new("group", "x"))
        .await
        .unwrap();
    assert_eq!(
        (
            low_log.lock().unwrap().len(),
            high_log.lock().unwrap().len()
        ),
        (0, 1)
    );
}

#[tokio::test]
async fn a_shard_that_moved_is_followed_and_the_layout_learnt_again() {
    let (new, new_log) = accepting().await;
    let to = new.address.clone();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let old = Fake::start(move |_, _| {
        count.fetch_add(1, Ordering::SeqCst);
        let mut moved = Status::not_found("shard not found: one");
        moved
            .metadata_mut()
            .insert("x-silo-shard-owner-addr", to.parse().unwrap());
        async move { Err(moved) }
    })
    .await;
    let client = Client::connect(options(&old)).await.unwrap();
    *old.layout.lock().unwrap() = layout(&[(&new.address, "one", "", "")]);

    client.enqueue(Enqueue::new("group", "x")).await.unwrap();
    client.enqueue(Enqueue::new("group", "x")).await.unwrap();
    assert_eq!(
        asked.load(Ordering::SeqCst),
        1,
        "the old owner is asked once only"
    );
    assert_eq!(new_log.lock().unwrap().len(), 2);
    assert_eq!(
        old.layouts() + new.layouts(),
        2,
        "once to connect and once after the move"
    );
}

#[tokio::test]
async fn a_shard_that_moved_to_nobody_knows_where_is_looked_up() {
    let (new, new_log) = accepting().await;
    let old = Fake::start(|_, _| async { Err(Status::not_found("shard not found")) }).await;
    let client = Client::connect(options(&old)).await.unwrap();
    *old.layout.lock().unwrap() = layout(&[(&new.address, "two", "", "")]);
    client.enqueue(Enqueue::new("group", "x")).await.unwrap();
    assert_eq!(new_log.lock().unwrap()[0].shard, "two");
}

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
async fn unavailable_is_not_tried_past_the_deadline() {
    let (fake, log) = failing_first(usize::MAX, || Status::unavailable("opening")).await;
    let client = Client::connect(options(&fake)).await.unwrap();
    let client = client.with_deadline(Duration::from_millis(200));
    let begun = Instant::now();
    let error = client
        .enqueue(Enqueue::new("group", "x"))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::Unavailable(why) if why == "opening"),
        "{error:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert!(log.lock().unwrap().len() > 1);
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
async fn a_wildcard_is_never_connected_to() {
    for address in [
        "0.0.0.0:7450",
        "[::]:7450",
        "*:7450",
        "http://localhost:7450",
        "localhost",
    ] {
        let error = Client::connect(ClientOptions::new([address]))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Options(_)), "{address}: {error:?}");
    }

    // Told by a node of another one: nobody to ask. Told of itself: where it was asked.
    let (fake, log) = accepting().await;
    let port = fake.address.rsplit(':').next().unwrap().to_owned();
    *fake.layout.lock().unwrap() = layout(&[(&format!("0.0.0.0:{port}"), "one", "", "")]);
    let client = Client::connect(options(&fake)).await.unwrap();
    let quick = client.with_deadline(Duration::from_millis(100));
    let error = quick.enqueue(Enqueue::new("group", "x")).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    assert!(log.lock().unwrap().is_empty());

    fake.layout.lock().unwrap().this_node_id = "node of one".to_owned();
    client.enqueue(Enqueue::new("group", "x")).await.unwrap();
    assert_eq!(log.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn one_address_that_answers_is_enough() {
    let (fake, _) = accepting().await;
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = gone.local_addr().unwrap().to_string(); // accepts, and never says a word
    let refusing = {
        let it = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        it.local_addr().unwrap().to_string()
    };
    let addresses = [silent, refusing, fake.address.clone()];
    let begun = Instant::now();
    let client = Client::connect(ClientOptions::new(addresses))
        .await
        .unwrap();
    client.enqueue(Enqueue::new("group", "x")).await.unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
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

type Log = Arc<Mutex<Vec<EnqueueRequest>>>;

fn options(fake: &Fake) -> ClientOptions {
    ClientOptions::new([&fake.address])
}

/// A client that reaches the server only over a wire that can be cut.
async fn wired(fake: &Fake) -> (Client, Wire) {
    let wire = Wire::to(&fake.address).await;
    *fake.layout.lock().unwrap() = layout(&[(&wire.address, "one", "", "")]);
    let client = Client::connect(ClientOptions::new([&wire.address]))
        .await
        .unwrap();
    (client, wire)
}

async fn accepting() -> (Fake, Log) {
    failing_first(0, || Status::internal("never")).await
}

/// A server that refuses the first calls and takes all others, and a log of the enqueues.
async fn failing_first(
    failures: usize,
    failure: impl Fn() -> Status + Send + Sync + 'static,
) -> (Fake, Log) {
    let log: Log = Arc::default();
    let sink = Arc::clone(&log);
    let fake = Fake::start(move |asked, _| {
        let answer = if note(&sink, &asked) <= failures {
            Err(failure())
        } else {
            accept(&asked)
        };
        async move { answer }
    })
    .await;
    (fake, log)
}

fn note(log: &Log, asked: &Asked) -> usize {
    let mut log = log.lock().unwrap();
    if let Asked::Enqueue(request) = asked {
        log.push(request.clone());
    }
    log.len()
}

fn accept(asked: &Asked) -> Answer {
    match asked {
        Asked::Enqueue(_) => Ok(Told::Enqueue(EnqueueResponse {
            id: "job".to_owned(),
        })),
        other => Err(Status::unimplemented(format!("{other:?}"))),
    }
}

fn pushed_back(mut status: Status, ms: &'static str) -> Status {
    let value = MetadataValue::from_static(ms);
    status
        .metadata_mut()
        .insert("grpc-retry-pushback-ms", value);
    status
}
