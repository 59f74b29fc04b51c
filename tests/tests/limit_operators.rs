//! What operators see of limits and say of them, over the wire; and why a job does not run.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects)]

use silo_runtime::client::Client as Rust;
use silo_runtime::client::enqueue::Enqueue as NewJob;
use silo_runtime::client::limits::LimitChange;
use silo_runtime::client::options::ClientOptions;
use silo_runtime::proto::explain_job_response::Explanation;
use silo_runtime::proto::set_limit_request::Change;
use silo_runtime::proto::{
    ClearLimit, Count, DropTenantHoldersRequest, DueBecause, EnqueueRequest, ExplainJobRequest,
    JobStatus, LeaseTasksRequest, LimitObstacle, LimitView, ListLimitsRequest, NotDue, PauseLimit,
    ResumeLimit, SetLimitRequest, ShowLimitRequest, ShowLimitResponse, WaitsForLimits,
};
use silo_tests::limits::{done, ids, take, wants};
use silo_tests::messages::{GROUP, NIL, WORKER, enqueue, expedite, lease, limits, refused};
use silo_tests::server::{Client, Server, Setup, Trouble};
use tonic::Code;

/// Says something of a limit.
async fn set(c: &mut Client, key: &str, change: Change) -> Result<(), Trouble> {
    let request = SetLimitRequest {
        key: key.to_owned(),
        change: Some(change),
        ..SetLimitRequest::default()
    };
    c.set_limit(request).await?;
    Ok(())
}

async fn list(c: &mut Client) -> Result<Vec<LimitView>, Trouble> {
    let request = ListLimitsRequest::default();
    Ok(c.list_limits(request).await?.into_inner().limits)
}

async fn show(c: &mut Client, request: ShowLimitRequest) -> Result<ShowLimitResponse, Trouble> {
    Ok(c.show_limit(request).await?.into_inner())
}

fn of(key: &str) -> ShowLimitRequest {
    ShowLimitRequest {
        key: key.to_owned(),
        ..ShowLimitRequest::default()
    }
}

async fn explain(c: &mut Client, id: &str) -> Result<Explanation, Trouble> {
    let request = ExplainJobRequest {
        id: id.to_owned(),
        ..ExplainJobRequest::default()
    };
    let told = c.explain_job(request).await?.into_inner();
    assert_eq!(
        (told.id.as_str(), told.task_group.as_str(), told.priority),
        (id, GROUP, 0)
    );
    Ok(told.explanation.ok_or("no explanation")?)
}

async fn waits(c: &mut Client, id: &str) -> Result<WaitsForLimits, Trouble> {
    let told = explain(c, id).await?;
    let Explanation::Waits(waits) = told else {
        return Err(format!("{told:?}").into());
    };
    Ok(waits)
}

fn exactly(number: u64) -> Option<Count> {
    let at_least = false;
    Some(Count { number, at_least })
}

#[silo::test]
async fn a_limit_is_paused_and_resumed_and_what_runs_goes_on() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    for id in ["1", "2", "3"] {
        wants(c, id, &[("k", 2)]).await?;
    }
    let first = c.lease_tasks(lease(1)).await?.into_inner().tasks;
    set(c, "k", Change::Pause(PauseLimit {})).await?;
    done(c, &first[0]).await?;
    let second = take(c).await?;
    assert_eq!(ids(&second), ["2"], "it had its slot");
    done(c, &second[0]).await?;
    assert!(take(c).await?.is_empty());
    let paused = &list(c).await?[0];
    assert!(paused.paused && paused.slots == 0 && paused.max_concurrency == 2);
    set(c, "k", Change::Resume(ResumeLimit {})).await?;
    assert_eq!(ids(&take(c).await?), ["3"]);
    server.stop().await
}

/// Whoever waits for tasks is woken by it.
#[silo::test]
async fn a_maximum_that_is_raised_counts_at_once_and_until_it_is_cleared() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    for id in ["1", "2", "3", "4"] {
        wants(c, id, &[("k", 1)]).await?;
    }
    assert_eq!(ids(&take(c).await?), ["1"]);
    let long = LeaseTasksRequest {
        wait_ms: 60_000,
        ..lease(100)
    };
    let waiting = {
        let mut c = server.client().await?;
        tokio::spawn(async move { c.lease_tasks(long).await })
    };
    let mut waiters = server.node.waiters().waiting();
    waiters.wait_for(|waiting| *waiting == 1).await?;
    set(c, "k", Change::MaxConcurrency(3)).await?;
    let tasks = waiting.await??.into_inner().tasks;
    assert_eq!(ids(&tasks), ["2", "3"]);
    set(c, "k", Change::Clear(ClearLimit {})).await?;
    done(c, &tasks[0]).await?;
    assert!(take(c).await?.is_empty(), "two of one run");
    let seen = &list(c).await?[0];
    assert_eq!(
        (seen.held, seen.slots, seen.set_max_concurrency),
        (2, 1, None)
    );
    server.stop().await
}

