//! Codes, reasons and texts of refusals, as clients elsewhere match them.

#![cfg(test)]

use silo_runtime::proto::report_outcome_request::Outcome;
use silo_runtime::proto::*;
use silo_tests::messages::{
    GROUP, cancel, data, enqueue, get, heartbeat, lease_one, reason, report, result,
};
use silo_tests::server::{Client, Server, Setup, Trouble};
use tonic::{Code, Response, Status};

/// What a refusal must be.
struct Case<'a> {
    what: &'a str,
    got: Result<(), Status>,
    code: Code,
    reason: &'a str,
    text: &'a str,
}

fn case<'a, T>(
    what: &'a str,
    got: Result<Response<T>, Status>,
    (code, reason, text): (Code, &'a str, &'a str),
) -> Case<'a> {
    let got = got.map(|_| ());
    Case {
        what,
        got,
        code,
        reason,
        text,
    }
}

fn check(cases: Vec<Case<'_>>) {
    for case in cases {
        let status = case.got.expect_err(case.what);
        assert_eq!(status.code(), case.code, "{}: {status:?}", case.what);
        assert_eq!(reason(&status), case.reason, "{}", case.what);
        assert_eq!(status.message(), case.text, "{}", case.what);
        let info = tonic_types::StatusExt::get_details_error_info(&status).expect(case.what);
        assert_eq!(info.domain, "silo");
    }
}

async fn take(client: &mut Client, id: &str) -> Result<Task, Trouble> {
    client.enqueue(enqueue(id)).await?;
    let task = client.lease_task(lease_one(id)).await?.into_inner().task;
    Ok(task.ok_or("no task")?)
}

fn success(bytes: &[u8]) -> Outcome {
    Outcome::Success(data(bytes))
}

#[silo::test]
async fn of_jobs() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut c = server.client().await?;
    c.enqueue(enqueue("waits")).await?;
    c.enqueue(enqueue("cancelled")).await?;
    c.cancel_job(cancel("cancelled")).await?;
    let done = take(&mut c, "done").await?;
    c.report_outcome(report(&done, success(b"\xc0"))).await?;
    take(&mut c, "runs").await?;

    let unknown = (Code::NotFound, "JOB_NOT_FOUND", "job not found");
    let precondition = Code::FailedPrecondition;
    let terminal = (
        precondition,
        "JOB_TERMINAL",
        "job is already in terminal state",
    );
    let no_result = |text| (precondition, "JOB_NOT_TERMINAL", text);
    let no_lease = |text| (precondition, "JOB_NOT_LEASABLE", text);
    check(vec![
        case("get unknown", c.get_job(get("none")).await, unknown),
        case(
            "result unknown",
            c.get_job_result(result("none")).await,
            unknown,
        ),
        case(
            "cancel unknown",
            c.cancel_job(cancel("none")).await,
            unknown,
        ),
        case(
            "lease unknown",
            c.lease_task(lease_one("none")).await,
            unknown,
        ),
        case(
            "result of a waiting job",
            c.get_job_result(result("waits")).await,
            no_result("job has no result yet: it is scheduled"),
        ),
        case(
            "result of a running job",
            c.get_job_result(result("runs")).await,
            no_result("job has no result yet: it is running"),
        ),
        case(
            "cancel of a cancelled job",
            c.cancel_job(cancel("cancelled")).await,
            (precondition, "JOB_CANCELLED", "job is already cancelled"),
        ),
        case(
            "cancel of a job that is over",
            c.cancel_job(cancel("done")).await,
            terminal,
        ),
        case(
            "lease of a running job",
            c.lease_task(lease_one("runs")).await,
            no_lease("job cannot be leased: it is running"),
        ),
        case(
            "lease of a job that is over",
            c.lease_task(lease_one("done")).await,
            no_lease("job cannot be leased: it is succeeded"),
        ),
        case(
            "lease of a cancelled job",
            c.lease_task(lease_one("cancelled")).await,
            no_lease("job cannot be leased: it is cancelled"),
        ),
        case(
            "enqueue of an id that exists",
            c.enqueue(enqueue("waits")).await,
            (
                Code::AlreadyExists,
                "JOB_EXISTS",
                "a job with id waits already exists: choose another id, or send the same \
                 request_id and content to repeat a call",
            ),
        ),
    ]);
    server.stop().await
}

