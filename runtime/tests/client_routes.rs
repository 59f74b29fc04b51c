//! The client against scripted servers: which one a call goes to.

#![allow(clippy::unwrap_used)]

mod client_fake;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use client_fake::enqueues::{accepting, options, share};
use client_fake::{Fake, layout};
use silo_runtime::client::Client;
use silo_runtime::client::enqueue::Enqueue;
use silo_runtime::client::error::Error;
use silo_runtime::client::options::ClientOptions;
use silo_runtime::client::routes::tenant_hash;
use tonic::Status;

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
    share(&low, &high, middle);
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
    share(&low, &high, &point);
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
