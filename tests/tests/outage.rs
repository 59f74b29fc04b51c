//! Storage that fails for a while: calls refuse clearly, the shard recovers alone, nothing is lost.

#![cfg(test)]

use std::collections::BTreeMap;
use std::time::Duration;

use silo_runtime::storage::config::StorageConfig;
use silo_test_faults::fault::{Fault, Operation, Requests, Trouble as Kind};
use silo_tests::load::{Load, Notes};
use silo_tests::messages::{enqueue, get, heartbeat, lease_one, reason};
use silo_tests::server::{Server, Setup, Trouble, impatient};
use tokio::time::{Instant, sleep, timeout};
use tonic::Code;
use tracing::info;

/// To the limits of these servers what five minutes are to those that a server has by itself.
const MINUTES: Duration = Duration::from_secs(2);
/// No call takes longer than this, whatever storage does: writing and flushing have their limits.
const ANSWERED: Duration = Duration::from_secs(3);

async fn start() -> Result<Server, Trouble> {
    start_with(impatient()).await
}

async fn start_with(storage: StorageConfig) -> Result<Server, Trouble> {
    let setup = Setup {
        storage,
        lease_ms: 1_200,
        ..Setup::default()
    };
    Server::start(setup).await
}

/// Lets these requests fail in the middle of a load, for minutes, and checks what was said.
async fn outage(fault: Fault, requests: Requests) -> Result<Notes, Trouble> {
    let notes = outage_of(start().await?, MINUTES, fault, requests).await?;
    assert!(notes.slowest < ANSWERED, "{:?}", notes.slowest);
    Ok(notes)
}

async fn outage_of(
    server: Server,
    lasting: Duration,
    fault: Fault,
    requests: Requests,
) -> Result<Notes, Trouble> {
    let load = Load::start(&server).await?;
    load.acknowledged(200).await;
    let outage = server.faulty.inject(fault, requests);
    sleep(lasting).await;
    let hits = outage.hits();
    outage.end();
    let over = Instant::now();
    timeout(Duration::from_secs(20), load.acknowledged(200)).await?;
    let recovery = over.elapsed();
    let notes = load.verify(&server).await?;
    let refusals = &notes.refusals;
    info!(hits, ?recovery, ?refusals, slowest = ?notes.slowest, "survived");
    assert!(hits > 0, "nothing failed");
    server.stop().await?;
    Ok(notes)
}

fn puts() -> Requests {
    Requests::of([Operation::Put])
}

fn refused(notes: &Notes, reason: &str) -> bool {
    notes.refusals.keys().any(|(_, said)| said == reason)
}

#[silo::test]
async fn puts_fail() -> Result<(), Trouble> {
    let notes = outage(Fault::Fails(Kind::Generic), puts()).await?;
    // What was written and not known to be durable, and what came afterwards.
    assert!(refused(&notes, "OUTCOME_UNKNOWN"));
    assert!(refused(&notes, "SHARD_OPENING"));
    Ok(())
}

#[silo::test]
async fn gets_fail() -> Result<(), Trouble> {
    outage(Fault::Fails(Kind::Generic), Requests::of([Operation::Get])).await?;
    Ok(())
}

#[silo::test]
async fn nothing_is_allowed() -> Result<(), Trouble> {
    let notes = outage(Fault::Fails(Kind::Denied), Requests::all()).await?;
    assert!(refused(&notes, "SHARD_OPENING"));
    Ok(())
}

#[silo::test]
async fn nothing_is_answered() -> Result<(), Trouble> {
    let notes = outage(Fault::Hangs, Requests::all()).await?;
    assert!(refused(&notes, "OUTCOME_UNKNOWN"));
    assert!(refused(&notes, "SHARD_OPENING"));
    Ok(())
}

#[silo::test]
async fn everything_is_done_when_it_is_over() -> Result<(), Trouble> {
    let notes = outage(Fault::Waits, Requests::all()).await?;
    assert!(refused(&notes, "SHARD_OPENING"));
    Ok(())
}

#[silo::test]
async fn puts_are_done_and_reported_as_failed() -> Result<(), Trouble> {
    outage(Fault::LosesAnswer(Kind::TimedOut), puts()).await?;
    Ok(())
}

#[silo::test]
async fn a_third_of_all_requests_is_throttled() -> Result<(), Trouble> {
    // With the limits of production nobody notices but by waiting.
    let patient = Server::start(Setup::default()).await?;
    let notes = outage_of(patient, MINUTES, THROTTLED, some()).await?;
    assert_eq!(notes.refusals, BTreeMap::new());
    Ok(())
}

/// The shard fails again and again, and still nothing is lost.
#[silo::test]
async fn a_third_of_all_requests_is_throttled_and_repeated_but_once() -> Result<(), Trouble> {
    outage(THROTTLED, some()).await?;
    Ok(())
}

const THROTTLED: Fault = Fault::Fails(Kind::Throttled);

fn some() -> Requests {
    Requests::all().per_mille(300)
}

/// As a server runs by itself; storage asks to slow down for longer than requests are repeated.
#[silo::test]
async fn twelve_seconds_without_storage() -> Result<(), Trouble> {
    let lasting = Duration::from_secs(12);
    let server = Server::start(Setup::default()).await?;
    let notes = outage_of(server, lasting, THROTTLED, Requests::all()).await?;
    assert!(refused(&notes, "OUTCOME_UNKNOWN"));
    assert!(refused(&notes, "SHARD_OPENING"));
    Ok(())
}

/// Whoever only looks is refused when it cannot be proved that what he sees is so.
#[silo::test]
async fn heartbeats_and_reads_need_proof() -> Result<(), Trouble> {
    let mut storage = impatient();
    // It looks at storage for nothing but the proof.
    storage.shard.manifest_poll_ms = 3_600_000;
    storage.shard.compaction_poll_ms = 3_600_000;
    let server = start_with(storage).await?;
    let mut client = server.client().await?;
    client.enqueue(enqueue("job")).await?;
    let task = client.lease_task(lease_one("job")).await?.into_inner().task;
    let task = task.ok_or("a task")?;
    for (fault, operation) in [
        (Fault::Fails(Kind::Generic), Operation::List),
        (Fault::Fails(Kind::Throttled), Operation::Get),
        (Fault::Hangs, Operation::List),
        (Fault::Hangs, Operation::Get),
    ] {
        let outage = server.faulty.inject(fault, Requests::of([operation]));
        let began = Instant::now();
        // The last proof is good for a third of the lease.
        let refused = loop {
            match client.heartbeat(heartbeat(&task)).await {
                Ok(_) => assert!(began.elapsed() < ANSWERED, "it needs no proof"),
                Err(status) => break status,
            }
        };
        let read = client.get_job(get("job")).await.expect_err("without proof");
        for status in [refused, read] {
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
            assert_eq!(reason(&status), "OWNERSHIP_UNPROVEN");
        }
        outage.end();
        let confirmed = async { while client.heartbeat(heartbeat(&task)).await.is_err() {} };
        timeout(ANSWERED, confirmed).await?;
        client.get_job(get("job")).await?;
    }
    server.stop().await
}
