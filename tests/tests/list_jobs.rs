//! `ListJobs`: a tenant's jobs, page by page, whatever happens to them meanwhile.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use silo_runtime::client::Client as Rust;
use silo_runtime::client::list::JobFilter;
use silo_runtime::client::options::ClientOptions;
use silo_runtime::proto::{
    EnqueueBatchRequest, EnqueueRequest, JobStatus, ListJobsRequest, ListJobsResponse, ListedJob,
};
use silo_tests::messages::{
    cancel, delete, enqueue, failure, get, lease, reason, reason_id, report, success,
};
use silo_tests::server::{Client, Server, Setup, Trouble};
use tonic::Code;

async fn page(client: &mut Client, list: &ListJobsRequest) -> Result<ListJobsResponse, Trouble> {
    Ok(client.list_jobs(list.clone()).await?.into_inner())
}

/// Every page.
async fn pages(
    client: &mut Client,
    mut list: ListJobsRequest,
) -> Result<Vec<ListJobsResponse>, Trouble> {
    let mut pages = Vec::new();
    for _ in 0..100 {
        let page = page(client, &list).await?;
        list.page_token.clone_from(&page.next_page_token);
        pages.push(page);
        if list.page_token.is_empty() {
            return Ok(pages);
        }
    }
    Err("pages without end".into())
}

fn ids<'a>(jobs: impl IntoIterator<Item = &'a ListedJob>) -> Vec<&'a str> {
    jobs.into_iter().map(|job| job.id.as_str()).collect()
}

fn all(pages: &[ListJobsResponse]) -> Vec<&str> {
    ids(pages.iter().flat_map(|page| &page.jobs))
}

fn of_page(page_size: u32) -> ListJobsRequest {
    ListJobsRequest {
        page_size,
        ..ListJobsRequest::default()
    }
}

async fn enqueue_all(client: &mut Client, jobs: Vec<EnqueueRequest>) -> Result<(), Trouble> {
    let atomic = false;
    let batch = EnqueueBatchRequest { jobs, atomic };
    let results = client.enqueue_batch(batch).await?.into_inner().results;
    let taken = |it: &silo_runtime::proto::EnqueueBatchResult| {
        use silo_runtime::proto::enqueue_batch_result::Result as Enqueued;
        matches!(it.result, Some(Enqueued::Id(_)))
    };
    assert!(results.iter().all(taken));
    Ok(())
}

#[silo::test]
async fn jobs_are_listed_as_a_look_at_each_says() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    for number in 0..20_u32 {
        let job = EnqueueRequest {
            priority: number,
            task_group: if number % 2 == 0 { "even" } else { "odd" }.to_owned(),
            start_at_ms: if number % 5 == 4 { i64::MAX / 2 } else { 0 },
            ..enqueue(&format!("job-{number:02}"))
        };
        client.enqueue(job).await?;
    }
    let mut of_odd = lease(4);
    of_odd.task_group = "odd".to_owned();
    let tasks = client.lease_tasks(of_odd).await?.into_inner().tasks;
    for (index, task) in tasks.iter().enumerate() {
        match index {
            0 => drop(client.report_outcome(report(task, success())).await?),
            1 => drop(client.report_outcome(report(task, failure("E"))).await?),
            _ => {}
        }
    }
    client.cancel_job(cancel("job-00")).await?;
    let whole = page(&mut client, &of_page(0)).await?;
    assert_eq!((whole.jobs.len(), whole.next_page_token.as_str()), (20, ""));
    for listed in &whole.jobs {
        let job = client.get_job(get(&listed.id)).await?.into_inner();
        let ended_or_runs = job.attempts.last().map_or(0, |last| last.attempt_number);
        let seen = ListedJob {
            id: job.id,
            task_group: job.task_group,
            priority: job.priority,
            status: job.status,
            enqueue_time_ms: job.enqueue_time_ms,
            status_changed_at_ms: job.status_changed_at_ms,
            next_attempt_starts_after_ms: job.next_attempt_starts_after_ms,
            attempt_number: ended_or_runs,
        };
        assert_eq!(*listed, seen);
    }
    let statuses: BTreeSet<_> = whole.jobs.iter().map(|job| job.status).collect();
    assert_eq!(statuses.len(), 5, "one of each at least");

    let by_three = pages(&mut client, of_page(3)).await?;
    assert_eq!(by_three.len(), 7);
    assert_eq!(all(&by_three), ids(&whole.jobs));
    let running = ListJobsRequest {
        statuses: vec![JobStatus::Running.into(), JobStatus::Failed.into()],
        task_group: "odd".to_owned(),
        id_prefix: "job-0".to_owned(),
        ..of_page(0)
    };
    let shown = page(&mut client, &running).await?;
    let expected: Vec<_> = whole
        .jobs
        .iter()
        .filter(|job| matches!(job.status(), JobStatus::Running | JobStatus::Failed))
        .filter(|job| job.id.starts_with("job-0"))
        .collect();
    assert_eq!(ids(&shown.jobs), ids(expected));
    assert_eq!(shown.jobs.len(), 3);
    server.stop().await
}

