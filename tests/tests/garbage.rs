//! Whatever a request says, it is answered or refused: no handler panics, no connection dies.

#![cfg(test)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use prost::Message as _;
use silo_runtime::proto::report_outcome_request::Outcome;
use silo_runtime::proto::*;
use silo_tests::anything::{Contract, Dice, Known};
use silo_tests::messages::{data, enqueue, get, lease, reason};
use silo_tests::raw::{Connection, framed};
use silo_tests::server::{Server, Setup, Trouble};
use tokio::runtime::Runtime;
use tonic::{Code, Response, Status};

const CASES: u32 = 96;
/// Where each case is a call of every kind.
const CASES_OF_ALL: u32 = 20;

/// Strings of every kind: any at all, nearly right ones, long ones.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        Just(String::new()),
        Just("-".to_owned()),
        "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "[A-Za-z0-9_-]{0,200}",
        "\\PC{0,300}",
    ]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..300)
}

fn policy() -> impl Strategy<Value = RetryPolicy> {
    let fields = (
        any::<u32>(),
        any::<i64>(),
        any::<i64>(),
        any::<bool>(),
        any::<f64>(),
        -1..6,
    );
    fields.prop_map(
        |(retry_count, initial, max, randomize_interval, backoff_factor, jitter)| RetryPolicy {
            retry_count,
            initial_interval_ms: initial,
            max_interval_ms: max,
            randomize_interval,
            backoff_factor,
            jitter,
        },
    )
}

fn job() -> impl Strategy<Value = EnqueueRequest> {
    let names = (text(), text(), text(), proptest::option::of(text()));
    let numbers = (
        0..200_u32,
        any::<i64>(),
        proptest::option::of(any::<u32>()),
        any::<u32>(),
    );
    let rest = (
        proptest::option::of(policy()),
        proptest::collection::btree_map(text(), text(), 0..20),
        bytes(),
        bytes(),
    );
    (names, numbers, rest).prop_map(|(names, numbers, rest)| EnqueueRequest {
        shard: names.0,
        id: names.1,
        task_group: names.2,
        tenant: names.3,
        priority: numbers.0,
        start_at_ms: numbers.1,
        lease_ms: numbers.2,
        max_crashes: Some(numbers.3),
        retry_policy: rest.0,
        metadata: rest.1 as BTreeMap<String, String>,
        payload: Some(data(&rest.2)),
        request_id: rest.3.into(),
        ..EnqueueRequest::default()
    })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        bytes().prop_map(|bytes| Outcome::Success(data(&bytes))),
        Just(Outcome::Cancelled(Cancelled {})),
        Just(Outcome::Release(Release {})),
        (
            text(),
            bytes(),
            any::<bool>(),
            proptest::option::of(any::<i64>())
        )
            .prop_map(
                |(code, bytes, not_retryable, retry_after_ms)| Outcome::Failure(Failure {
                    code,
                    data: Some(data(&bytes)),
                    not_retryable,
                    retry_after_ms,
                })
            ),
    ]
}

/// Refused properly, or not at all.
fn is_proper<T>(answer: Result<Response<T>, Status>) -> Result<(), TestCaseError> {
    if let Err(status) = answer {
        let is_proper = matches!(
            status.code(),
            Code::InvalidArgument | Code::NotFound | Code::FailedPrecondition | Code::AlreadyExists
        );
        prop_assert!(is_proper, "{:?}", status);
    }
    Ok(())
}

/// Runs a property against one server.
fn against<S: Strategy>(
    cases: u32,
    setup: Setup,
    strategy: S,
    property: impl Fn(&Runtime, &Server, S::Value) -> Result<(), TestCaseError>,
) -> Result<(), Trouble> {
    let runtime = Runtime::new()?;
    let server = runtime.block_on(Server::start(setup))?;
    let config = Config {
        cases,
        ..Config::default()
    };
    // The same cases each time: what fails here fails everywhere.
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let result = runner.run(&strategy, |value| property(&runtime, &server, value));
    runtime.block_on(server.stop())?;
    Ok(result.map_err(|failure| failure.to_string())?)
}

