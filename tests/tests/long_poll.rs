//! `LeaseTasks` with `wait_ms`: the call waits for work and is woken by it.

#![cfg(test)]

use std::time::{Duration, Instant};

use silo_runtime::proto::report_outcome_request::Outcome;
use silo_runtime::proto::{
    EnqueueRequest, Failure, LeaseTasksRequest, LeaseTasksResponse, Release, RetryPolicy,
};
use silo_runtime::service::ServiceOptions;
use silo_tests::messages::{data, enqueue, get, lease, report};
use silo_tests::server::{Client, Server, Setup, Trouble};
use tokio::task::JoinHandle;
use tonic::{Request, Status};

/// Longer than any test may take.
const LONG: u32 = 60_000;

type Answer = JoinHandle<Result<LeaseTasksResponse, Status>>;

fn wait(wait_ms: u32) -> LeaseTasksRequest {
    LeaseTasksRequest {
        wait_ms,
        ..lease(1)
    }
}

/// Asks and goes on.
fn ask(client: &Client, request: LeaseTasksRequest) -> Answer {
    let mut client = client.clone();
    tokio::spawn(async move {
        let answer = client.lease_tasks(request).await?;
        Ok(answer.into_inner())
    })
}

/// What a call was answered, well before its wait would have ended: it was woken.
async fn told(answer: Answer) -> Result<LeaseTasksResponse, Trouble> {
    let answer = tokio::time::timeout(Duration::from_secs(20), answer).await?;
    Ok(answer??)
}

/// Until so many calls wait.
async fn waiting(server: &Server, count: usize) {
    let mut waiting = server.node.waiters().waiting();
    waiting
        .wait_for(|waiting| *waiting == count)
        .await
        .expect("a node");
}

fn ids(answer: &LeaseTasksResponse) -> Vec<&str> {
    answer
        .tasks
        .iter()
        .map(|task| task.job_id.as_str())
        .collect()
}

#[silo::test]
async fn a_call_that_waits_gets_the_job_that_comes() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    let answer = ask(&client, wait(LONG));
    waiting(&server, 1).await;
    client.enqueue(enqueue("job")).await?;
    assert_eq!(ids(&told(answer).await?), ["job"]);
    waiting(&server, 0).await;
    server.stop().await
}

#[silo::test]
async fn what_is_there_is_handed_out_at_once() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    client.enqueue(enqueue("job")).await?;
    let answer = client.lease_tasks(wait(LONG)).await?.into_inner();
    assert_eq!(ids(&answer), ["job"]);
    assert_eq!(answer.waited_ms, 0);
    let none = LeaseTasksRequest {
        max_tasks: 0,
        ..wait(LONG)
    };
    assert!(
        client
            .lease_tasks(none)
            .await?
            .into_inner()
            .tasks
            .is_empty()
    );
    server.stop().await
}

#[silo::test]
async fn a_job_whose_time_comes_wakes_who_waits() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let later = EnqueueRequest {
        start_at_ms: i64::try_from(now.as_millis())?.saturating_add(300),
        ..enqueue("later")
    };
    client.enqueue(later).await?;
    let began = Instant::now();
    let answer = client.lease_tasks(wait(LONG)).await?.into_inner();
    assert_eq!(ids(&answer), ["later"]);
    assert!(answer.waited_ms >= 100, "{answer:?}");
    assert!(began.elapsed() < Duration::from_secs(20));
    server.stop().await
}

#[silo::test]
async fn a_retry_and_a_release_wake_who_waits() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    let job = EnqueueRequest {
        retry_policy: Some(RetryPolicy {
            retry_count: 3,
            initial_interval_ms: 50,
            ..RetryPolicy::default()
        }),
        ..enqueue("job")
    };
    client.enqueue(job).await?;
    let failed = Outcome::Failure(Failure {
        code: "E".to_owned(),
        data: Some(data(b"\xc0")),
        ..Failure::default()
    });
    for outcome in [failed, Outcome::Release(Release {})] {
        let task = client
            .lease_tasks(wait(LONG))
            .await?
            .into_inner()
            .tasks
            .remove(0);
        let answer = ask(&client, wait(LONG));
        waiting(&server, 1).await;
        client.report_outcome(report(&task, outcome)).await?;
        let again = told(answer).await?.tasks.remove(0);
        assert_eq!(again.job_id, "job");
        client
            .report_outcome(report(&again, Outcome::Release(Release {})))
            .await?;
    }
    server.stop().await
}

#[silo::test]
async fn a_wait_ends_empty_when_its_time_is_over() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    let began = Instant::now();
    let answer = client.lease_tasks(wait(200)).await?.into_inner();
    assert!(answer.tasks.is_empty());
    assert!(began.elapsed() >= Duration::from_millis(200));
    // Its caller's deadline comes first: an empty answer is worth more than none.
    let mut request = Request::new(wait(LONG));
    request.set_timeout(Duration::from_millis(1500));
    let answer = client.lease_tasks(request).await?.into_inner();
    assert!(answer.tasks.is_empty());
    assert!(began.elapsed() < Duration::from_secs(20));
    server.stop().await
}

