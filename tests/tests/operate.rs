//! What operators ask: jobs that were set aside, in pages, and what becomes of them; a shard's
//! files.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects)]

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use silo_core::table::Table as _;
use silo_core::table::job::Jobs;
use silo_core::table::key::Key;
use silo_core::table::state::States;
use silo_core::types::tenant::Tenant;
use silo_runtime::proto::{
    CompactShardRequest, DeleteJobRequest, EnqueueBatchRequest, EnqueueRequest, FlushShardRequest,
    GetJobRequest, GetNodeInfoRequest, GetShardStorageInfoRequest, GetShardStorageInfoResponse,
    ImportJobsRequest, JobStatus, ListQuarantinedJobsRequest, QuarantinedJob,
};
use silo_tests::damaged::{key, key_of, put, put_all};
use silo_tests::messages::{
    data, delete, enqueue, expedite, get, import, lease, lease_one, refused, report, restart,
    success,
};
use silo_tests::server::{Client, Server, Setup, Trouble};
use tokio::time::timeout;
use tonic::Code;

const PATIENCE: Duration = Duration::from_secs(20);
const GARBAGE: &[u8] = b"\xff garbage";
const QUARANTINED: (Code, &str, &str) = (
    Code::FailedPrecondition,
    "JOB_QUARANTINED",
    "job is quarantined: a row of it is damaged; an operator can delete it or restart it",
);
const UNKNOWN: (Code, &str, &str) = (Code::NotFound, "JOB_NOT_FOUND", "job not found");

const fn invalid(text: &str) -> (Code, &str, &str) {
    (Code::InvalidArgument, "INVALID_FIELD", text)
}

fn garbage() -> Option<Bytes> {
    Some(Bytes::from_static(GARBAGE))
}

async fn list(
    c: &mut Client,
    request: &ListQuarantinedJobsRequest,
) -> Result<(Vec<QuarantinedJob>, String), tonic::Status> {
    let page = c.list_quarantined_jobs(request.clone()).await?.into_inner();
    Ok((page.jobs, page.next_page_token))
}

fn all() -> ListQuarantinedJobsRequest {
    ListQuarantinedJobsRequest::default()
}

/// A server with these jobs, after rows of theirs were damaged and each was asked for.
async fn with_damage(
    setup: &Setup,
    ids: &[&str],
    damaged: &[(Key, Option<Bytes>)],
) -> Result<Server, Trouble> {
    let server = Server::start(setup.clone()).await?;
    let c = &mut server.client().await?;
    for id in ids {
        c.enqueue(enqueue(id)).await?;
    }
    server.stop().await?;
    for (row, value) in damaged {
        put(setup, row.clone(), value.clone()).await?;
    }
    let server = Server::start(setup.clone()).await?;
    let c = &mut server.client().await?;
    for id in ids {
        // Whoever touches it sets it aside.
        let _ = c.get_job(get(id)).await;
    }
    Ok(server)
}

#[silo::test]
async fn a_job_set_aside_refuses_all_but_restart_and_delete() -> Result<(), Trouble> {
    let setup = Setup::default();
    let damaged = [(States::key(&key("bad")?), garbage())];
    let server = with_damage(&setup, &["bad"], &damaged).await?;
    let c = &mut server.client().await?;
    refused(c.expedite_job(expedite("bad")).await, QUARANTINED)?;
    refused(c.lease_task(lease_one("bad")).await, QUARANTINED)?;
    let jobs = vec![import("bad"), import("good")];
    let answer = c.import_jobs(ImportJobsRequest { jobs }).await?;
    let results = answer.into_inner().results;
    assert_eq!(results[0].error.as_deref(), Some(QUARANTINED.2));
    assert!(results[1].success);

    let (jobs, next) = list(c, &all()).await?;
    assert_eq!((jobs.len(), next.as_str()), (1, ""));
    let shard = server.shard_ids().remove(0);
    let job = &jobs[0];
    assert_eq!(
        (job.id.as_str(), &job.tenant, &job.shard),
        ("bad", &None, &shard)
    );
    assert!(job.quarantined_at_ms > Some(1_600_000_000_000));
    assert!(!job.reason.is_empty());

    c.restart_job(restart("bad")).await?;
    assert_eq!(list(c, &all()).await?.0, []);
    let task = c.lease_task(lease_one("bad")).await?.into_inner().task;
    let task = task.ok_or("a task")?;
    c.report_outcome(report(&task, success())).await?;
    let job = c.get_job(get("bad")).await?.into_inner();
    assert_eq!(job.status(), JobStatus::Succeeded);
    server.stop().await
}