#[silo::test]
async fn a_call_looks_at_a_bounded_number_of_jobs() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    for part in 0..12 {
        let jobs = (0..1000).map(|n| enqueue(&format!("job-{:05}", part * 1000 + n)));
        enqueue_all(&mut client, jobs.collect()).await?;
    }
    client.cancel_job(cancel("job-11500")).await?;
    let rare = ListJobsRequest {
        statuses: vec![JobStatus::Cancelled.into()],
        ..of_page(10)
    };
    let found = pages(&mut client, rare.clone()).await?;
    let counts: Vec<usize> = found.iter().map(|page| page.jobs.len()).collect();
    // Ten thousand; the rest; and that nothing follows a last thousand that was full.
    assert_eq!(counts, [0, 1, 0]);
    let whole = pages(&mut client, of_page(1000)).await?;
    assert_eq!(all(&whole).len(), 12_000);

    // Our client goes on until there is something to see.
    let rust = Rust::connect(ClientOptions::new([server.address.to_string()])).await?;
    let mut shown = rust.jobs(JobFilter {
        statuses: vec![JobStatus::Cancelled],
        ..JobFilter::default()
    });
    let first = shown.next_page().await?.ok_or("a page")?;
    assert_eq!(ids(&first), ["job-11500"]);
    assert_eq!(shown.next_page().await?, None);
    assert_eq!(shown.next_page().await?, None, "and it stays so");
    server.stop().await
}

#[silo::test]
async fn whatever_happens_meanwhile_no_job_that_stays_is_missed_or_shown_twice()
-> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    let stay = (0..600).map(|number| enqueue(&format!("stay-{number:04}")));
    enqueue_all(&mut client, stay.collect()).await?;
    let is_over = Arc::new(AtomicBool::new(false));
    let changing = tokio::spawn({
        let (mut client, is_over) = (server.client().await?, Arc::clone(&is_over));
        async move {
            let mut changes = 0_u32;
            for number in 0_u32.. {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                // Between those that stay: jobs that come and go.
                let id = format!("stay-{:04}-guest-{number}", number % 600);
                client.enqueue(enqueue(&id)).await?;
                let tasks = client.lease_tasks(lease(3)).await?.into_inner().tasks;
                for task in &tasks {
                    client.report_outcome(report(task, success())).await?;
                }
                client.delete_job(delete(&id)).await.ok();
                changes += 1;
            }
            Ok::<_, tonic::Status>(changes)
        }
    });
    for _ in 0..10 {
        let pages = pages(&mut client, of_page(50)).await?;
        let shown = all(&pages);
        assert!(shown.is_sorted_by(|a, b| a < b), "in order, none twice");
        let stayed = shown.iter().filter(|id| !id.contains("guest"));
        assert_eq!(stayed.count(), 600, "none missed");
    }
    is_over.store(true, Ordering::Relaxed);
    let changes = tokio::time::timeout(Duration::from_secs(30), changing).await???;
    assert!(changes > 0, "something has changed meanwhile");
    server.stop().await
}

#[silo::test]
async fn many_who_look_at_once_are_all_answered() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    let jobs = (0..1500).map(|number| enqueue(&format!("job-{number:04}")));
    enqueue_all(&mut client, jobs.collect()).await?;
    let looking = (0..200).map(|_| {
        let mut client = client.clone();
        async move {
            let pages = pages(&mut client, of_page(1000)).await?;
            Ok::<_, Trouble>(all(&pages).len())
        }
    });
    let looked = futures::future::try_join_all(looking);
    let looked = tokio::time::timeout(Duration::from_secs(60), looked).await??;
    assert!(looked.iter().all(|count| *count == 1500));
    server.stop().await
}

