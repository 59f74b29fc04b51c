//! Servers that take or refuse enqueues and keep a log of them.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm
)]

use std::sync::{Arc, Mutex};

use silo_runtime::client::Client;
use silo_runtime::client::options::ClientOptions;
use silo_runtime::proto::{EnqueueRequest, EnqueueResponse};
use tonic::Status;
use tonic::metadata::MetadataValue;

use crate::client_fake::{Answer, Asked, Fake, Told, Wire, layout};

pub type Log = Arc<Mutex<Vec<EnqueueRequest>>>;

/// Two nodes that share the tenants and agree on it.
pub fn share(low: &Fake, high: &Fake, point: &str) {
    let shared = layout(&[
        (&low.address, "lower", "", point),
        (&high.address, "upper", point, ""),
    ]);
    low.layout.lock().unwrap().clone_from(&shared);
    high.layout.lock().unwrap().clone_from(&shared);
}

pub fn options(fake: &Fake) -> ClientOptions {
    ClientOptions::new([&fake.address])
}

/// A client that reaches the server only over a wire that can be cut.
pub async fn wired(fake: &Fake) -> (Client, Wire) {
    let wire = Wire::to(&fake.address).await;
    *fake.layout.lock().unwrap() = layout(&[(&wire.address, "one", "", "")]);
    let client = Client::connect(ClientOptions::new([&wire.address]))
        .await
        .unwrap();
    (client, wire)
}

pub async fn accepting() -> (Fake, Log) {
    failing_first(0, || Status::internal("never")).await
}

/// A server that refuses the first calls and takes all others, and a log of the enqueues.
pub async fn failing_first(
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

pub fn note(log: &Log, asked: &Asked) -> usize {
    let mut log = log.lock().unwrap();
    if let Asked::Enqueue(request) = asked {
        log.push(request.clone());
    }
    log.len()
}

pub fn accept(asked: &Asked) -> Answer {
    match asked {
        Asked::Enqueue(_) => Ok(Told::Enqueue(EnqueueResponse {
            id: "job".to_owned(),
        })),
        other => Err(Status::unimplemented(format!("{other:?}"))),
    }
}

pub fn pushed_back(mut status: Status, ms: &'static str) -> Status {
    let value = MetadataValue::from_static(ms);
    status
        .metadata_mut()
        .insert("grpc-retry-pushback-ms", value);
    status
}