#[silo::test]
async fn a_job_that_cannot_be_read_is_only_deleted() -> Result<(), Trouble> {
    let setup = Setup::default();
    let damaged = [(Jobs::key(&key("bad")?), garbage())];
    let server = with_damage(&setup, &["bad", "good"], &damaged).await?;
    let c = &mut server.client().await?;
    refused(c.restart_job(restart("bad")).await, QUARANTINED)?;
    assert_eq!(list(c, &all()).await?.0.len(), 1);
    c.delete_job(delete("bad")).await?;
    refused(c.get_job(get("bad")).await, UNKNOWN)?;
    assert_eq!(list(c, &all()).await?.0, []);
    let info = c.get_node_info(GetNodeInfoRequest {}).await?.into_inner();
    assert_eq!(info.owned_shards[0].total_jobs, 1);
    // Its id is free, and nothing of it is left.
    c.enqueue(enqueue("bad")).await?;
    let tasks = c.lease_tasks(lease(10)).await?.into_inner().tasks;
    assert_eq!(tasks.len(), 2);
    server.stop().await
}

/// Tenants and how many jobs of theirs are damaged.
const TENANTS: [(&str, usize); 6] = [("a", 3), ("b", 2), ("c", 4), ("d", 1), ("e", 3), ("f", 2)];

/// A server of four shards with damaged jobs of several tenants, and a good one of each.
async fn with_tenants(setup: &Setup) -> Result<Server, Trouble> {
    let server = Server::start(setup.clone()).await?;
    let c = &mut server.client().await?;
    let of = |tenant: &str, id: &str| EnqueueRequest {
        tenant: Some(tenant.to_owned()),
        ..enqueue(id)
    };
    for (tenant, count) in TENANTS {
        let ids = (0..count).map(|n| format!("bad-{n}"));
        let jobs = ids.chain(["good".to_owned()]).map(|id| of(tenant, &id));
        let jobs = jobs.collect();
        let atomic = true;
        c.enqueue_batch(EnqueueBatchRequest { jobs, atomic })
            .await?;
    }
    server.stop().await?;
    for (tenant, count) in TENANTS {
        let mut rows = Vec::new();
        for number in 0..count {
            let key = key_of(tenant, &format!("bad-{number}"))?;
            rows.push((States::key(&key), garbage()));
        }
        put_all(setup, &Tenant::parse(tenant)?, rows).await?;
    }
    let server = Server::start(setup.clone()).await?;
    let c = &mut server.client().await?;
    for (tenant, count) in TENANTS {
        for number in 0..count {
            let job = GetJobRequest {
                tenant: Some(tenant.to_owned()),
                ..get(&format!("bad-{number}"))
            };
            refused(c.get_job(job).await, QUARANTINED)?;
        }
    }
    Ok(server)
}

/// All pages of a list, and how many there were.
async fn pages(
    c: &mut Client,
    mut request: ListQuarantinedJobsRequest,
) -> Result<(Vec<(String, String)>, usize), Trouble> {
    let mut seen = Vec::new();
    for count in 1..100 {
        let (jobs, next) = list(c, &request).await?;
        assert!(jobs.len() <= request.page_size as usize);
        let jobs = jobs.into_iter();
        seen.extend(jobs.map(|job| (job.tenant.unwrap_or_default(), job.id)));
        if next.is_empty() {
            return Ok((seen, count));
        }
        request.page_token = next;
    }
    Err("pages without end".into())
}

