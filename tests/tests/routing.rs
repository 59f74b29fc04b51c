//! Several shards of one node: who gets a call, and who is asked for tasks.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use silo_core::types::tenant::Tenant;
use silo_runtime::proto::report_outcome_request::Outcome;
use silo_runtime::proto::{
    CancelJobRequest, EnqueueRequest, Failure, FlushShardRequest, GetClusterInfoRequest,
    GetJobRequest, GetNodeInfoRequest, LeaseTasksRequest, OwnedShardInfo, Task,
};
use silo_test_faults::fault::{Fault, Operation, Requests};
use silo_tests::messages::{cancel, data, enqueue, get, heartbeat, lease, reason, report};
use silo_tests::server::{Client, Server, Setup, Trouble};
use tokio::time::timeout;
use tonic::Code;
use uuid::Uuid;

const SHARDS: u32 = 4;

async fn start() -> Result<Server, Trouble> {
    Server::start(Setup {
        tenancy: true,
        shards: SHARDS,
        ..Setup::default()
    })
    .await
}

/// For each shard, in order, a tenant that it holds.
fn tenants(server: &Server) -> Vec<String> {
    let shards = server.node.shards();
    let names = |index: usize| (0..1000).map(move |n| format!("tenant-{index}-{n}"));
    let of = |(index, shard): (usize, &std::sync::Arc<_>)| {
        let shard: &silo_runtime::executor::shard::Shard = shard;
        let holds = |name: &String| {
            let tenant = Tenant::parse(name).expect("a tenant");
            shard.entry().range.contains(tenant.hash())
        };
        names(index).find(holds).expect("a tenant of each shard")
    };
    shards.iter().enumerate().map(of).collect()
}

async fn fill(client: &mut Client, tenant: &str, jobs: usize) -> Result<(), Trouble> {
    for _ in 0..jobs {
        let tenant = Some(tenant.to_owned());
        client
            .enqueue(EnqueueRequest {
                tenant,
                ..enqueue("")
            })
            .await?;
    }
    Ok(())
}

#[silo::test]
async fn a_call_goes_to_its_tenants_shard() -> Result<(), Trouble> {
    let server = start().await?;
    let mut c = server.client().await?;
    for (tenant, shard) in tenants(&server).into_iter().zip(server.shard_ids()) {
        let tenant = Some(tenant);
        c.enqueue(EnqueueRequest {
            tenant: tenant.clone(),
            ..enqueue("job")
        })
        .await?;
        // It is found in the shard that is named, which is where it was routed.
        let named = GetJobRequest {
            shard: shard.clone(),
            tenant,
            ..get("job")
        };
        c.get_job(named).await?;
        let named = LeaseTasksRequest {
            shard: Some(shard.clone()),
            ..lease(9)
        };
        let tasks = c.lease_tasks(named).await?.into_inner().tasks;
        assert_eq!(tasks.len(), 1);
        assert_eq!(tasks[0].shard, shard);
        // Workers need not name the shard.
        let mut beat = heartbeat(&tasks[0]);
        beat.shard.clear();
        c.heartbeat(beat).await?;
        let mut done = report(&tasks[0], Outcome::Success(data(b"\xc0")));
        done.shard.clear();
        c.report_outcome(done).await?;
    }
    server.stop().await
}

#[silo::test]
async fn a_wrong_shard_is_refused() -> Result<(), Trouble> {
    let server = start().await?;
    let mut c = server.client().await?;
    let tenant = Some(tenants(&server).remove(0));
    let elsewhere = server.shard_ids().remove(1);
    let request = EnqueueRequest {
        shard: elsewhere,
        tenant: tenant.clone(),
        ..enqueue("job")
    };
    let status = c.enqueue(request).await.expect_err("outside the range");
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(reason(&status), "TENANT_OUTSIDE_SHARD");

    let unknown = Uuid::from_u128(7).to_string();
    let request = EnqueueRequest {
        shard: unknown.clone(),
        tenant,
        ..enqueue("job")
    };
    let status = c.enqueue(request).await.expect_err("not here");
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().contains("shard not found"), "{status}");
    assert_eq!(reason(&status), "SHARD_NOT_FOUND");
    let request = LeaseTasksRequest {
        shard: Some(unknown),
        ..lease(1)
    };
    let status = c.lease_tasks(request).await.expect_err("not here");
    assert_eq!(status.code(), Code::NotFound);
    let request = LeaseTasksRequest {
        shard: Some("x".to_owned()),
        ..lease(1)
    };
    let status = c.lease_tasks(request).await.expect_err("no shard");
    assert_eq!(status.code(), Code::InvalidArgument);
    server.stop().await
}

