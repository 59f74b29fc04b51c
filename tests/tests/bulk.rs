//! EnqueueBatch, ReportOutcomes and Heartbeats: each for itself and in order, or all or none.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects)]

use std::collections::BTreeSet;

use silo_runtime::proto::enqueue_batch_result::Result as One;
use silo_runtime::proto::heartbeats_result::Result as Beat;
use silo_runtime::proto::report_outcome_request::Outcome;
use silo_runtime::proto::{
    CallError, EnqueueBatchRequest, EnqueueRequest, GetJobRequest, GetNodeInfoRequest,
    HeartbeatRequest, HeartbeatsRequest, JobStatus, Release, ReportOutcomeRequest,
    ReportOutcomesRequest, Snooze, Task,
};
use silo_tests::messages::{
    cancel, data, enqueue, failure, get, heartbeat, lease, reason_id, refused, report, success,
};
use silo_tests::server::{Client, Server, Setup, Trouble};
use tonic::{Code, Status};

async fn batch(
    c: &mut Client,
    jobs: Vec<EnqueueRequest>,
    atomic: bool,
) -> Result<Vec<One>, Status> {
    let answer = c
        .enqueue_batch(EnqueueBatchRequest { jobs, atomic })
        .await?;
    let results = answer.into_inner().results.into_iter();
    Ok(results
        .map(|result| result.result.expect("a result"))
        .collect())
}

fn error(code: Code, reason: &str, message: &str) -> CallError {
    CallError {
        code: code.into(),
        reason: reason.to_owned(),
        message: message.to_owned(),
    }
}

fn id(id: impl Into<String>) -> One {
    One::Id(id.into())
}

async fn total(c: &mut Client) -> Result<i64, Trouble> {
    let info = c.get_node_info(GetNodeInfoRequest {}).await?.into_inner();
    Ok(info.owned_shards.iter().map(|shard| shard.total_jobs).sum())
}

fn exists(id: &str) -> String {
    format!(
        "a job with id {id} already exists: choose another id, or send the same request_id and \
         content to repeat a call"
    )
}

#[silo::test]
async fn good_jobs_are_taken_and_bad_ones_told() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    c.enqueue(enqueue("here")).await?;
    let late = EnqueueRequest {
        priority: 100,
        ..enqueue("late")
    };
    let elsewhere = EnqueueRequest {
        shard: "00000000-0000-0000-0000-000000000000".to_owned(),
        ..enqueue("elsewhere")
    };
    let theirs = EnqueueRequest {
        tenant: Some("t".to_owned()),
        ..enqueue("theirs")
    };
    let jobs = vec![
        enqueue("a"),
        late,
        enqueue("b"),
        enqueue("here"),
        elsewhere,
        theirs,
        enqueue("c"),
        enqueue(""),
    ];
    let mut results = batch(c, jobs, false).await?;
    let Some(One::Id(made)) = results.pop() else {
        panic!("{results:?}")
    };
    c.get_job(get(&made)).await?;
    let text = "priority is 100, but must be 0 to 99";
    let invalid = error(Code::InvalidArgument, "INVALID_FIELD", text);
    let exists = error(Code::AlreadyExists, "JOB_EXISTS", &exists("here"));
    let text = "shard not found: this node does not serve 00000000-0000-0000-0000-000000000000";
    let elsewhere = error(Code::NotFound, "SHARD_NOT_FOUND", text);
    let text = "a tenant was given, but tenancy is off on this server: leave the tenant away";
    let theirs = error(Code::FailedPrecondition, "TENANCY_OFF", text);
    assert_eq!(
        results,
        [
            id("a"),
            One::Error(invalid),
            id("b"),
            One::Error(exists),
            One::Error(elsewhere),
            One::Error(theirs),
            id("c"),
        ]
    );
    assert_eq!(total(c).await?, 5);
    // One that is there twice is one job and one refusal, whichever comes first.
    let results = batch(c, vec![enqueue("twice"), enqueue("twice")], false).await?;
    let taken = results.iter().filter(|one| **one == id("twice")).count();
    assert_eq!(taken, 1, "{results:?}");
    assert_eq!(batch(c, Vec::new(), false).await?, []);
    assert_eq!(batch(c, Vec::new(), true).await?, []);
    server.stop().await
}

#[silo::test]
async fn at_most_ten_thousand() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    let jobs = |count: usize| (0..count).map(|n| enqueue(&format!("job-{n}")));
    let text = "jobs is 10001 long, but must be at most 10000 long";
    let want = (Code::InvalidArgument, "INVALID_FIELD", text);
    refused(batch(c, jobs(10_001).collect(), false).await, want)?;
    assert_eq!(total(c).await?, 0);
    let results = batch(c, jobs(10_000).collect(), false).await?;
    let want = (0..10_000).map(|n| id(format!("job-{n}")));
    assert!(results.into_iter().eq(want), "ids in order");
    assert_eq!(total(c).await?, 10_000);
    server.stop().await
}