#[silo::test]
async fn the_list_comes_in_pages_over_shards() -> Result<(), Trouble> {
    let setup = Setup {
        tenancy: true,
        shards: 4,
        ..Setup::default()
    };
    let server = with_tenants(&setup).await?;
    let c = &mut server.client().await?;
    let mut want = BTreeSet::new();
    for (tenant, count) in TENANTS {
        want.extend((0..count).map(|n| (tenant.to_owned(), format!("bad-{n}"))));
    }
    let (whole, _) = list(c, &all()).await?;
    let shards: BTreeSet<_> = whole.iter().map(|job| job.shard.clone()).collect();
    assert!(shards.len() > 1, "on several shards");
    for page_size in [1, 2, 3, 7, 15, 16, 1000] {
        let request = ListQuarantinedJobsRequest { page_size, ..all() };
        let (seen, count) = pages(c, request).await?;
        assert_eq!(seen.len(), want.len(), "none twice");
        assert_eq!(BTreeSet::from_iter(seen), want);
        // A full page may be the last one; the next is empty then.
        assert_eq!(count, want.len() / page_size as usize + 1);
    }
    for (tenant, count) in TENANTS {
        let request = ListQuarantinedJobsRequest {
            tenant: Some(tenant.to_owned()),
            page_size: 2,
            ..all()
        };
        let (seen, _) = pages(c, request).await?;
        let own = (0..count).map(|n| (tenant.to_owned(), format!("bad-{n}")));
        assert!(seen.into_iter().eq(own));
    }
    for shard in &shards {
        let request = ListQuarantinedJobsRequest {
            shard: shard.clone(),
            ..all()
        };
        let (jobs, _) = list(c, &request).await?;
        let own = whole.iter().filter(|job| job.shard == *shard);
        assert!(jobs.iter().eq(own));
    }
    // One goes between two pages.
    let request = ListQuarantinedJobsRequest {
        page_size: 5,
        ..all()
    };
    let (first, next) = list(c, &request).await?;
    let last = first.last().ok_or("a job")?;
    let gone = DeleteJobRequest {
        tenant: last.tenant.clone(),
        ..delete(&last.id)
    };
    c.delete_job(gone).await?;
    let rest = ListQuarantinedJobsRequest {
        page_token: next,
        ..all()
    };
    let (rest, _) = list(c, &rest).await?;
    assert!(rest.iter().eq(whole.iter().skip(5)));
    server.stop().await
}

#[silo::test]
async fn what_cannot_be_listed_is_refused() -> Result<(), Trouble> {
    let setup = Setup {
        tenancy: true,
        shards: 4,
        ..Setup::default()
    };
    let server = with_tenants(&setup).await?;
    let c = &mut server.client().await?;
    let size = ListQuarantinedJobsRequest {
        page_size: 1001,
        ..all()
    };
    let text = "page_size is 1001, but must be at most 1000";
    refused(list(c, &size).await, invalid(text))?;
    let shard = ListQuarantinedJobsRequest {
        shard: "shard-1".to_owned(),
        ..all()
    };
    let text = "shard is shard-1, but must be empty or a UUID";
    refused(list(c, &shard).await, invalid(text))?;
    let tenant = ListQuarantinedJobsRequest {
        tenant: Some("t".repeat(65)),
        ..all()
    };
    let text = "tenant is 65 characters long, but must be 1 to 64 characters";
    refused(list(c, &tenant).await, invalid(text))?;
    let token = |page_token: &str| ListQuarantinedJobsRequest {
        page_token: page_token.to_owned(),
        ..all()
    };
    // No base64; too short; a shard and no key; a shard and half a key.
    let shard_only = "A".repeat(22);
    for text in ["not base64!", "AAAA", &shard_only, &"_".repeat(40)] {
        let want = format!(
            "page_token is {text}, but must be as the last answer to the same \
             request said"
        );
        refused(list(c, &token(text)).await, invalid(&want))?;
    }
    // A good one of another list: its shard is not among those asked for.
    let page = ListQuarantinedJobsRequest {
        page_size: 1,
        ..all()
    };
    let (jobs, next) = list(c, &page).await?;
    let mut others = server.shard_ids();
    others.retain(|shard| *shard != jobs[0].shard);
    let other = ListQuarantinedJobsRequest {
        shard: others.remove(0),
        ..token(&next)
    };
    let status = list(c, &other).await.expect_err("another list's");
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    // A tenant and a shard that does not hold it.
    let outside = ListQuarantinedJobsRequest {
        shard: others.remove(0),
        tenant: jobs[0].tenant.clone(),
        ..all()
    };
    let status = list(c, &outside).await.expect_err("outside");
    assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
    server.stop().await
}

