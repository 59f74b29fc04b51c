//! `AwaitJob`: the call waits for a job's end and is told of it.

#![cfg(test)]

use std::time::{Duration, Instant};

use futures::FutureExt as _;
use silo_core::shard::command::Command;
use silo_core::shard::reply::Reply;
use silo_core::table::job::JobKey;
use silo_core::types::name::JobId;
use silo_core::types::tenant::Tenant;
use silo_runtime::client::Client as Rust;
use silo_runtime::client::await_job::Awaited;
use silo_runtime::client::options::ClientOptions;
use silo_runtime::client::task::TaskRef;
use silo_runtime::proto::get_job_result_response::Result as Outcome;
use silo_runtime::proto::{
    AwaitJobRequest, AwaitJobResponse, EnqueueRequest, JobStatus, Retention, Task,
};
use silo_runtime::service::ServiceOptions;
use silo_test_faults::fault::{Fault, Operation, Requests, Trouble as Failing};
use silo_tests::messages::{
    NIL, PAYLOAD, bytes as bytes_of, cancel, data, delete, enqueue, failure, get, lease_one,
    refused, report, restart, result, success,
};
use silo_tests::server::{Client, Server, Setup, Trouble, impatient};
use tokio::task::JoinHandle;
use tonic::{Code, Request, Status};

/// Longer than any test may take.
const LONG: u32 = 60_000;

type Answer = JoinHandle<Result<AwaitJobResponse, Status>>;

fn wait(id: &str, wait_ms: u32) -> AwaitJobRequest {
    AwaitJobRequest {
        id: id.to_owned(),
        wait_ms,
        ..AwaitJobRequest::default()
    }
}

/// Asks and goes on.
fn ask(client: &Client, request: AwaitJobRequest) -> Answer {
    let mut client = client.clone();
    tokio::spawn(async move {
        let answer = client.await_job(request).await?;
        Ok(answer.into_inner())
    })
}

/// What a call was answered, well before its wait would have ended: it was woken.
async fn told(answer: Answer) -> Result<Result<AwaitJobResponse, Status>, Trouble> {
    Ok(tokio::time::timeout(Duration::from_secs(30), answer).await??)
}

/// Until so many calls wait.
async fn waiting(server: &Server, count: usize) {
    let mut waiting = server.node.waiters().waiting();
    waiting
        .wait_for(|waiting| *waiting == count)
        .await
        .expect("a node");
}

/// A job that runs.
async fn running(client: &mut Client, job: EnqueueRequest) -> Result<Task, Trouble> {
    let id = job.id.clone();
    client.enqueue(job).await?;
    let leased = client.lease_task(lease_one(&id)).await?.into_inner();
    Ok(leased.task.ok_or("a task")?)
}

fn status(answer: &AwaitJobResponse) -> (JobStatus, Option<Outcome>) {
    let outcome = answer.result.clone().and_then(|result| result.result);
    (answer.status(), outcome)
}

#[silo::test]
async fn a_call_that_waits_gets_every_kind_of_end() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    for (id, outcome) in [
        ("succeeds", success()),
        ("fails", failure("E")),
        (
            "stops",
            silo_runtime::proto::report_outcome_request::Outcome::Cancelled(
                silo_runtime::proto::Cancelled {},
            ),
        ),
    ] {
        let task = running(&mut client, enqueue(id)).await?;
        let answer = ask(&client, wait(id, LONG));
        waiting(&server, 1).await;
        client.report_outcome(report(&task, outcome)).await?;
        let answer = told(answer).await??;
        let asked = client.get_job_result(result(id)).await?.into_inner();
        assert_eq!(answer.status, asked.status);
        match (id, status(&answer)) {
            ("succeeds", (JobStatus::Succeeded, Some(Outcome::SuccessData(it)))) => {
                assert_eq!(bytes_of(Some(&it)), NIL);
            }
            ("fails", (JobStatus::Failed, Some(Outcome::Failure(it)))) => {
                assert_eq!(it.error_code, "E");
                assert_eq!(bytes_of(it.error_data.as_ref()), PAYLOAD);
            }
            ("stops", (JobStatus::Cancelled, Some(Outcome::Cancelled(_)))) => {}
            other => return Err(format!("{other:?}").into()),
        }
        assert_eq!(answer.result, Some(asked), "the same as GetJobResult");
    }
    client.enqueue(enqueue("queued")).await?;
    let answer = ask(&client, wait("queued", LONG));
    waiting(&server, 1).await;
    client.cancel_job(cancel("queued")).await?;
    assert_eq!(told(answer).await??.status(), JobStatus::Cancelled);
    waiting(&server, 0).await;
    server.stop().await
}

