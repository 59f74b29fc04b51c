//! Weights and pauses over the network: what is set is shown, counts, and wakes whoever waits.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects)]

use std::sync::Arc;
use std::time::Duration;

use silo_core::types::tenant::Tenant;
use silo_core::types::weight::{Weight, Weights};
use silo_runtime::proto::{
    EnqueueRequest, GetTenantRequest, LeaseTaskRequest, LeaseTasksRequest, ListPausedQueuesRequest,
    PauseQueueRequest, ResumeQueueRequest, SetTenantRequest, TenantInfo,
};
use silo_tests::messages::{enqueue, lease, lease_one, refused};
use silo_tests::server::{Client, Server, Setup, Trouble};
use tokio::time::timeout;
use tonic::Code;

const PATIENCE: Duration = Duration::from_secs(20);

/// Four shards with tenants, where "b" has weight 2 by the configuration.
async fn start() -> Result<(Server, Client), Trouble> {
    let server = Server::start(Setup {
        shards: 4,
        tenancy: true,
        weights: Weights {
            default: Weight::ONE,
            named: Arc::new([(Tenant::parse("b")?, Weight::parse(2)?)].into()),
        },
        ..Setup::default()
    })
    .await?;
    let client = server.client().await?;
    Ok((server, client))
}

fn job(tenant: &str, id: &str) -> EnqueueRequest {
    EnqueueRequest {
        tenant: Some(tenant.to_owned()),
        ..enqueue(id)
    }
}

async fn set(
    c: &mut Client,
    tenant: &str,
    weight: Option<u32>,
    paused: Option<bool>,
) -> Result<TenantInfo, tonic::Status> {
    let request = SetTenantRequest {
        shard: String::new(),
        tenant: Some(tenant.to_owned()),
        weight,
        paused,
    };
    let answer = c.set_tenant(request).await?.into_inner();
    answer
        .tenant
        .ok_or_else(|| tonic::Status::internal("no tenant"))
}

async fn shown(c: &mut Client, tenant: &str) -> Result<TenantInfo, tonic::Status> {
    let request = GetTenantRequest {
        shard: String::new(),
        tenant: Some(tenant.to_owned()),
    };
    let answer = c.get_tenant(request).await?.into_inner();
    answer
        .tenant
        .ok_or_else(|| tonic::Status::internal("no tenant"))
}

async fn pause(c: &mut Client, tenant: Option<&str>, group: &str) -> Result<u32, tonic::Status> {
    let request = PauseQueueRequest {
        shard: String::new(),
        tenant: tenant.map(str::to_owned),
        task_group: group.to_owned(),
    };
    Ok(c.pause_queue(request).await?.into_inner().shards)
}

async fn resume(c: &mut Client, tenant: Option<&str>, group: &str) -> Result<u32, tonic::Status> {
    let request = ResumeQueueRequest {
        shard: String::new(),
        tenant: tenant.map(str::to_owned),
        task_group: group.to_owned(),
    };
    Ok(c.resume_queue(request).await?.into_inner().shards)
}

async fn leased(c: &mut Client, request: LeaseTasksRequest) -> Result<Vec<String>, tonic::Status> {
    let tasks = c.lease_tasks(request).await?.into_inner().tasks;
    Ok(tasks.into_iter().map(|task| task.job_id).collect())
}

#[silo::test]
async fn weights_are_those_set_else_those_of_the_configuration() -> Result<(), Trouble> {
    let (server, mut c) = start().await?;
    let weights = |info: &TenantInfo| (info.weight, info.weight_set);
    assert_eq!(weights(&shown(&mut c, "a").await?), (1, None));
    assert_eq!(weights(&shown(&mut c, "b").await?), (2, None));
    let info = set(&mut c, "b", Some(5), None).await?;
    assert_eq!(weights(&info), (5, Some(5)));
    assert_eq!(info.tenant.as_deref(), Some("b"));
    assert_eq!(shown(&mut c, "b").await?, info);
    let info = set(&mut c, "b", Some(0), None).await?;
    assert_eq!(weights(&info), (2, None));
    let refusal = set(&mut c, "b", Some(1001), None).await;
    let text = "weight is 1001, but must be 1 to 1000";
    refused(refusal, (Code::InvalidArgument, "INVALID_FIELD", text))?;
    server.stop().await?;
    Ok(())
}

