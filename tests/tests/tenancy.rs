//! Tenants: given, missing, too long, somebody else's.

#![cfg(test)]

use silo_runtime::proto::report_outcome_request::Outcome;
use silo_runtime::proto::{EnqueueRequest, GetJobRequest, HeartbeatRequest, ReportOutcomeRequest};
use silo_tests::messages::{data, enqueue, get, heartbeat, lease, reason, report};
use silo_tests::server::{Server, Setup, Trouble};
use tonic::Code;

fn of(tenant: &str, id: &str) -> EnqueueRequest {
    EnqueueRequest {
        tenant: Some(tenant.to_owned()),
        ..enqueue(id)
    }
}

fn get_of(tenant: &str, id: &str) -> GetJobRequest {
    GetJobRequest {
        tenant: Some(tenant.to_owned()),
        ..get(id)
    }
}

#[silo::test]
async fn off_no_tenant_may_be_given() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut c = server.client().await?;
    let status = c.enqueue(of("t", "job")).await.expect_err("a tenant");
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(reason(&status), "TENANCY_OFF");
    let status = c.get_job(get_of("t", "job")).await.expect_err("a tenant");
    assert_eq!(status.code(), Code::FailedPrecondition);
    // An empty tenant is an absent one.
    c.enqueue(of("", "job")).await?;
    c.get_job(get_of("", "job")).await?;
    // Workers' calls are not asked.
    let task = c.lease_tasks(lease(1)).await?.into_inner().tasks.remove(0);
    assert_eq!(task.tenant_id, None);
    let tenant_id = Some("t".to_owned());
    let beat = HeartbeatRequest {
        tenant_id: tenant_id.clone(),
        ..heartbeat(&task)
    };
    c.heartbeat(beat).await?;
    let done = report(&task, Outcome::Success(data(b"\xc0")));
    c.report_outcome(ReportOutcomeRequest { tenant_id, ..done })
        .await?;
    server.stop().await
}

#[silo::test]
async fn on_a_tenant_must_be_given() -> Result<(), Trouble> {
    let server = Server::start(Setup {
        tenancy: true,
        shards: 8,
        ..Setup::default()
    })
    .await?;
    let mut c = server.client().await?;
    for request in [enqueue("job"), of("", "job")] {
        let status = c.enqueue(request).await.expect_err("no tenant");
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(
            status.message(),
            "tenant is absent, but must be given: tenancy is on"
        );
    }
    c.enqueue(of(&"ü".repeat(64), "job")).await?;
    let status = c
        .enqueue(of(&"ü".repeat(65), "job"))
        .await
        .expect_err("a long tenant");
    assert_eq!(status.code(), Code::InvalidArgument);
    let text = "tenant is 65 characters long, but must be 1 to 64 characters";
    assert_eq!(status.message(), text);
    server.stop().await
}

#[silo::test]
async fn nobody_reaches_anothers_job_or_lease() -> Result<(), Trouble> {
    let server = Server::start(Setup {
        tenancy: true,
        ..Setup::default()
    })
    .await?;
    let mut c = server.client().await?;
    c.enqueue(of("a", "job")).await?;
    let status = c
        .get_job(get_of("b", "job"))
        .await
        .expect_err("another's job");
    assert_eq!(status.code(), Code::NotFound);
    // The id is free for everybody else.
    c.enqueue(of("b", "job")).await?;
    let tasks = c.lease_tasks(lease(2)).await?.into_inner().tasks;
    let tenants: Vec<_> = tasks
        .iter()
        .filter_map(|task| task.tenant_id.as_deref())
        .collect();
    assert_eq!(tenants.len(), 2);
    assert!(tenants.contains(&"a") && tenants.contains(&"b"));
    let task = &tasks[0];
    let other = Some(tenants[1].to_owned());
    let beat = HeartbeatRequest {
        tenant_id: other.clone(),
        ..heartbeat(task)
    };
    let status = c.heartbeat(beat).await.expect_err("another's lease");
    assert_eq!(
        (status.code(), status.message()),
        (Code::NotFound, "lease not found")
    );
    let done = report(task, Outcome::Success(data(b"\xc0")));
    let theirs = ReportOutcomeRequest {
        tenant_id: other,
        ..done.clone()
    };
    let status = c.report_outcome(theirs).await.expect_err("another's lease");
    assert_eq!(
        (status.code(), status.message()),
        (Code::NotFound, "lease not found")
    );
    // The task id is the authority; a tenant beside it may be absent.
    c.report_outcome(ReportOutcomeRequest {
        tenant_id: None,
        ..done
    })
    .await?;
    server.stop().await
}