#[silo::test]
async fn a_tenant_sees_its_own_jobs_only() -> Result<(), Trouble> {
    let server = Server::start(Setup {
        shards: 4,
        tenancy: true,
        ..Setup::default()
    })
    .await?;
    let mut client = server.client().await?;
    for tenant in ["a", "b", "ab"] {
        for id in ["one", "two"] {
            let job = EnqueueRequest {
                tenant: Some(tenant.to_owned()),
                ..enqueue(&format!("{tenant}-{id}"))
            };
            client.enqueue(job).await?;
        }
    }
    let rust = Rust::connect(ClientOptions::new([server.address.to_string()])).await?;
    let one = JobFilter {
        page_size: Some(1),
        ..JobFilter::default()
    };
    let mut tokens = Vec::new();
    for tenant in ["a", "b", "ab"] {
        let rust = rust.with_tenant(tenant);
        let first = rust.list_jobs(&one, "").await?;
        let second = rust.list_jobs(&one, &first.next_page_token).await?;
        let shown = ids(first.jobs.iter().chain(&second.jobs)).join(" ");
        assert_eq!(shown, format!("{tenant}-one {tenant}-two"));
        assert_eq!(second.next_page_token, "");
        tokens.push(first.next_page_token);
    }
    // Another tenant's place is no place.
    let mixed = rust.with_tenant("b").list_jobs(&one, &tokens[0]).await;
    let refusal = mixed.err().ok_or("refused")?;
    let refusal = refusal.refusal().ok_or("a refusal")?;
    assert_eq!(refusal.metadata["field"], "page_token");
    let none = client.list_jobs(of_page(1)).await.err().ok_or("refused")?;
    assert_eq!(reason_id(&none, "field"), "tenant");
    let nobody = rust.with_tenant("nobody").list_jobs(&one, "").await?;
    assert_eq!(nobody, ListJobsResponse::default());
    server.stop().await
}

#[silo::test]
async fn what_is_out_of_bounds_is_refused() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let mut client = server.client().await?;
    for id in ["a", "b"] {
        client.enqueue(enqueue(id)).await?;
    }
    let first = page(&mut client, &of_page(1)).await?.next_page_token;
    let base = of_page(1);
    let wrong = [
        (of_page(1001), "page_size"),
        (
            ListJobsRequest {
                statuses: vec![1, 5],
                ..base.clone()
            },
            "statuses",
        ),
        (
            ListJobsRequest {
                statuses: vec![-1],
                ..base.clone()
            },
            "statuses",
        ),
        (
            ListJobsRequest {
                task_group: "x".repeat(65),
                ..base.clone()
            },
            "task_group",
        ),
        (
            ListJobsRequest {
                id_prefix: "a\n".to_owned(),
                ..base.clone()
            },
            "id_prefix",
        ),
        (
            ListJobsRequest {
                id_prefix: "x".repeat(257),
                ..base.clone()
            },
            "id_prefix",
        ),
        (
            ListJobsRequest {
                page_token: "?".to_owned(),
                ..base.clone()
            },
            "page_token",
        ),
        (
            ListJobsRequest {
                page_token: "AAAA".to_owned(),
                ..base.clone()
            },
            "page_token",
        ),
        // Of the same tenant, but of another list.
        (
            ListJobsRequest {
                id_prefix: "b".to_owned(),
                page_token: first.clone(),
                ..base.clone()
            },
            "page_token",
        ),
        (
            ListJobsRequest {
                shard: "x".to_owned(),
                ..base.clone()
            },
            "shard",
        ),
    ];
    for (list, field) in wrong {
        let status = client.list_jobs(list).await.err().ok_or(field)?;
        let told = (status.code(), reason(&status), reason_id(&status, "field"));
        let expected = (
            Code::InvalidArgument,
            "INVALID_FIELD".to_owned(),
            field.to_owned(),
        );
        assert_eq!(told, expected, "{status:?}");
    }
    let most = page(&mut client, &of_page(1000)).await?;
    assert_eq!(ids(&most.jobs), ["a", "b"]);
    let rest = page(
        &mut client,
        &ListJobsRequest {
            page_token: first,
            ..base
        },
    )
    .await?;
    assert_eq!(ids(&rest.jobs), ["b"]);
    server.stop().await
}