#[silo::test]
async fn all_or_none() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    c.enqueue(enqueue("here")).await?;
    let of_batch = |index: usize, why: &str| {
        format!("job {index} of the batch: {why}; none of the batch was taken")
    };
    // The shard refuses one.
    let jobs = vec![enqueue("a"), enqueue("b"), enqueue("here"), enqueue("c")];
    let text = of_batch(2, &exists("here"));
    let want = (Code::AlreadyExists, "JOB_EXISTS", text.as_str());
    let status = refused(batch(c, jobs, true).await, want)?;
    let ids = ["index", "job_id"].map(|name| reason_id(&status, name));
    assert_eq!(ids, ["2", "here"]);
    // The service does.
    let late = EnqueueRequest {
        priority: 100,
        ..enqueue("late")
    };
    let text = of_batch(1, "priority is 100, but must be 0 to 99");
    let want = (Code::InvalidArgument, "INVALID_FIELD", text.as_str());
    let status = refused(batch(c, vec![enqueue("a"), late], true).await, want)?;
    let ids = ["index", "field"].map(|name| reason_id(&status, name));
    assert_eq!(ids, ["1", "priority"]);
    // The same id twice.
    let text = of_batch(1, &exists("a"));
    let want = (Code::AlreadyExists, "JOB_EXISTS", text.as_str());
    let status = refused(batch(c, vec![enqueue("a"), enqueue("a")], true).await, want)?;
    assert_eq!(reason_id(&status, "index"), "1");
    // Two shards.
    let shard = server.shard_ids().remove(0);
    let named = EnqueueRequest {
        shard: shard.clone(),
        ..enqueue("b")
    };
    let why = format!("shard is {shard}, but must be the same for all jobs when atomic");
    let text = of_batch(1, &why);
    let want = (Code::InvalidArgument, "INVALID_FIELD", text.as_str());
    refused(batch(c, vec![enqueue("a"), named], true).await, want)?;
    assert_eq!(total(c).await?, 1, "none was taken");

    let jobs = |count: usize| (0..count).map(|n| enqueue(&format!("job-{n}")));
    let text = "jobs is 1001 jobs, but must be at most 1000 jobs when atomic";
    let want = (Code::InvalidArgument, "INVALID_FIELD", text);
    refused(batch(c, jobs(1001).collect(), true).await, want)?;
    let results = batch(c, jobs(1000).collect(), true).await?;
    let want = (0..1000).map(|n| id(format!("job-{n}")));
    assert!(results.into_iter().eq(want), "ids in order");
    assert_eq!(total(c).await?, 1001);
    server.stop().await
}

fn asked_by(n: u8) -> EnqueueRequest {
    EnqueueRequest {
        request_id: vec![n; 16].into(),
        ..enqueue("")
    }
}

#[silo::test]
async fn a_batch_with_request_ids_can_be_repeated() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    for (atomic, from) in [(false, 0), (true, 10)] {
        let jobs: Vec<_> = (from..from + 10).map(asked_by).collect();
        let first = batch(c, jobs.clone(), atomic).await?;
        let different: BTreeSet<_> = first.iter().map(|one| format!("{one:?}")).collect();
        assert_eq!(different.len(), 10);
        let before = total(c).await?;
        assert_eq!(batch(c, jobs.clone(), atomic).await?, first);
        assert_eq!(total(c).await?, before);
        // One more, and one that asks for something else by the same name.
        let mut other = jobs;
        other[3].priority = 1;
        let got = batch(c, other, atomic).await;
        if atomic {
            let status = got.expect_err("another job");
            assert_eq!(status.code(), Code::AlreadyExists);
            assert_eq!(reason_id(&status, "index"), "3");
        } else {
            let mut got = got?;
            assert!(matches!(got.remove(3), One::Error(e) if e.reason == "JOB_EXISTS"));
            got.insert(3, first[3].clone());
            assert_eq!(got, first);
        }
    }
    server.stop().await
}

fn of(tenant: &str, id: &str) -> EnqueueRequest {
    EnqueueRequest {
        tenant: Some(tenant.to_owned()),
        ..enqueue(id)
    }
}

