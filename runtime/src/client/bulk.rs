//! Many at once, each for itself: what fails for the moment is tried again without the others.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::future::join_all;
use tokio::time::Instant;

use crate::client::call::{Answer, Place, Plan, pause};
use crate::client::channels::Stub;
use crate::client::enqueue::Enqueue;
use crate::client::error::Error;
use crate::client::routes::tenant_hash;
use crate::client::task::{Extended, Outcome, TaskRef};
use crate::client::time::later;
use crate::client::verdict::Repeat;
use crate::client::{Client, NO_TENANT, entropy};
use crate::proto::enqueue_batch_result::Result as Enqueued;
use crate::proto::heartbeats_result::Result as Beat;
use crate::proto::{
    CallError, EnqueueBatchRequest, EnqueueBatchResult, EnqueueRequest, HeartbeatRequest,
    HeartbeatsRequest, ReportOutcomeRequest, ReportOutcomesRequest,
};

/// Most jobs in one call.
pub const JOBS_MAX: usize = 10_000;
/// Most outcomes or heartbeats in one call.
pub const TASKS_MAX: usize = 1000;

/// What an answer says of each of many.
type Each<T> = Vec<Result<T, Error>>;

impl Client {
    /// Enqueues jobs, each for itself, and answers with their ids in their order once they are
    /// durable. Goes in calls of 10,000 jobs, which together with their payloads must fit into a
    /// message (128 MiB). A repeated try never makes a second job.
    ///
    /// Each fails as [`Client::enqueue`] would.
    pub async fn enqueue_batch(&self, jobs: Vec<Enqueue>) -> Vec<Result<String, Error>> {
        let send = |jobs: Vec<EnqueueRequest>, plan: Plan| {
            let caller = Arc::clone(&self.caller);
            async move {
                let atomic = false;
                let request = EnqueueBatchRequest { jobs, atomic };
                let send =
                    |mut stub: Stub, request| async move { stub.enqueue_batch(request).await };
                let told = caller.call(plan, request, send).await?.body.results;
                Ok(told.into_iter().map(enqueued).collect())
            }
        };
        let hash = tenant_hash(self.tenant.as_deref().unwrap_or(NO_TENANT));
        let place = Place::Tenant(hash);
        self.each(place, self.enqueues(jobs), JOBS_MAX, send).await
    }

    /// Enqueues all of these jobs, at most 1,000, or none, and answers with their ids in their
    /// order once they are durable. A repeated try never makes a second job.
    ///
    /// # Errors
    ///
    /// As [`Client::enqueue`] for the first job that is refused; its `index` is in the refusal's
    /// metadata.
    pub async fn enqueue_all(&self, jobs: Vec<Enqueue>) -> Result<Vec<String>, Error> {
        let count = jobs.len();
        let request = EnqueueBatchRequest {
            jobs: self.enqueues(jobs),
            atomic: true,
        };
        let plan = self.for_tenant(Repeat::Safe);
        let send = |mut stub: Stub, request| async move { stub.enqueue_batch(request).await };
        let told = self.caller.call(plan, request, send).await?.body.results;
        if told.len() == count {
            told.into_iter().map(enqueued).collect()
        } else {
            Err(lacking())
        }
    }

    /// Extends leases, each for itself.
    ///
    /// [`Error::is_lease_lost`] tells of each whether its task must be stopped.
    pub async fn heartbeats(
        &self,
        tasks: &[TaskRef],
        worker_id: &str,
    ) -> Vec<Result<Extended, Error>> {
        let beats = tasks.iter().map(|task| (task, task.heartbeat(worker_id)));
        let send = |heartbeats: Vec<HeartbeatRequest>, plan: Plan| {
            let caller = Arc::clone(&self.caller);
            async move {
                let request = HeartbeatsRequest { heartbeats };
                let send = |mut stub: Stub, request| async move { stub.heartbeats(request).await };
                let Answer { body, sent } = caller.call(plan, request, send).await?;
                let told = body.results.into_iter();
                Ok(told.map(|told| extended(told.result, sent)).collect())
            }
        };
        self.by_shard(beats, send).await
    }

    /// Ends tasks, each for itself. The same outcomes may be reported again.
    ///
    /// Each fails as [`Client::report`] would.
    pub async fn report_all(&self, outcomes: Vec<(TaskRef, Outcome)>) -> Vec<Result<(), Error>> {
        let outcomes = outcomes.iter();
        let reports = outcomes.map(|(task, outcome)| (task, task.report(outcome.clone())));
        let send = |outcomes: Vec<ReportOutcomeRequest>, plan: Plan| {
            let caller = Arc::clone(&self.caller);
            async move {
                let request = ReportOutcomesRequest { outcomes };
                let send =
                    |mut stub: Stub, request| async move { stub.report_outcomes(request).await };
                let told = caller.call(plan, request, send).await?.body.results;
                let told = told.into_iter();
                Ok(told.map(|told| told.error.map_or(Ok(()), failed)).collect())
            }
        };
        self.by_shard(reports, send).await
    }

