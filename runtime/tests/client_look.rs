//! The client against a scripted server: waiting for a job's end, and pages of jobs.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing
)]

mod client_fake;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use client_fake::enqueues::options;
use client_fake::{Answer, Asked, Fake, Told};
use silo_runtime::client::Client;
use silo_runtime::client::await_job::Awaited;
use silo_runtime::client::error::Error;
use silo_runtime::client::list::JobFilter;
use silo_runtime::proto::{
    AwaitJobRequest, AwaitJobResponse, GetJobResultResponse, JobStatus, ListJobsRequest,
    ListJobsResponse, ListedJob,
};
use tonic::{Code, Status};

type Log<Q> = Arc<Mutex<Vec<Q>>>;

/// A server that answers the calls with these, in order, and the last one for ever.
async fn scripted<Q: Send + 'static>(
    answers: Vec<Answer>,
    take: fn(Asked) -> Q,
) -> (Client, Log<Q>, Fake) {
    let log: Log<Q> = Arc::default();
    let asked = Arc::clone(&log);
    let fake = Fake::start(move |question, _| {
        let mut asked = asked.lock().unwrap();
        let index = asked.len().min(answers.len() - 1);
        asked.push(take(question));
        std::future::ready(answers[index].clone())
    })
    .await;
    let client = Client::connect(options(&fake)).await.unwrap();
    (client, log, fake)
}

fn awaits(asked: Asked) -> AwaitJobRequest {
    match asked {
        Asked::AwaitJob(request) => request,
        other => panic!("{other:?}"),
    }
}

fn lists(asked: Asked) -> ListJobsRequest {
    match asked {
        Asked::ListJobs(request) => request,
        other => panic!("{other:?}"),
    }
}

fn not_yet() -> Answer {
    Ok(Told::AwaitJob(AwaitJobResponse {
        status: JobStatus::Running.into(),
        result: None,
    }))
}

fn ended() -> GetJobResultResponse {
    GetJobResultResponse {
        id: "job".to_owned(),
        status: JobStatus::Failed.into(),
        ..GetJobResultResponse::default()
    }
}

fn over() -> Answer {
    Ok(Told::AwaitJob(AwaitJobResponse {
        status: JobStatus::Failed.into(),
        result: Some(ended()),
    }))
}

#[silo::test]
async fn a_job_is_waited_for_in_as_many_calls_as_it_takes() {
    // What servers say that restart, move the shard, have too much to do, or are cut off.
    let answers = vec![
        not_yet(),
        Err(Status::unavailable("opening")),
        Err(Status::aborted("cut off")),
        Err(Status::deadline_exceeded("late")),
        Err(Status::resource_exhausted("busy")),
        not_yet(),
        over(),
    ];
    let (client, log, _fake) = scripted(answers, awaits).await;
    let client = client.with_tenant("t");
    let awaited = client.await_job("job", Duration::from_secs(60)).await;
    assert_eq!(awaited.unwrap(), Awaited::Ended(ended()));
    let log = log.lock().unwrap();
    assert_eq!(log.len(), 7);
    let waits: Vec<u32> = log.iter().map(|asked| asked.wait_ms).collect();
    assert!(waits[0] > 59_000 && waits[0] <= 60_000, "{waits:?}");
    assert!(waits.is_sorted_by(|a, b| a > b), "what is left: {waits:?}");
    for asked in log.iter() {
        let about = (asked.id.as_str(), asked.tenant.as_deref());
        assert_eq!(about, ("job", Some("t")));
        assert_eq!(asked.shard, "one", "routed as the other calls");
    }
}