#[silo::test]
async fn jobs_of_several_tenants_over_several_shards() -> Result<(), Trouble> {
    let server = Server::start(Setup {
        tenancy: true,
        shards: 4,
        ..Setup::default()
    })
    .await?;
    let c = &mut server.client().await?;
    let tenants: Vec<_> = (0..40).map(|n| format!("tenant-{n}")).collect();
    let mut jobs: Vec<_> = tenants.iter().map(|t| of(t, &format!("of-{t}"))).collect();
    jobs.insert(20, enqueue("nobody's"));
    let mut results = batch(c, jobs.clone(), false).await?;
    let text = "tenant is absent, but must be given: tenancy is on";
    let want = error(Code::InvalidArgument, "INVALID_FIELD", text);
    assert_eq!(results.remove(20), One::Error(want));
    let want = tenants.iter().map(|t| id(format!("of-{t}")));
    assert!(results.into_iter().eq(want));
    for tenant in &tenants {
        let request = GetJobRequest {
            tenant: Some(tenant.clone()),
            ..get(&format!("of-{tenant}"))
        };
        c.get_job(request).await?;
    }
    let info = c.get_node_info(GetNodeInfoRequest {}).await?.into_inner();
    let used = info
        .owned_shards
        .iter()
        .filter(|shard| shard.total_jobs > 0);
    assert!(used.count() > 1);

    let text = "tenant is b, but must be the same for all jobs when atomic";
    let want = (Code::InvalidArgument, "INVALID_FIELD", text);
    refused(batch(c, vec![of("a", "x"), of("b", "y")], true).await, want)?;
    assert_eq!(total(c).await?, 40);
    assert_eq!(
        batch(c, vec![of("a", "x"), of("a", "y")], true).await?,
        [id("x"), id("y")]
    );
    // A shard that does not hold the tenant.
    let shards = server.shard_ids().into_iter();
    let named = shards.map(|shard| EnqueueRequest {
        shard,
        ..of("a", "z")
    });
    let results = batch(c, named.collect(), false).await?;
    let taken = results.iter().filter(|one| **one == id("z")).count();
    let outside = results.iter().filter(|one| match one {
        One::Error(error) => error.reason == "TENANT_OUTSIDE_SHARD",
        One::Id(_) => false,
    });
    assert_eq!((taken, outside.count()), (1, 3), "{results:?}");
    server.stop().await
}

async fn leased(c: &mut Client, count: u32) -> Result<Vec<Task>, Trouble> {
    let jobs = (0..count).map(|n| enqueue(&format!("job-{n:05}")));
    batch(c, jobs.collect(), true).await?;
    let mut tasks = c.lease_tasks(lease(count)).await?.into_inner().tasks;
    assert_eq!(tasks.len(), count as usize);
    tasks.sort_by(|a, b| a.job_id.cmp(&b.job_id));
    Ok(tasks)
}

async fn report_all(
    c: &mut Client,
    outcomes: Vec<ReportOutcomeRequest>,
) -> Result<Vec<Option<CallError>>, Status> {
    let answer = c
        .report_outcomes(ReportOutcomesRequest { outcomes })
        .await?;
    let results = answer.into_inner().results.into_iter();
    Ok(results.map(|result| result.error).collect())
}

#[silo::test]
async fn outcomes_are_taken_each_for_itself() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    let tasks = leased(c, 6).await?;
    let garbage = Task {
        id: "no task id".to_owned(),
        ..tasks[0].clone()
    };
    let nothing = ReportOutcomeRequest {
        outcome: None,
        ..report(&tasks[5], success())
    };
    let outcomes = vec![
        report(&tasks[0], success()),
        report(&garbage, success()),
        report(&tasks[1], failure("E")),
        nothing,
        report(&tasks[2], Outcome::Release(Release {})),
        report(&tasks[3], Outcome::Snooze(Snooze { delay_ms: -1 })),
        report(&tasks[3], Outcome::Snooze(Snooze { delay_ms: 60_000 })),
    ];
    let unknown = error(Code::NotFound, "LEASE_UNKNOWN", "lease not found");
    let invalid = |text| Some(error(Code::InvalidArgument, "INVALID_FIELD", text));
    let want = vec![
        None,
        Some(unknown),
        None,
        invalid(
            "outcome is absent, but must be one of success, failure, cancelled, snooze, release",
        ),
        None,
        invalid("snooze.delay_ms is -1, but must be at least 0"),
        None,
    ];
    assert_eq!(report_all(c, outcomes.clone()).await?, want);
    // The same again is as good; another one is too late.
    assert_eq!(report_all(c, outcomes).await?, want);
    let other = Outcome::Success(data(b"\xc3"));
    let finished = error(Code::NotFound, "LEASE_FINISHED", "lease not found");
    let late = vec![report(&tasks[0], other), report(&tasks[4], success())];
    assert_eq!(report_all(c, late).await?, [Some(finished), None]);
    for (id, status) in [
        (0, JobStatus::Succeeded),
        (1, JobStatus::Failed),
        (2, JobStatus::Scheduled),
        (3, JobStatus::Scheduled),
        (4, JobStatus::Succeeded),
        (5, JobStatus::Running),
    ] {
        let job = c.get_job(get(&format!("job-{id:05}"))).await?.into_inner();
        assert_eq!(job.status(), status, "{id}");
    }
    assert_eq!(report_all(c, Vec::new()).await?, []);
    server.stop().await
}