fn info(shard: &str) -> GetShardStorageInfoRequest {
    GetShardStorageInfoRequest {
        shard: shard.to_owned(),
    }
}

fn compact(shard: &str) -> CompactShardRequest {
    CompactShardRequest {
        shard: shard.to_owned(),
    }
}

fn is_sound(info: &GetShardStorageInfoResponse) {
    let runs = &info.sorted_runs;
    assert_eq!(info.sorted_run_count, runs.len() as u64, "{info:?}");
    let bytes: u64 = runs.iter().map(|run| run.estimated_size).sum();
    assert_eq!(info.total_sorted_run_size, bytes, "{info:?}");
    assert!(runs.iter().all(|run| run.sst_count > 0), "{info:?}");
    assert_eq!(info.l0_sst_count == 0, info.total_l0_size == 0, "{info:?}");
}

#[silo::test]
async fn a_shards_files_are_told_and_merged() -> Result<(), Trouble> {
    let mut setup = Setup::default();
    setup.storage.shard.manifest_poll_ms = 30;
    setup.storage.shard.compaction_poll_ms = 50;
    let server = Server::start(setup).await?;
    let c = &mut server.client().await?;
    let shard = server.shard_ids().remove(0);
    // No job has ever been here.
    let empty = c.get_shard_storage_info(info(&shard)).await?.into_inner();
    assert_eq!((empty.l0_sst_count, empty.sorted_run_count), (0, 0));
    is_sound(&empty);
    let told = c.compact_shard(compact(&shard)).await?.into_inner().status;
    assert!(told.starts_with("compaction started for "), "{told}");

    for round in 0..3 {
        for number in 0..20 {
            let job = EnqueueRequest {
                payload: Some(data(&[1; 1000])),
                ..enqueue(&format!("job-{round}-{number}"))
            };
            c.enqueue(job).await?;
        }
        let flush = FlushShardRequest {
            shard: shard.clone(),
        };
        assert_eq!(c.flush_shard(flush).await?.into_inner().status, "flushed");
    }
    let before = c.get_shard_storage_info(info(&shard)).await?.into_inner();
    is_sound(&before);
    assert!(before.l0_sst_count + before.sorted_run_count > 0);
    assert!(before.total_l0_size + before.total_sorted_run_size > 60_000);
    let told = c.compact_shard(compact(&shard)).await?.into_inner().status;
    assert!(told.starts_with("compaction started for "), "{told}");
    let merging = async {
        loop {
            let now = c.get_shard_storage_info(info(&shard)).await?.into_inner();
            is_sound(&now);
            if now.l0_sst_count == 0 {
                return Ok::<_, Trouble>(now);
            }
            // What was being merged already goes before.
            c.compact_shard(compact(&shard)).await?;
        }
    };
    let after = timeout(PATIENCE, merging).await??;
    assert!(after.sorted_run_count > 0 && after.total_sorted_run_size > 0);
    c.get_job(get("job-0-0")).await?;
    assert_eq!(
        c.lease_tasks(lease(100)).await?.into_inner().tasks.len(),
        60
    );
    server.stop().await
}

#[silo::test]
async fn files_of_a_shard_that_is_not_here() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    let elsewhere = "00000000-0000-0000-0000-000000000000";
    let not_here = format!("shard not found: this node does not serve {elsewhere}");
    for (shard, want) in [
        (elsewhere, (Code::NotFound, "SHARD_NOT_FOUND", &*not_here)),
        (
            "shard-1",
            (
                Code::InvalidArgument,
                "INVALID_FIELD",
                "shard is shard-1, but must be empty or a UUID",
            ),
        ),
        (
            "",
            (
                Code::InvalidArgument,
                "INVALID_FIELD",
                "shard is empty, but must be a UUID",
            ),
        ),
    ] {
        refused(c.compact_shard(compact(shard)).await, want)?;
        refused(c.get_shard_storage_info(info(shard)).await, want)?;
        let flush = FlushShardRequest {
            shard: shard.to_owned(),
        };
        refused(c.flush_shard(flush).await, want)?;
    }
    server.stop().await
}