#[silo::test]
async fn limits_are_listed_and_shown() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    for number in 0..5 {
        wants(c, &format!("{number}"), &[("a", 2), ("b", 9)]).await?;
    }
    wants(c, "c", &[("c", 1)]).await?;
    let tasks = take(c).await?;
    let limits = list(c).await?;
    let seen: Vec<_> = limits
        .iter()
        .map(|limit| (limit.key.as_str(), limit.held, limit.waiting))
        .collect();
    let want = [
        ("a", 2, exactly(3)),
        ("b", 2, exactly(0)),
        ("c", 1, exactly(0)),
    ];
    assert_eq!(seen, want);
    assert_eq!(limits[0].first_waiting_id.as_deref(), Some("2"));
    assert!(limits[0].first_waits_since_ms.is_some_and(|at| at > 0));

    // Page by page.
    let mut keys = Vec::new();
    let mut page = ListLimitsRequest {
        page_size: 1,
        ..ListLimitsRequest::default()
    };
    for _ in 0..10 {
        let answer = c.list_limits(page.clone()).await?.into_inner();
        keys.extend(answer.limits.into_iter().map(|limit| limit.key));
        page.page_token = answer.next_page_token;
        if page.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(keys, ["a", "b", "c"]);

    let shown = show(c, of("a")).await?;
    assert_eq!(shown.limit.as_ref(), Some(&limits[0]));
    let holders: Vec<_> = shown
        .holders
        .iter()
        .map(|it| (it.id.as_str(), it.worker_id.as_deref()))
        .collect();
    assert_eq!(holders, [("0", Some(WORKER)), ("1", Some(WORKER))]);
    let waiting: Vec<_> = shown.waiting.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(waiting, ["2", "3", "4"]);
    let cut = ShowLimitRequest {
        page_size: 1,
        waiting_max: Some(1),
        ..of("a")
    };
    let cut = show(c, cut).await?;
    assert_eq!((cut.holders.len(), cut.waiting.len()), (1, 1));
    let rest = ShowLimitRequest {
        page_token: cut.next_page_token.clone(),
        waiting_max: Some(0),
        ..of("a")
    };
    let rest = show(c, rest).await?;
    assert_eq!(rest.holders, shown.holders[1..]);
    assert_eq!(rest.waiting, []);

    for task in &tasks {
        done(c, task).await?;
    }
    let unused = show(c, of("c")).await?;
    assert_eq!((unused.limit, unused.holders.len()), (None, 0));
    server.stop().await
}

#[silo::test]
async fn what_is_asked_of_limits_out_of_bounds_is_refused() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    let invalid = |text| (Code::InvalidArgument, "INVALID_FIELD", text);
    let key = "key is 0 bytes long, but must be 1 to 256 bytes";
    refused(c.show_limit(of("")).await, invalid(key))?;
    let nothing = SetLimitRequest {
        key: "k".to_owned(),
        ..SetLimitRequest::default()
    };
    let text = "change is absent, but must be given";
    refused(c.set_limit(nothing.clone()).await, invalid(text))?;
    let no_key = SetLimitRequest {
        key: String::new(),
        change: Some(Change::MaxConcurrency(1)),
        ..nothing
    };
    refused(c.set_limit(no_key).await, invalid(key))?;
    let large = ListLimitsRequest {
        page_size: 1001,
        ..ListLimitsRequest::default()
    };
    let text = "page_size is 1001, but must be at most 1000";
    refused(c.list_limits(large).await, invalid(text))?;
    let large = ShowLimitRequest {
        page_size: 1001,
        ..of("k")
    };
    refused(c.show_limit(large).await, invalid(text))?;
    let large = ShowLimitRequest {
        waiting_max: Some(1001),
        ..of("k")
    };
    let text = "waiting_max is 1001, but must be at most 1000";
    refused(c.show_limit(large).await, invalid(text))?;
    let text = "page_token is YQ, but must be as the last answer to the same request said";
    let foreign = ListLimitsRequest {
        key_prefix: "b".to_owned(),
        page_token: "YQ".to_owned(),
        ..ListLimitsRequest::default()
    };
    refused(c.list_limits(foreign).await, invalid(text))?;
    let foreign = ShowLimitRequest {
        page_token: "YQ".to_owned(),
        ..of("k")
    };
    refused(c.show_limit(foreign).await, invalid(text))?;
    let unknown = (Code::NotFound, "JOB_NOT_FOUND", "job not found");
    let nobody = ExplainJobRequest {
        id: "nobody".to_owned(),
        ..ExplainJobRequest::default()
    };
    refused(c.explain_job(nobody).await, unknown)?;
    server.stop().await
}