#[silo::test]
async fn what_has_ended_is_told_at_once() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    let task = running(&mut client, enqueue("job")).await?;
    client.report_outcome(report(&task, success())).await?;
    for wait_ms in [0, LONG] {
        let answer = told(ask(&client, wait("job", wait_ms))).await??;
        assert_eq!(answer.status(), JobStatus::Succeeded);
        assert!(answer.result.is_some());
    }
    server.stop().await
}

#[silo::test]
async fn a_job_that_is_not_there_or_goes_is_not_found() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    let missing = (Code::NotFound, "JOB_NOT_FOUND", "job not found");
    refused(told(ask(&client, wait("nobody", LONG))).await?, missing)?;

    client.enqueue(enqueue("deleted")).await?;
    let answer = ask(&client, wait("deleted", LONG));
    waiting(&server, 1).await;
    client.delete_job(delete("deleted")).await?;
    refused(told(answer).await?, missing)?;

    // Kept for no time at all: gone with the tick after its end, also while it is asked for.
    let job = EnqueueRequest {
        retention: Some(Retention {
            cancelled_ms: Some(0),
            ..Retention::default()
        }),
        ..enqueue("retained")
    };
    client.enqueue(job).await?;
    let answers: Vec<Answer> = (0..20)
        .map(|_| ask(&client, wait("retained", LONG)))
        .collect();
    waiting(&server, 20).await;
    client.cancel_job(cancel("retained")).await?;
    for answer in answers {
        match told(answer).await? {
            Ok(answer) => assert_eq!(answer.status(), JobStatus::Cancelled),
            status => drop(refused(status, missing)?),
        }
    }
    refused(told(ask(&client, wait("retained", LONG))).await?, missing)?;
    waiting(&server, 0).await;
    server.stop().await
}

#[silo::test]
async fn a_wait_ends_with_where_the_job_stands() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    client.enqueue(enqueue("job")).await?;
    let at_once = client.await_job(wait("job", 0)).await?.into_inner();
    assert_eq!(status(&at_once), (JobStatus::Scheduled, None));
    let began = Instant::now();
    let answer = ask(&client, wait("job", 400));
    waiting(&server, 1).await;
    client.lease_task(lease_one("job")).await?;
    let answer = told(answer).await??;
    assert!(began.elapsed() >= Duration::from_millis(400));
    assert_eq!(status(&answer), (JobStatus::Running, None), "as it is now");
    // Its caller's deadline comes first: an answer that says little is worth more than none.
    let mut request = Request::new(wait("job", LONG));
    request.set_timeout(Duration::from_millis(1500));
    let answer = client.await_job(request).await?.into_inner();
    assert_eq!(status(&answer), (JobStatus::Running, None));
    assert!(began.elapsed() < Duration::from_secs(20));
    server.stop().await
}

#[silo::test]
async fn a_retry_and_a_restart_are_no_end() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    let job = EnqueueRequest {
        retry_policy: Some(silo_runtime::proto::RetryPolicy {
            retry_count: 1,
            ..silo_runtime::proto::RetryPolicy::default()
        }),
        ..enqueue("job")
    };
    let task = running(&mut client, job).await?;
    let answer = ask(&client, wait("job", LONG));
    waiting(&server, 1).await;
    client.report_outcome(report(&task, failure("E"))).await?;
    let again = client.lease_task(lease_one("job")).await?.into_inner();
    let again = again.task.ok_or("a task")?;
    assert!(!answer.is_finished());
    client.report_outcome(report(&again, failure("F"))).await?;
    let first = told(answer).await??;
    assert_eq!(first.status(), JobStatus::Failed);
    // Restarted, it has not ended any more.
    client.restart_job(restart("job")).await?;
    let answer = ask(&client, wait("job", LONG));
    waiting(&server, 1).await;
    let last = client.lease_task(lease_one("job")).await?.into_inner();
    let last = last.task.ok_or("a task")?;
    client.report_outcome(report(&last, success())).await?;
    assert_eq!(told(answer).await??.status(), JobStatus::Succeeded);
    server.stop().await
}