#[silo::test]
async fn at_most_a_thousand_outcomes_and_heartbeats() -> Result<(), Trouble> {
    let server = Server::start(Setup {
        lease_ms: 60_000,
        ..Setup::default()
    })
    .await?;
    let c = &mut server.client().await?;
    let tasks = leased(c, 1000).await?;
    let mut beats: Vec<_> = tasks.iter().map(heartbeat).collect();
    let results = beat_all(c, beats.clone()).await?;
    assert_eq!(results.len(), 1000);
    let extended = |beat: &Beat| matches!(beat, Beat::Extended(it) if !it.cancelled);
    assert!(results.iter().all(extended));
    beats.push(heartbeat(&tasks[0]));
    let text = "heartbeats is 1001 long, but must be at most 1000 long";
    let want = (Code::InvalidArgument, "INVALID_FIELD", text);
    refused(beat_all(c, beats).await, want)?;

    let mut outcomes: Vec<_> = tasks.iter().map(|task| report(task, success())).collect();
    outcomes.push(report(&tasks[0], success()));
    let text = "outcomes is 1001 long, but must be at most 1000 long";
    let want = (Code::InvalidArgument, "INVALID_FIELD", text);
    refused(report_all(c, outcomes.clone()).await, want)?;
    let job = c.get_job(get("job-00000")).await?.into_inner();
    assert_eq!(job.status(), JobStatus::Running, "nothing was taken");
    outcomes.pop();
    assert_eq!(report_all(c, outcomes).await?, vec![None; 1000]);
    let info = c.get_node_info(GetNodeInfoRequest {}).await?.into_inner();
    assert_eq!(info.owned_shards[0].completed_jobs, 1000);
    server.stop().await
}

async fn beat_all(c: &mut Client, heartbeats: Vec<HeartbeatRequest>) -> Result<Vec<Beat>, Status> {
    let answer = c.heartbeats(HeartbeatsRequest { heartbeats }).await?;
    let results = answer.into_inner().results.into_iter();
    Ok(results
        .map(|result| result.result.expect("a result"))
        .collect())
}

#[silo::test]
async fn heartbeats_extend_each_for_itself() -> Result<(), Trouble> {
    let server = Server::start(Setup::default()).await?;
    let c = &mut server.client().await?;
    let tasks = leased(c, 4).await?;
    c.cancel_job(cancel("job-00001")).await?;
    c.report_outcome(report(&tasks[2], success())).await?;
    let worker = |worker_id: &str, task| HeartbeatRequest {
        worker_id: worker_id.to_owned(),
        ..heartbeat(task)
    };
    let garbage = Task {
        id: "no task id".to_owned(),
        ..tasks[0].clone()
    };
    let beats = vec![
        heartbeat(&tasks[0]),
        heartbeat(&garbage),
        heartbeat(&tasks[1]),
        heartbeat(&tasks[2]),
        worker("other", &tasks[3]),
        worker("", &tasks[3]),
        heartbeat(&tasks[3]),
    ];
    let mut results = beat_all(c, beats).await?;
    let Beat::Extended(told) = results.remove(2) else {
        panic!("{results:?}")
    };
    assert!(told.cancelled && told.cancelled_at_ms > Some(0));
    let beat = || Beat::Extended(Default::default());
    let unknown = error(Code::NotFound, "LEASE_UNKNOWN", "lease not found");
    let code = Code::FailedPrecondition;
    let owner = error(code, "LEASE_OWNER_MISMATCH", "lease owner mismatch");
    let text = "worker_id is 0 bytes long, but must be 1 to 256 bytes";
    let nobody = error(Code::InvalidArgument, "INVALID_FIELD", text);
    assert_eq!(
        results,
        [
            beat(),
            Beat::Error(unknown.clone()),
            Beat::Error(unknown),
            Beat::Error(owner),
            Beat::Error(nobody),
            beat(),
        ]
    );
    assert_eq!(beat_all(c, Vec::new()).await?, []);
    server.stop().await
}