#[silo::test]
async fn an_explanation_is_true_at_each_stage() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    let job = EnqueueRequest {
        start_at_ms: i64::MAX / 2,
        limits: limits(&[("k", 1), ("other", 7)]),
        ..enqueue("job")
    };
    c.enqueue(job).await?;
    let start = NotDue {
        until_ms: i64::MAX / 2,
        because: DueBecause::Start.into(),
    };
    assert_eq!(explain(c, "job").await?, Explanation::NotDue(start));

    wants(c, "holds", &[("k", 1)]).await?;
    let held = take(c).await?;
    wants(c, "before", &[("k", 1)]).await?;
    c.expedite_job(expedite("job")).await?;
    let told = waits(c, "job").await?;
    assert_eq!(told.limit_key, "k");
    let limits: Vec<_> = told
        .limits
        .iter()
        .map(|limit| {
            (
                limit.key.as_str(),
                limit.held,
                limit.slots,
                limit.obstacle(),
            )
        })
        .collect();
    let want = [
        ("k", 1, 1, LimitObstacle::Full),
        ("other", 0, 7, LimitObstacle::None),
    ];
    assert_eq!(limits, want);
    assert_eq!(
        (told.before, told.of, told.sets_before),
        (exactly(0), 1, exactly(1)),
        "one that wants other limits comes first"
    );
    assert_eq!(told.holders[0].id, "holds");

    set(c, "k", Change::Pause(PauseLimit {})).await?;
    let told = waits(c, "job").await?;
    assert_eq!(told.limits[0].obstacle(), LimitObstacle::Paused);
    set(c, "k", Change::Resume(ResumeLimit {})).await?;

    done(c, &held[0]).await?;
    assert_eq!(ids(&take(c).await?), ["before"]);
    set(c, "k", Change::MaxConcurrency(2)).await?;
    let told = explain(c, "job").await?;
    let Explanation::Ready(told) = told else {
        return Err(format!("{told:?}").into());
    };
    assert_eq!(
        (told.before, told.of, told.workers_waiting),
        (exactly(0), 1, 0)
    );
    let task = take(c).await?.remove(0);
    let told = explain(c, "job").await?;
    let Explanation::Running(told) = told else {
        return Err(format!("{told:?}").into());
    };
    assert_eq!(told.worker_id, WORKER);
    assert_eq!((told.attempt_number, told.cancel_asked_at_ms), (1, None));
    done(c, &task).await?;
    let told = explain(c, "job").await?;
    let Explanation::Ended(told) = told else {
        return Err(format!("{told:?}").into());
    };
    assert_eq!(told.status(), JobStatus::Succeeded);
    server.stop().await
}

/// Nothing can differ where nothing was damaged.
#[silo::test]
async fn what_is_counted_anew_does_not_differ() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    for number in 0..20 {
        let keys = [("a", 3), ("b", 2), ("c", 1)];
        let some = &keys[..number % 3 + 1];
        wants(c, &format!("{number}"), some).await?;
    }
    let tasks = take(c).await?;
    done(c, &tasks[0]).await?;
    let before = list(c).await?;
    let request = DropTenantHoldersRequest::default();
    let answer = c.drop_tenant_holders(request).await?.into_inner();
    assert_eq!(answer.holders_dropped, 0);
    assert_eq!(list(c).await?, before);
    server.stop().await
}

#[silo::test]
async fn limits_are_of_one_tenant() -> Result<(), Trouble> {
    let setup = Setup {
        tenancy: true,
        shards: 2,
        ..Setup::default()
    };
    let server = Server::start(setup).await?;
    let connect = async |tenant: &str| {
        Rust::connect(ClientOptions {
            tenant: Some(tenant.to_owned()),
            ..ClientOptions::new([server.address.to_string()])
        })
        .await
    };
    let (a, b) = (connect("a").await?, connect("b").await?);
    a.set_limit("k", LimitChange::Pause).await?;
    for client in [&a, &b] {
        let job = NewJob {
            id: Some("job".to_owned()),
            limits: limits(&[("k", 1)]),
            ..NewJob::new(GROUP, NIL)
        };
        client.enqueue(job).await?;
    }
    let told = async |client: &Rust| client.explain("job").await.map(|told| told.explanation);
    assert!(matches!(told(&a).await?, Some(Explanation::Waits(_))));
    assert!(matches!(told(&b).await?, Some(Explanation::Ready(_))));
    let page = a.limits_page("k", 10, "").await?;
    assert!(page.limits[0].paused && page.limits[0].waiting == exactly(1));
    let shown = b.show_limit("k", 10, "", 10).await?;
    assert_eq!(shown.holders[0].id, "job");
    a.set_limit("k", LimitChange::Resume).await?;
    assert!(matches!(told(&a).await?, Some(Explanation::Ready(_))));
    assert_eq!(a.recount_limits().await?, 0);
    // Without a tenant nobody knows whose.
    let mut c = server.client().await?;
    let text = "tenant is absent, but must be given: tenancy is on";
    let want = (Code::InvalidArgument, "INVALID_FIELD", text);
    let request = ListLimitsRequest::default();
    refused(c.list_limits(request).await, want)?;
    server.stop().await
}