#[silo::test]
fn in_jobs() -> Result<(), Trouble> {
    for tenancy in [false, true] {
        let setup = Setup {
            tenancy,
            shards: 2,
            ..Setup::default()
        };
        against(CASES, setup, job(), |runtime, server, job| {
            runtime.block_on(async {
                let mut c = server.client().await.expect("a client");
                let (id, tenant) = (job.id.clone(), job.tenant.clone());
                is_proper(c.enqueue(job.clone()).await)?;
                is_proper(
                    c.enqueue(EnqueueRequest {
                        shard: String::new(),
                        ..job
                    })
                    .await,
                )?;
                is_proper(c.get_job(GetJobRequest { tenant, ..get(&id) }).await)
            })
        })?;
    }
    Ok(())
}

#[silo::test]
fn in_what_workers_say() -> Result<(), Trouble> {
    let texts = (text(), text(), text(), proptest::option::of(text()));
    let strategy = (
        texts,
        outcome(),
        any::<u32>(),
        proptest::option::of(any::<u32>()),
    );
    against(
        CASES,
        Setup::default(),
        strategy,
        |runtime, server, (texts, outcome, number, lease_ms)| {
            let (shard, task_id, worker_id, tenant_id) = texts;
            runtime.block_on(async {
                let mut c = server.client().await.expect("a client");
                c.enqueue(enqueue("")).await.expect("a job");
                let report = ReportOutcomeRequest {
                    shard: shard.clone(),
                    task_id: task_id.clone(),
                    outcome: Some(outcome),
                    tenant_id: tenant_id.clone(),
                };
                is_proper(c.report_outcome(report).await)?;
                let lease = LeaseTasksRequest {
                    shard: Some(shard.clone()),
                    worker_id: worker_id.clone(),
                    task_group: task_id.clone(),
                    max_tasks: number,
                    lease_ms,
                    max_bytes: number.into(),
                    wait_ms: 0,
                };
                is_proper(c.lease_tasks(lease.clone()).await)?;
                is_proper(
                    c.lease_tasks(LeaseTasksRequest {
                        shard: None,
                        ..lease
                    })
                    .await,
                )?;
                is_proper(
                    c.heartbeat(HeartbeatRequest {
                        shard,
                        worker_id,
                        task_id,
                        tenant_id,
                    })
                    .await,
                )
            })
        },
    )
}

#[silo::test]
fn in_bytes_that_are_no_message() -> Result<(), Trouble> {
    let methods = prop_oneof![
        Just("Enqueue"),
        Just("GetJob"),
        Just("LeaseTasks"),
        Just("ReportOutcome"),
        Just("Heartbeat"),
        Just("NoSuchMethod"),
    ];
    // Bare bytes, a frame of any bytes, and a frame of a message that was damaged.
    let body = prop_oneof![
        bytes(),
        bytes().prop_map(|bytes| framed(&bytes)),
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(index, byte)| {
            let mut bytes = enqueue("job").encode_to_vec();
            let at = index.index(bytes.len());
            bytes[at] = byte;
            framed(&bytes)
        }),
    ];
    against(
        CASES,
        Setup::default(),
        (methods, body),
        |runtime, server, (method, body)| {
            runtime.block_on(async {
                let raw = Connection::open(server.address)
                    .await
                    .expect("a connection");
                let path = format!("/silo.v1.Silo/{method}");
                let mut call = raw.call(&path, &[]).await.expect("a call");
                // A call that is refused by its path alone may be over before its body is sent.
                let _ = call.send(body, true);
                let status = call.answer().await.expect("an answer").status;
                prop_assert!(reason(&status) != "BUG", "{:?}", status);
                // The connection goes on.
                let mut call = raw
                    .call("/silo.v1.Silo/GetNodeInfo", &[])
                    .await
                    .expect("a call");
                call.send(framed(&[]), true).expect("sent");
                prop_assert_eq!(
                    call.answer().await.expect("an answer").status.code(),
                    Code::Ok
                );
                Ok(())
            })
        },
    )
}