#[silo::test]
async fn tasks_come_in_fair_shares() -> Result<(), Trouble> {
    let server = start().await?;
    let mut c = server.client().await?;
    for tenant in tenants(&server) {
        fill(&mut c, &tenant, 10).await?;
    }
    let tasks = c.lease_tasks(lease(8)).await?.into_inner().tasks;
    let mut of_shard = BTreeMap::<&str, Vec<&str>>::new();
    for task in &tasks {
        of_shard.entry(&task.shard).or_default().push(&task.id);
    }
    let shares: Vec<usize> = of_shard.values().map(Vec::len).collect();
    assert_eq!(shares, [2, 2, 2, 2]);
    // One at a time, each shard has its turn.
    let mut turns = BTreeSet::new();
    for _ in 0..SHARDS {
        let tasks = c.lease_tasks(lease(1)).await?.into_inner().tasks;
        assert_eq!(tasks.len(), 1);
        turns.insert(tasks[0].shard.clone());
    }
    assert_eq!(turns.len(), 4);
    assert!(c.lease_tasks(lease(0)).await?.into_inner().tasks.is_empty());
    // All that is left, and no more.
    let rest = c.lease_tasks(lease(100)).await?.into_inner().tasks;
    assert_eq!(rest.len(), 40 - 8 - 4);
    let ids: BTreeSet<_> = tasks.iter().chain(&rest).map(|task| &task.id).collect();
    assert_eq!(ids.len(), 8 + 28);
    server.stop().await
}

#[silo::test]
async fn one_shards_work_fills_a_whole_request() -> Result<(), Trouble> {
    let server = start().await?;
    let mut c = server.client().await?;
    let tenants = tenants(&server);
    fill(&mut c, &tenants[0], 20).await?;
    fill(&mut c, &tenants[1], 2).await?;
    let tasks = c.lease_tasks(lease(20)).await?.into_inner().tasks;
    assert_eq!(tasks.len(), 20);
    server.stop().await
}

/// The shards that these tasks come from.
fn shards_of(tasks: &[Task]) -> BTreeSet<String> {
    tasks.iter().map(|task| task.shard.clone()).collect()
}

#[silo::test]
async fn one_shards_error_drops_only_its_share() -> Result<(), Trouble> {
    let server = start().await?;
    let mut c = server.client().await?;
    for tenant in tenants(&server) {
        fill(&mut c, &tenant, 3).await?;
    }
    // It is known to have work, and answers with an error.
    let closed = server.node.shards()[1].clone();
    closed.close().await;
    let ids = server.shard_ids();
    let tasks = c.lease_tasks(lease(100)).await?.into_inner().tasks;
    assert_eq!(tasks.len(), 3 * 3);
    let others: BTreeSet<String> = [&ids[0], &ids[2], &ids[3]].into_iter().cloned().collect();
    assert_eq!(shards_of(&tasks), others);
    // Nobody else to answer: now the error counts.
    let named = LeaseTasksRequest {
        shard: Some(ids[1].clone()),
        ..lease(1)
    };
    let status = c.lease_tasks(named).await.expect_err("it is closed");
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    server.stop().await
}

#[silo::test]
async fn one_slow_shard_does_not_hold_up_the_others_tasks() -> Result<(), Trouble> {
    let lease_ms = 3_600_000;
    let server = Server::start(Setup {
        tenancy: true,
        shards: SHARDS,
        lease_ms,
        ..Setup::default()
    })
    .await?;
    let mut c = server.client().await?;
    for tenant in tenants(&server) {
        fill(&mut c, &tenant, 2).await?;
    }
    let slow = server.node.shards()[2].entry().clone();
    let writes = Requests::of([Operation::Put]).within(&slow.path);
    let held = server.faulty.inject(Fault::Waits, writes);
    // Without a bound on the wait this would take until the call's deadline.
    let answer = timeout(Duration::from_secs(30), c.lease_tasks(lease(100))).await??;
    let tasks = answer.into_inner().tasks;
    assert_eq!(tasks.len(), 3 * 2);
    let slow_id = slow.shard_id.to_string();
    assert!(!shards_of(&tasks).contains(&slow_id));
    // What it leased meanwhile is handed back and not lost for an hour.
    held.end();
    let named = || LeaseTasksRequest {
        shard: Some(slow_id.clone()),
        ..lease(100)
    };
    let again = async {
        let mut found = Vec::new();
        while found.len() < 2 {
            found.extend(c.lease_tasks(named()).await?.into_inner().tasks);
        }
        Ok::<_, Trouble>(found)
    };
    for task in timeout(Duration::from_secs(30), again).await?? {
        assert_eq!(task.attempt_number, 1);
    }
    server.stop().await
}