#[silo::test]
async fn a_server_that_shuts_down_keeps_nobody_waiting() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let client = server.client().await?;
    let answer = ask(&client, wait(LONG));
    waiting(&server, 1).await;
    let began = Instant::now();
    server.stop().await?;
    assert!(told(answer).await?.tasks.is_empty());
    assert!(began.elapsed() < Duration::from_secs(15));
    Ok(())
}

#[silo::test]
async fn whoever_goes_away_takes_no_job_along() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    for round in 0..20 {
        let gone = ask(&client, wait(LONG));
        waiting(&server, 1).await;
        let stays = ask(&client, wait(LONG));
        waiting(&server, 2).await;
        // The first in the line goes as the job comes.
        let id = format!("job-{round}");
        let (enqueued, ()) = tokio::join!(client.enqueue(enqueue(&id)), async { gone.abort() });
        enqueued?;
        let task = told(stays).await?.tasks.remove(0);
        assert_eq!(task.job_id, id);
        client
            .report_outcome(report(&task, Outcome::Success(data(b"\xc0"))))
            .await?;
        waiting(&server, 0).await;
    }
    server.stop().await
}

#[silo::test]
async fn a_hundred_who_wait_get_a_hundred_jobs_one_each() -> Result<(), Trouble> {
    let server = Server::start(Setup {
        shards: 4,
        tenancy: true,
        ..Setup::default()
    })
    .await?;
    let mut client = server.client().await?;
    let answers: Vec<Answer> = (0..100).map(|_| ask(&client, wait(LONG))).collect();
    waiting(&server, 100).await;
    for number in 0..100 {
        let job = EnqueueRequest {
            tenant: Some(format!("tenant-{}", number % 10)),
            ..enqueue(&format!("job-{number}"))
        };
        client.enqueue(job).await?;
    }
    let mut jobs = Vec::new();
    for answer in answers {
        let mut tasks = told(answer).await?.tasks;
        assert_eq!(tasks.len(), 1);
        jobs.push(tasks.remove(0).job_id);
    }
    jobs.sort();
    jobs.dedup();
    assert_eq!(jobs.len(), 100);
    assert_eq!(server.node.waiters().groups(), 0, "no line is left");
    server.stop().await
}

#[silo::test]
async fn a_call_for_one_shard_waits_for_that_one() -> Result<(), Trouble> {
    let server = Server::start(Setup {
        shards: 2,
        tenancy: true,
        ..Setup::default()
    })
    .await?;
    let mut client = server.client().await?;
    let of = |tenant: &str, id: &str| EnqueueRequest {
        tenant: Some(tenant.to_owned()),
        ..enqueue(id)
    };
    // One tenant of each shard, found by asking where a job of theirs is.
    let mut tenants = Vec::new();
    for shard in server.node.shards().iter() {
        let tenant = (0..100)
            .map(|number| format!("tenant-{number}"))
            .find(|name| {
                let tenant = silo_core::types::tenant::Tenant::parse(name).expect("a name");
                shard.entry().range.contains(tenant.hash())
            });
        tenants.push(tenant.ok_or("a tenant for each shard")?);
    }
    let named = LeaseTasksRequest {
        shard: Some(server.shard_ids().remove(1)),
        ..wait(LONG)
    };
    let answer = ask(&client, named);
    waiting(&server, 1).await;
    let [first, second] = tenants.as_slice() else {
        return Err("two shards".into());
    };
    client.enqueue(of(first, "elsewhere")).await?;
    client.enqueue(of(second, "here")).await?;
    assert_eq!(ids(&told(answer).await?), ["here"]);
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
    let mut answers = Vec::new();
    for count in 1..=20 {
        answers.push(ask(&client, wait(LONG)));
        waiting(&server, count).await;
        // The place is given back right after the first try.
        while client.get_job(get("nobody")).await.err().map(|e| e.code())
            != Some(tonic::Code::NotFound)
        {
            tokio::task::yield_now().await;
        }
    }
    client.enqueue(enqueue("job")).await?;
    let first = futures::future::select_all(answers);
    let (answer, _, rest) = tokio::time::timeout(Duration::from_secs(20), first).await?;
    assert_eq!(ids(&answer??), ["job"]);
    for answer in rest {
        answer.abort();
    }
    waiting(&server, 0).await;
    server.stop().await
}

#[silo::test]
async fn names_that_are_made_up_leave_nothing_behind() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    for number in 0..50 {
        let request = LeaseTasksRequest {
            task_group: format!("nobody-{number}"),
            ..wait(1)
        };
        assert!(
            client
                .lease_tasks(request)
                .await?
                .into_inner()
                .tasks
                .is_empty()
        );
    }
    assert_eq!(server.node.waiters().groups(), 0);
    server.stop().await
}