#[silo::test]
async fn of_leases() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut c = server.client().await?;
    let task = take(&mut c, "runs").await?;
    let done = take(&mut c, "done").await?;
    c.report_outcome(report(&done, success(b"\xc0"))).await?;
    let given_back = take(&mut c, "back").await?;
    c.report_outcome(report(&given_back, Outcome::Release(Release {})))
        .await?;

    let garbage = Task {
        id: "no task id".to_owned(),
        ..task.clone()
    };
    let other = HeartbeatRequest {
        worker_id: "other".to_owned(),
        ..heartbeat(&task)
    };
    let lease_gone = |reason| (Code::NotFound, reason, "lease not found");
    check(vec![
        case(
            "heartbeat: garbage",
            c.heartbeat(heartbeat(&garbage)).await,
            lease_gone("LEASE_UNKNOWN"),
        ),
        case(
            "heartbeat: over",
            c.heartbeat(heartbeat(&done)).await,
            lease_gone("LEASE_UNKNOWN"),
        ),
        case(
            "outcome: garbage",
            c.report_outcome(report(&garbage, success(b"\xc0"))).await,
            lease_gone("LEASE_UNKNOWN"),
        ),
        case(
            "outcome: another one",
            c.report_outcome(report(&done, success(b"\xc3"))).await,
            lease_gone("LEASE_FINISHED"),
        ),
        case(
            "outcome: given back",
            c.report_outcome(report(&given_back, success(b"\xc0")))
                .await,
            lease_gone("LEASE_RELEASED"),
        ),
        case(
            "heartbeat: another worker's",
            c.heartbeat(other).await,
            (
                Code::FailedPrecondition,
                "LEASE_OWNER_MISMATCH",
                "lease owner mismatch",
            ),
        ),
    ]);
    server.stop().await
}

#[silo::test]
async fn of_what_is_not_there_yet() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut c = server.client().await?;
    let wants = |limit| EnqueueRequest {
        limits: vec![Limit { limit: Some(limit) }],
        ..enqueue("a")
    };
    let mut got: Vec<(&str, Result<(), Status>)> = Vec::new();
    macro_rules! call {
        ($name:expr, $method:ident, $request:expr) => {
            got.push(($name, c.$method($request).await.map(|_| ())));
        };
    }
    let rate = limit::Limit::RateLimit(GubernatorRateLimit::default());
    call!("Limit.rate_limit", enqueue, wants(rate));
    let floating = limit::Limit::FloatingConcurrency(FloatingConcurrencyLimit::default());
    call!("Limit.floating_concurrency", enqueue, wants(floating));
    call!(
        "ReportRefreshOutcome",
        report_refresh_outcome,
        ReportRefreshOutcomeRequest::default()
    );
    call!("Query", query, QueryRequest::default());
    call!("QueryArrow", query_arrow, QueryArrowRequest::default());
    call!("CpuProfile", cpu_profile, CpuProfileRequest::default());
    call!("HeapProfile", heap_profile, HeapProfileRequest::default());
    call!(
        "RequestSplit",
        request_split,
        RequestSplitRequest::default()
    );
    call!(
        "GetSplitStatus",
        get_split_status,
        GetSplitStatusRequest::default()
    );
    call!(
        "ConfigureShard",
        configure_shard,
        ConfigureShardRequest::default()
    );
    call!(
        "ForceReleaseShard",
        force_release_shard,
        ForceReleaseShardRequest::default()
    );
    for (what, got) in got {
        let status = got.expect_err(what);
        assert_eq!(status.code(), Code::Unimplemented, "{what}: {status:?}");
        assert_eq!(
            status.message(),
            format!("{what} is not implemented by this server yet")
        );
    }
    // Asking for the defaults asks for nothing.
    let retention = Some(Retention::default());
    c.enqueue(EnqueueRequest {
        retention,
        ..enqueue("defaults")
    })
    .await?;
    assert_eq!(
        c.get_job(get("defaults")).await?.into_inner().task_group,
        GROUP
    );
    server.stop().await
}