#[silo::test]
async fn a_lease_keeps_to_its_bytes() -> Result<(), Trouble> {
    let server = start().await?;
    let mut c = server.client().await?;
    for tenant in tenants(&server) {
        let payload = Some(data(&[7; 1000]));
        c.enqueue(EnqueueRequest {
            tenant: Some(tenant),
            payload,
            ..enqueue("")
        })
        .await?;
    }
    // Each shard could send one; together they are too many, and what does not fit goes back.
    let mut seen = BTreeSet::new();
    while seen.len() < 4 {
        let request = LeaseTasksRequest {
            max_bytes: 2500,
            ..lease(9)
        };
        let tasks = c.lease_tasks(request).await?.into_inner().tasks;
        assert!(tasks.len() <= 2, "{}", tasks.len());
        for task in tasks {
            assert_eq!(task.attempt_number, 1);
            assert!(seen.insert(task.job_id));
        }
    }
    // One task goes out alone, however large.
    let tenant = Some(tenants(&server).remove(0));
    let payload = Some(data(&[7; 1000]));
    c.enqueue(EnqueueRequest {
        tenant,
        payload,
        ..enqueue("")
    })
    .await?;
    let request = LeaseTasksRequest {
        max_bytes: 1,
        ..lease(9)
    };
    assert_eq!(c.lease_tasks(request).await?.into_inner().tasks.len(), 1);
    server.stop().await
}

#[silo::test]
async fn the_jobs_of_each_shard_are_counted() -> Result<(), Trouble> {
    let server = start().await?;
    let mut c = server.client().await?;
    let tenants = tenants(&server);
    for (index, tenant) in tenants.iter().enumerate() {
        fill(&mut c, tenant, index).await?;
    }
    let totals = async |c: &mut Client| {
        let info = c.get_node_info(GetNodeInfoRequest {}).await?.into_inner();
        let of = |shard: &OwnedShardInfo| (shard.total_jobs, shard.completed_jobs);
        Ok::<Vec<_>, Trouble>(info.owned_shards.iter().map(of).collect())
    };
    assert_eq!(totals(&mut c).await?, [(0, 0), (1, 0), (2, 0), (3, 0)]);
    // However they end they are completed, and still there.
    let named = LeaseTasksRequest {
        shard: Some(server.shard_ids()[3].clone()),
        ..lease(2)
    };
    let tasks = c.lease_tasks(named).await?.into_inner().tasks;
    let ends = [
        Outcome::Success(data(b"\xc0")),
        Outcome::Failure(Failure::default()),
    ];
    for (task, end) in tasks.iter().zip(ends) {
        c.report_outcome(report(task, end)).await?;
    }
    let tenant = Some(tenants[0].clone());
    c.enqueue(EnqueueRequest {
        tenant: tenant.clone(),
        ..enqueue("job")
    })
    .await?;
    c.cancel_job(CancelJobRequest {
        tenant,
        ..cancel("job")
    })
    .await?;
    assert_eq!(totals(&mut c).await?, [(1, 1), (1, 0), (2, 0), (3, 2)]);
    server.stop().await
}

#[silo::test]
async fn the_layout_is_told() -> Result<(), Trouble> {
    let server = start().await?;
    let mut c = server.client().await?;
    let info = c
        .get_cluster_info(GetClusterInfoRequest {})
        .await?
        .into_inner();
    assert_eq!(info.num_shards, SHARDS);
    assert_eq!(info.this_node_id, "node-1");
    assert_eq!(info.this_grpc_addr, server.address.to_string());
    assert_eq!(info.members.len(), 1);
    assert_eq!(info.members[0].grpc_addr, server.address.to_string());
    let ids: Vec<_> = info
        .shard_owners
        .iter()
        .map(|owner| owner.shard_id.clone())
        .collect();
    assert_eq!(ids, server.shard_ids());
    let mut start = String::new();
    for owner in &info.shard_owners {
        assert_eq!(owner.range_start, start);
        assert_eq!(owner.grpc_addr, server.address.to_string());
        assert_eq!(owner.node_id, "node-1");
        start.clone_from(&owner.range_end);
    }
    assert_eq!(start, "");
    assert_eq!(info.shard_owners[0].range_end, "4000000000000000");

    let info = c.get_node_info(GetNodeInfoRequest {}).await?.into_inner();
    assert_eq!(info.node_id, "node-1");
    assert_eq!(info.owned_shards.len(), 4);
    assert!(
        info.owned_shards
            .iter()
            .all(|shard| shard.created_at_ms > 0)
    );

    let shard = server.shard_ids().remove(0);
    let flushed = c
        .flush_shard(FlushShardRequest { shard })
        .await?
        .into_inner();
    assert_eq!(flushed.status, "flushed");
    let status = c
        .flush_shard(FlushShardRequest::default())
        .await
        .expect_err("which?");
    assert_eq!(status.code(), Code::InvalidArgument);
    server.stop().await
}