#[silo::test]
async fn a_wait_ends_in_time_with_what_is_known_then() {
    let (client, log, _fake) = scripted(vec![not_yet()], awaits).await;
    let began = Instant::now();
    let awaited = client.await_job("job", Duration::from_millis(300)).await;
    assert_eq!(awaited.unwrap(), Awaited::NotYet(JobStatus::Running));
    assert!(began.elapsed() >= Duration::from_millis(300));
    let count = log.lock().unwrap().len();
    assert!(count > 1 && count < 50, "{count} calls, with pauses");

    let unavailable = Err(Status::unavailable("opening"));
    let (client, _, _fake) = scripted(vec![unavailable], awaits).await;
    let client = client.with_deadline(Duration::from_millis(50));
    let began = Instant::now();
    let awaited = client.await_job("job", Duration::from_millis(300)).await;
    assert!(matches!(awaited, Err(Error::Unavailable(_))), "{awaited:?}");
    assert!(began.elapsed() >= Duration::from_millis(250));
}

#[silo::test]
async fn what_will_not_pass_ends_the_wait_at_once() {
    for (status, code) in [
        (Status::not_found("job not found"), Code::NotFound),
        (
            Status::failed_precondition("quarantined"),
            Code::FailedPrecondition,
        ),
        (Status::unimplemented("what?"), Code::Unimplemented),
        (Status::unauthenticated("who?"), Code::Unauthenticated),
    ] {
        let (client, log, _fake) = scripted(vec![Err(status)], awaits).await;
        let error = client.await_job("job", Duration::from_secs(60)).await;
        let error = error.unwrap_err();
        assert_eq!(error.refusal().map(|refusal| refusal.code), Some(code));
        assert_eq!(log.lock().unwrap().len(), 1);
    }
}

fn page(ids: &[&str], next: &str, skipped: u32) -> Answer {
    let job = |id: &&str| ListedJob {
        id: (*id).to_owned(),
        ..ListedJob::default()
    };
    Ok(Told::ListJobs(ListJobsResponse {
        jobs: ids.iter().map(job).collect(),
        next_page_token: next.to_owned(),
        skipped,
    }))
}

#[silo::test]
async fn pages_follow_one_another_and_empty_ones_are_passed_over() {
    let answers = vec![
        page(&["a", "b"], "1", 0),
        page(&[], "2", 3),
        Err(Status::invalid_argument("no")),
        page(&[], "3", 0),
        page(&["c"], "4", 1),
        page(&[], "", 1),
    ];
    let (client, log, _fake) = scripted(answers, lists).await;
    let filter = JobFilter {
        statuses: vec![JobStatus::Failed, JobStatus::Scheduled],
        task_group: Some("mail".to_owned()),
        id_prefix: Some("x".to_owned()),
        page_size: Some(7),
    };
    let mut pages = client.with_tenant("t").jobs(filter);
    let ids = |jobs: Option<Vec<ListedJob>>| -> Vec<String> {
        jobs.into_iter().flatten().map(|job| job.id).collect()
    };
    assert_eq!(ids(pages.next_page().await.unwrap()), ["a", "b"]);
    assert!(matches!(pages.next_page().await, Err(Error::Refused(_))));
    assert_eq!(ids(pages.next_page().await.unwrap()), ["c"]);
    assert_eq!(pages.skipped(), 4);
    assert_eq!(pages.next_page().await.unwrap(), None);
    assert_eq!(pages.next_page().await.unwrap(), None);
    assert_eq!(pages.skipped(), 5);
    let log = log.lock().unwrap();
    let tokens: Vec<&str> = log.iter().map(|asked| asked.page_token.as_str()).collect();
    assert_eq!(
        tokens,
        ["", "1", "2", "2", "3", "4"],
        "after an error the same again"
    );
    for asked in log.iter() {
        let expected = ListJobsRequest {
            shard: "one".to_owned(),
            tenant: Some("t".to_owned()),
            statuses: vec![JobStatus::Failed.into(), JobStatus::Scheduled.into()],
            task_group: "mail".to_owned(),
            id_prefix: "x".to_owned(),
            page_size: 7,
            page_token: asked.page_token.clone(),
        };
        assert_eq!(*asked, expected);
    }
}