#[silo::test]
async fn a_thousand_who_wait_are_all_told() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    let large = data(&vec![7; 200_000]);
    let one = running(&mut client, enqueue("one")).await?;
    let mut tasks = Vec::new();
    for number in 0..100 {
        tasks.push(running(&mut client, enqueue(&format!("job-{number}"))).await?);
    }
    let mut answers = Vec::new();
    for number in 0..1000 {
        // Every tenth waits for the same job, the others for a hundred more.
        let id = if number % 10 == 0 {
            "one".to_owned()
        } else {
            format!("job-{}", number % 100)
        };
        let place = if number % 10 == 0 { 0 } else { 1 };
        // A connection has so many calls at once at most.
        if number % 500 == 0 {
            client = server.client().await?;
        }
        answers.push((place, ask(&client, wait(&id, LONG))));
    }
    waiting(&server, 1000).await;
    let done = silo_runtime::proto::report_outcome_request::Outcome::Success(large.clone());
    client.report_outcome(report(&one, done)).await?;
    let (of_one, others): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(at, _)| *at == 0);
    assert_eq!((of_one.len(), others.len()), (100, 900));
    for (_, answer) in of_one {
        let (status, outcome) = status(&told(answer).await??);
        assert_eq!(status, JobStatus::Succeeded);
        assert_eq!(outcome, Some(Outcome::SuccessData(large.clone())));
    }
    assert!(others.iter().all(|(_, answer)| !answer.is_finished()));
    for task in tasks {
        client.report_outcome(report(&task, success())).await?;
    }
    for (_, answer) in others {
        assert_eq!(told(answer).await??.status(), JobStatus::Succeeded);
    }
    waiting(&server, 0).await;
    server.stop().await
}

#[silo::test]
async fn an_end_that_is_durable_with_the_question_is_not_missed() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    let job = EnqueueRequest {
        start_at_ms: i64::MAX / 2,
        ..enqueue("job")
    };
    client.enqueue(job).await?;
    let shards = server.node.shards();
    let shard = shards.first().ok_or("a shard")?;
    let key = JobKey {
        tenant: Tenant::single(),
        job: JobId::parse("job")?,
    };
    // While the log is being written, what the call looks at and the end come into one round of it.
    let log = Requests::of([Operation::Put]).within("/wal/");
    let fault = server.faulty.inject(Fault::Waits, log);
    let other = tokio::spawn({
        let mut client = client.clone();
        async move { client.enqueue(enqueue("other")).await }
    });
    fault.struck(1).await;
    let mut expedited = Box::pin(shard.call(Command::Expedite(key.clone())));
    assert!((&mut expedited).now_or_never().is_none());
    let answer = ask(&client, wait("job", LONG));
    waiting(&server, 1).await;
    let mut cancelled = Box::pin(shard.call(Command::Cancel(key)));
    assert!((&mut cancelled).now_or_never().is_none());
    fault.end();
    assert_eq!(expedited.await?, Reply::Expedited);
    assert_eq!(cancelled.await?, Reply::Cancelled);
    assert_eq!(told(answer).await??.status(), JobStatus::Cancelled);
    other.await??;
    server.stop().await
}

#[silo::test]
async fn calls_that_wait_take_no_place_from_others() -> Result<(), Trouble> {
    let service = ServiceOptions {
        requests_in_flight_max: 2,
        ..ServiceOptions::default()
    };
    let server = Server::start(Setup {
        service,
        ..Setup::default()
    })
    .await?;
    let mut client = server.client().await?;
    let task = running(&mut client, enqueue("job")).await?;
    let mut answers = Vec::new();
    for count in 1..=20 {
        answers.push(ask(&client, wait("job", LONG)));
        waiting(&server, count).await;
        // The place is given back as soon as the job was asked for once.
        while client.get_job(get("nobody")).await.err().map(|e| e.code()) != Some(Code::NotFound) {
            tokio::task::yield_now().await;
        }
    }
    client.report_outcome(report(&task, success())).await?;
    for answer in answers {
        assert_eq!(told(answer).await??.status(), JobStatus::Succeeded);
    }
    server.stop().await
}