    fn enqueues(&self, jobs: Vec<Enqueue>) -> Vec<EnqueueRequest> {
        let jobs = jobs.into_iter();
        let jobs = jobs.map(|job| job.into_request(self.tenant.clone(), entropy::request_id()));
        jobs.collect()
    }

    /// Sends what belongs to tasks to their shards, and puts the results in order.
    async fn by_shard<'a, Q: Clone, T, F>(
        &self,
        requests: impl Iterator<Item = (&'a TaskRef, Q)>,
        send: impl Fn(Vec<Q>, Plan) -> F,
    ) -> Each<T>
    where
        F: Future<Output = Result<Each<T>, Error>>,
    {
        let mut parts: BTreeMap<&str, Part<Q>> = BTreeMap::new();
        let mut count: usize = 0;
        for (index, (task, request)) in requests.enumerate() {
            let part = parts.entry(&task.shard).or_insert_with(|| Part {
                place: task.place(),
                indexes: Vec::new(),
                requests: Vec::new(),
            });
            part.indexes.push(index);
            part.requests.push(request);
            count = count.saturating_add(1);
        }
        let send = &send;
        let sent = parts.into_values().map(|part| async move {
            let results = self.each(part.place, part.requests, TASKS_MAX, send).await;
            (part.indexes, results)
        });
        let mut all: Vec<_> = (0..count).map(|_| Err(lacking())).collect();
        for (indexes, results) in join_all(sent).await {
            for (index, result) in indexes.into_iter().zip(results) {
                if let Some(place) = all.get_mut(index) {
                    *place = result;
                }
            }
        }
        all
    }

    /// Sends requests of one place, so many in a call, and those again that failed for the moment,
    /// until the deadline.
    async fn each<Q: Clone, T, F>(
        &self,
        place: Place,
        requests: Vec<Q>,
        call_max: usize,
        send: impl Fn(Vec<Q>, Plan) -> F,
    ) -> Each<T>
    where
        F: Future<Output = Result<Each<T>, Error>>,
    {
        let deadline = later(Instant::now(), self.deadline);
        let mut backoff = self.caller.backoff();
        let mut open: Vec<(usize, Q)> = requests.into_iter().enumerate().collect();
        let mut all: Each<T> = open.iter().map(|_| Err(lacking())).collect();
        loop {
            let mut again = Vec::new();
            for chunk in open.chunks(call_max) {
                let requests = chunk.iter().map(|(_, request)| request.clone()).collect();
                let plan = Plan {
                    place: place.clone(),
                    repeat: Repeat::Safe,
                    deadline,
                };
                let told = send(requests, plan).await;
                // A call has made its tries; only what it says of each is for another one.
                let may_pass = told.is_ok();
                let told = told.unwrap_or_else(|error| {
                    let all = chunk.iter();
                    all.map(|_| Err(error.clone())).collect()
                });
                for ((index, request), result) in chunk.iter().zip(told) {
                    if may_pass && result.as_ref().is_err_and(Error::is_passing) {
                        again.push((*index, request.clone()));
                    }
                    if let Some(place) = all.get_mut(*index) {
                        *place = result;
                    }
                }
            }
            let next = backoff.pause();
            if again.is_empty() || pause(deadline, next, || Error::Deadline).await.is_err() {
                return all;
            }
            // Whoever serves the shard now may be someone else.
            self.caller.doubted.store(true, Ordering::Relaxed);
            open = again;
        }
    }
}

/// What goes to one shard, and where it stood.
struct Part<Q> {
    place: Place,
    indexes: Vec<usize>,
    requests: Vec<Q>,
}

fn enqueued(told: EnqueueBatchResult) -> Result<String, Error> {
    match told.result {
        Some(Enqueued::Id(id)) => Ok(id),
        Some(Enqueued::Error(error)) => failed(error),
        None => Err(lacking()),
    }
}

fn extended(told: Option<Beat>, sent: Instant) -> Result<Extended, Error> {
    match told {
        Some(Beat::Extended(response)) => Ok(Extended { response, sent }),
        Some(Beat::Error(error)) => failed(error),
        None => Err(lacking()),
    }
}

fn failed<T>(error: CallError) -> Result<T, Error> {
    Err(Error::of_call(error))
}

pub(crate) fn lacking() -> Error {
    Error::OutcomeUnknown("the answer does not say what became of it".to_owned())
}