/// Jobs to be named, some of them leased.
async fn known(server: &Server, tenants: &[&str]) -> Result<Known, Trouble> {
    let mut c = server.client().await?;
    let jobs: Vec<_> = (0..8).map(|n| format!("job-{n}")).collect();
    for tenant in tenants {
        for id in &jobs {
            let tenant = Some((*tenant).to_owned());
            let job = EnqueueRequest {
                tenant,
                ..enqueue(id)
            };
            // Some are there from the last time.
            let _ = c.enqueue(job).await;
        }
    }
    let tasks = c.lease_tasks(lease(4)).await?.into_inner().tasks;
    Ok(Known {
        shards: server.shard_ids(),
        jobs,
        tasks: tasks.into_iter().map(|task| task.id).collect(),
        tenants: tenants.iter().map(|tenant| (*tenant).to_owned()).collect(),
    })
}

/// Makes a call by hand.
async fn call(raw: &Connection, name: &str, body: Vec<u8>) -> Result<Status, Trouble> {
    let mut call = raw.call(&format!("/silo.v1.Silo/{name}"), &[]).await?;
    call.send(framed(&body), true)?;
    Ok(call.answer().await?.status)
}

/// Every call, with anything in its fields: what is well-formed is answered or refused properly.
#[silo::test]
fn in_every_field_of_every_call() -> Result<(), Trouble> {
    let contract = Contract::read()?;
    assert!(contract.calls.len() >= 35, "{:?}", contract.calls);
    for (tenancy, tenants) in [(false, &[""][..]), (true, &["a", "b", "c"])] {
        let setup = Setup {
            tenancy,
            shards: 2,
            ..Setup::default()
        };
        against(
            CASES_OF_ALL,
            setup,
            any::<u64>(),
            |runtime, server, seed| {
                runtime.block_on(async {
                    let mut dice = Dice::new(seed);
                    let known = known(server, tenants).await.expect("jobs");
                    let raw = Connection::open(server.address)
                        .await
                        .expect("a connection");
                    for (name, request) in &contract.calls {
                        let body = contract.anything(request, &mut dice, &known);
                        let status = call(&raw, name, body).await.expect("an answer");
                        let is_proper = matches!(
                            status.code(),
                            Code::Ok
                                | Code::InvalidArgument
                                | Code::NotFound
                                | Code::FailedPrecondition
                                | Code::AlreadyExists
                                | Code::PermissionDenied
                                | Code::Unimplemented
                        );
                        prop_assert!(is_proper, "{}: {:?}", name, status);
                    }
                    Ok(())
                })
            },
        )?;
    }
    Ok(())
}

/// Every call, with bytes that are no message, or one that was damaged on its way.
#[silo::test]
fn in_the_bytes_of_every_call() -> Result<(), Trouble> {
    let contract = Contract::read()?;
    against(
        CASES_OF_ALL,
        Setup::default(),
        any::<u64>(),
        |runtime, server, seed| {
            runtime.block_on(async {
                let mut dice = Dice::new(seed);
                let known = known(server, &[""]).await.expect("jobs");
                let raw = Connection::open(server.address)
                    .await
                    .expect("a connection");
                for (name, request) in &contract.calls {
                    let mut body = contract.anything(request, &mut dice, &known);
                    let at = usize::try_from(dice.any()).unwrap_or(0);
                    match at.checked_rem(body.len()) {
                        Some(at) if dice.below(3) > 0 => body[at] = dice.any().to_le_bytes()[0],
                        _ => body = dice.bytes(300),
                    }
                    let status = call(&raw, name, body).await.expect("an answer");
                    prop_assert!(reason(&status) != "BUG", "{}: {:?}", name, status);
                    prop_assert!(status.code() != Code::Unknown, "{}: {:?}", name, status);
                }
                // The server goes on.
                let mut c = server.client().await.expect("a client");
                c.enqueue(enqueue("")).await.expect("a job");
                Ok(())
            })
        },
    )
}