#[silo::test]
async fn a_server_that_shuts_down_keeps_nobody_waiting() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    client.enqueue(enqueue("job")).await?;
    let answer = ask(&client, wait("job", LONG));
    waiting(&server, 1).await;
    let began = Instant::now();
    server.stop().await?;
    assert_eq!(told(answer).await??.status(), JobStatus::Scheduled);
    assert!(began.elapsed() < Duration::from_secs(15));
    Ok(())
}

#[silo::test]
async fn those_who_go_away_leave_nothing_behind() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    let task = running(&mut client, enqueue("job")).await?;
    for _ in 0..5 {
        let gone: Vec<Answer> = (0..100).map(|_| ask(&client, wait("job", LONG))).collect();
        waiting(&server, 100).await;
        gone.iter().for_each(JoinHandle::abort);
        waiting(&server, 0).await;
    }
    let stays = ask(&client, wait("job", LONG));
    waiting(&server, 1).await;
    client.report_outcome(report(&task, success())).await?;
    assert_eq!(told(stays).await??.status(), JobStatus::Succeeded);
    server.stop().await
}

async fn rust_client(server: &Server) -> Result<Rust, Trouble> {
    Ok(Rust::connect(ClientOptions::new([server.address.to_string()])).await?)
}

#[silo::test]
async fn our_client_waits_through_an_outage() -> Result<(), Trouble> {
    let server = Server::start(Setup {
        storage: impatient(),
        lease_ms: 60_000,
        ..Setup::default()
    })
    .await?;
    let mut client = server.client().await?;
    let task = running(&mut client, enqueue("job")).await?;
    let rust = rust_client(&server)
        .await?
        .with_deadline(Duration::from_millis(150));
    let waits = tokio::spawn({
        let rust = rust.clone();
        async move { rust.await_job("job", Duration::from_secs(50)).await }
    });
    waiting(&server, 1).await;
    let outage = server
        .faulty
        .inject(Fault::Fails(Failing::Generic), Requests::all());
    // What is written fails, and the shard is opened again once it can be.
    let lost = client.enqueue(enqueue("lost")).await;
    assert!(lost.is_err());
    tokio::time::timeout(Duration::from_secs(30), outage.struck(10)).await?;
    outage.end();
    let patient = rust.with_deadline(Duration::from_secs(30));
    let done = silo_runtime::client::task::Outcome::Success(bytes::Bytes::from_static(NIL));
    patient.report(&TaskRef::from(&task), done).await?;
    let awaited = tokio::time::timeout(Duration::from_secs(30), waits).await???;
    assert!(
        matches!(&awaited, Awaited::Ended(it) if it.status() == JobStatus::Succeeded),
        "{awaited:?}"
    );
    server.stop().await
}

#[silo::test]
async fn our_client_says_where_the_job_stands_when_its_time_is_over() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    client.enqueue(enqueue("job")).await?;
    let rust = rust_client(&server)
        .await?
        .with_deadline(Duration::from_millis(200));
    let began = Instant::now();
    // Longer than one call may take.
    let awaited = rust.await_job("job", Duration::from_millis(900)).await?;
    assert_eq!(awaited, Awaited::NotYet(JobStatus::Scheduled));
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(20));
    let at_once = rust.await_job("job", Duration::ZERO).await?;
    assert_eq!(at_once, Awaited::NotYet(JobStatus::Scheduled));
    let nobody = rust.await_job("nobody", Duration::from_secs(50)).await;
    assert!(matches!(
        nobody,
        Err(silo_runtime::client::error::Error::NotFound(_))
    ));
    let forever = tokio::spawn(async move { rust.await_job("job", Duration::MAX).await });
    waiting(&server, 1).await;
    client.cancel_job(cancel("job")).await?;
    let awaited = tokio::time::timeout(Duration::from_secs(30), forever).await???;
    assert!(matches!(awaited, Awaited::Ended(_)), "{awaited:?}");
    server.stop().await
}