#[silo::test]
async fn a_lease_gives_each_tenant_as_much_as_it_weighs() -> Result<(), Trouble> {
    let server = Server::start(Setup {
        tenancy: true,
        ..Setup::default()
    })
    .await?;
    let mut c = server.client().await?;
    for number in 0..6 {
        for tenant in ["a", "b"] {
            c.enqueue(job(tenant, &format!("{tenant}{number}"))).await?;
        }
    }
    set(&mut c, "a", Some(3), None).await?;
    let got = leased(&mut c, lease(8)).await?;
    assert_eq!(got, ["a0", "a1", "a2", "b0", "a3", "a4", "a5", "b1"]);
    server.stop().await?;
    Ok(())
}

#[silo::test]
async fn whoever_waits_is_woken_when_what_was_paused_is_resumed() -> Result<(), Trouble> {
    let (server, mut c) = start().await?;
    let group = enqueue("").task_group;
    for (number, of_all) in [(0, false), (1, true), (2, false)] {
        let id = format!("j{number}");
        let of = (!of_all).then_some("a");
        let is_tenant = number == 2;
        if is_tenant {
            set(&mut c, "a", None, Some(true)).await?;
        } else {
            let shards = pause(&mut c, of, &group).await?;
            assert_eq!(shards, if of_all { 4 } else { 1 });
        }
        c.enqueue(job("a", &id)).await?;
        assert!(leased(&mut c, lease(9)).await?.is_empty(), "{id} is paused");
        let request = LeaseTaskRequest {
            tenant: Some("a".to_owned()),
            ..lease_one(&id)
        };
        let (reason, what) = match number {
            0 => (
                "QUEUE_PAUSED",
                format!("task group {group} is paused for its tenant"),
            ),
            1 => ("QUEUE_PAUSED", format!("task group {group} is paused")),
            _ => ("TENANT_PAUSED", "tenant a is paused".to_owned()),
        };
        let text = format!("job cannot be leased: {what}; resume it first");
        let refusal = c.lease_task(request).await;
        refused(refusal, (Code::FailedPrecondition, reason, &text))?;
        let mut waiting = c.clone();
        let request = LeaseTasksRequest {
            wait_ms: 60_000,
            ..lease(9)
        };
        let waiting = tokio::spawn(async move { leased(&mut waiting, request).await });
        let mut waiters = server.node.waiters().waiting();
        timeout(PATIENCE, waiters.wait_for(|count| *count == 1)).await??;
        if is_tenant {
            set(&mut c, "a", None, Some(false)).await?;
        } else {
            resume(&mut c, of, &group).await?;
        }
        assert_eq!(timeout(PATIENCE, waiting).await???, [id]);
    }
    server.stop().await?;
    Ok(())
}

#[silo::test]
async fn what_is_paused_is_listed() -> Result<(), Trouble> {
    let (server, mut c) = start().await?;
    assert_eq!(pause(&mut c, None, "g").await?, 4);
    assert_eq!(pause(&mut c, Some("a"), "h").await?, 1);
    let all = ListPausedQueuesRequest::default();
    let queues = c.list_paused_queues(all.clone()).await?.into_inner().queues;
    assert_eq!(queues.len(), 4);
    assert!(queues.iter().all(|queue| queue.task_group == "g"));
    let one = ListPausedQueuesRequest {
        shard: queues[0].shard.clone(),
    };
    let queues = c.list_paused_queues(one).await?.into_inner().queues;
    assert_eq!(queues.len(), 1);
    let info = set(&mut c, "a", None, Some(true)).await?;
    assert!(info.paused_at_ms.is_some());
    let groups: Vec<_> = info.paused_queues.iter().map(|q| &*q.task_group).collect();
    assert_eq!(groups, ["h"]);
    // A second call changes nothing.
    assert_eq!(set(&mut c, "a", None, Some(true)).await?, info);
    assert_eq!(resume(&mut c, None, "g").await?, 4);
    assert!(
        c.list_paused_queues(all)
            .await?
            .into_inner()
            .queues
            .is_empty()
    );
    let text = "task_group is 0 characters long, but must be 1 to 64 characters";
    let nameless = pause(&mut c, None, "").await;
    refused(nameless, (Code::InvalidArgument, "INVALID_FIELD", text))?;
    server.stop().await?;
    Ok(())
}
