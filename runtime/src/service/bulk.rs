//! Calls for many at once: each is judged for itself and has a result of its own, in order.
//!
//! What one of many ends with is what a call for it alone would have ended with. Commands go to
//! their shards a bounded number at a time: they share rounds with each other and with everybody
//! else's, and a large call cannot fill a shard's queue.

use futures::{StreamExt as _, stream};
use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::EnqueueAll;
use silo_core::shard::reply::Reply;
use silo_core::types::Invalid;
use tokio::sync::Semaphore;

use crate::node::Node;
use crate::proto::enqueue_batch_result::Result as BatchResult;
use crate::proto::heartbeats_result::Result as HeartbeatResult;
use crate::proto::{
    CallError, EnqueueBatchRequest, EnqueueBatchResponse, EnqueueBatchResult, EnqueueRequest,
    HeartbeatRequest, HeartbeatResponse, HeartbeatsResponse, HeartbeatsResult,
    ReportOutcomeRequest, ReportOutcomesResponse, ReportOutcomesResult,
};
use crate::service::ask::ask;
use crate::service::denial::Denial;
use crate::service::parse::Parser;
use crate::service::{route, status};

/// Most jobs in one `EnqueueBatch` that is not atomic.
pub const BATCH_JOBS_MAX: usize = 10_000;
/// Most outcomes or heartbeats in one call.
pub const BULK_TASKS_MAX: usize = 1000;
/// Commands of one call that are with their shards at once.
const IN_FLIGHT_MAX: usize = 256;
/// Commands of all such calls together: a quarter of what one shard lets wait.
const IN_FLIGHT_IN_ALL_MAX: usize = 1024;

/// What bounds calls for many at once, over all of them.
#[derive(Debug)]
pub struct Bulk {
    in_flight: Semaphore,
}

impl Default for Bulk {
    fn default() -> Self {
        Self {
            in_flight: Semaphore::new(IN_FLIGHT_IN_ALL_MAX),
        }
    }
}

impl Bulk {
    /// Does the same for each, a bounded number at once, and gives the results in order.
    pub async fn each<T, F: Future>(
        &self,
        items: Vec<T>,
        mut work: impl FnMut(T) -> F,
    ) -> Vec<F::Output> {
        let works = stream::iter(items).map(|item| {
            let work = work(item);
            async move {
                // Nobody closes it; without a permit the bound would be the call's own.
                let _permit = self.in_flight.acquire().await.ok();
                work.await
            }
        });
        works.buffered(IN_FLIGHT_MAX).collect().await
    }
}

/// The results of a call for many, unless all of them say that this is the wrong node: then the
/// call says so, for clients to look for the right one.
///
/// # Errors
/// The first [`Denial`], when every one is of that kind.
pub(crate) fn routed<T>(results: Vec<Result<T, Denial>>) -> Result<Vec<Result<T, Denial>>, Denial> {
    let elsewhere = |result: &Result<T, Denial>| match result {
        Err(denial @ (Denial::ShardElsewhere(_) | Denial::NoShards)) => Some(denial.clone()),
        Ok(_) | Err(_) => None,
    };
    let mut denials = results.iter().map(elsewhere);
    match denials.next().flatten() {
        Some(first) if denials.all(|denial| denial.is_some()) => Err(first),
        Some(_) | None => Ok(results),
    }
}

/// Takes one job.
///
/// # Errors
/// [`Denial`] when it is not taken.
pub async fn enqueue(
    node: &Node,
    parser: &Parser,
    mut request: EnqueueRequest,
) -> Result<String, Denial> {
    let shard = std::mem::take(&mut request.shard);
    let enqueue = parser.enqueue(request)?;
    let shard = route::of_tenant(node, &shard, &enqueue.tenant)?;
    let Reply::Enqueued(id) = ask(&shard, Command::Enqueue(Box::new(enqueue))).await? else {
        return Err(STRANGE);
    };
    Ok(id.as_str().to_owned())
}

/// Takes jobs, each for itself or all or none.
///
/// # Errors
/// [`Denial`] for too many jobs; for an atomic batch also when one of its jobs is refused.
pub async fn enqueue_batch(
    node: &Node,
    parser: &Parser,
    bulk: &Bulk,
    request: EnqueueBatchRequest,
) -> Result<EnqueueBatchResponse, Denial> {
    check_count("jobs", request.jobs.len(), BATCH_JOBS_MAX)?;
    let results = if request.atomic {
        let ids = enqueue_all(node, parser, request.jobs).await?;
        ids.into_iter().map(BatchResult::Id).collect()
    } else {
        let taken = bulk.each(request.jobs, |job| enqueue(node, parser, job));
        let taken = routed(taken.await)?.into_iter();
        let result = |taken: Result<_, Denial>| match taken {
            Ok(id) => BatchResult::Id(id),
            Err(denial) => BatchResult::Error(error(&denial)),
        };
        taken.map(result).collect::<Vec<_>>()
    };
    let result = |result| EnqueueBatchResult {
        result: Some(result),
    };
    Ok(EnqueueBatchResponse {
        results: results.into_iter().map(result).collect(),
    })
}

async fn enqueue_all(
    node: &Node,
    parser: &Parser,
    requests: Vec<EnqueueRequest>,
) -> Result<Vec<String>, Denial> {
    let mut named = String::new();
    let mut jobs = Vec::with_capacity(requests.len());
    for (index, mut request) in requests.into_iter().enumerate() {
        let of_batch = |denial| Denial::OfBatch {
            index,
            denial: Box::new(denial),
        };
        let shard = std::mem::take(&mut request.shard);
        if index == 0 {
            named = shard;
        } else if shard != named {
            let bound = "the same for all jobs when atomic";
            return Err(of_batch(Invalid::new("shard", shard, bound).into()));
        }
        jobs.push(parser.enqueue(request).map_err(of_batch)?);
    }
    let Some(first) = jobs.first() else {
        return Ok(Vec::new());
    };
    let shard = route::of_tenant(node, &named, &first.tenant)?;
    let all = EnqueueAll { jobs };
    all.check()?;
    let Reply::EnqueuedAll(ids) = ask(&shard, Command::EnqueueAll(all)).await? else {
        return Err(STRANGE);
    };
    Ok(ids.iter().map(|id| id.as_str().to_owned()).collect())
}

/// Takes one outcome.
///
/// # Errors
/// [`Denial`] when it does not stand.
pub async fn report(
    node: &Node,
    parser: &Parser,
    mut request: ReportOutcomeRequest,
) -> Result<(), Denial> {
    let shard = std::mem::take(&mut request.shard);
    let report = parser.report(request)?;
    let shard = route::of_tenant(node, &shard, &report.task.tenant)?;
    let Reply::Reported = ask(&shard, Command::Report(report)).await? else {
        return Err(STRANGE);
    };
    Ok(())
}

/// Takes outcomes, each for itself.
///
/// # Errors
/// [`Denial`] for too many.
pub async fn report_outcomes(
    node: &Node,
    parser: &Parser,
    bulk: &Bulk,
    outcomes: Vec<ReportOutcomeRequest>,
) -> Result<ReportOutcomesResponse, Denial> {
    check_count("outcomes", outcomes.len(), BULK_TASKS_MAX)?;
    let reported = bulk.each(outcomes, |outcome| report(node, parser, outcome));
    let reported = routed(reported.await)?.into_iter();
    let result = |reported: Result<(), Denial>| ReportOutcomesResult {
        error: reported.err().as_ref().map(error),
    };
    Ok(ReportOutcomesResponse {
        results: reported.map(result).collect(),
    })
}

/// Keeps one lease.
///
/// # Errors
/// [`Denial`] when there is no such lease, or nobody may say that there is.
pub async fn heartbeat(
    node: &Node,
    parser: &Parser,
    request: HeartbeatRequest,
) -> Result<HeartbeatResponse, Denial> {
    let heartbeat = parser.heartbeat(&request)?;
    let shard = route::of_tenant(node, &request.shard, &heartbeat.task.tenant)?;
    let Reply::Extended {
        cancel_asked_at, ..
    } = ask(&shard, Command::Heartbeat(heartbeat)).await?
    else {
        return Err(STRANGE);
    };
    Ok(HeartbeatResponse {
        cancelled: cancel_asked_at.is_some(),
        cancelled_at_ms: cancel_asked_at.map(|at| at.as_millis()),
    })
}

/// Keeps leases, each for itself.
///
/// # Errors
/// [`Denial`] for too many.
pub async fn heartbeats(
    node: &Node,
    parser: &Parser,
    bulk: &Bulk,
    requests: Vec<HeartbeatRequest>,
) -> Result<HeartbeatsResponse, Denial> {
    check_count("heartbeats", requests.len(), BULK_TASKS_MAX)?;
    let kept = bulk.each(requests, |request| heartbeat(node, parser, request));
    let kept = routed(kept.await)?.into_iter();
    let result = |kept: Result<_, Denial>| HeartbeatsResult {
        result: Some(match kept {
            Ok(extended) => HeartbeatResult::Extended(extended),
            Err(denial) => HeartbeatResult::Error(error(&denial)),
        }),
    };
    Ok(HeartbeatsResponse {
        results: kept.map(result).collect(),
    })
}

/// Refuses a list that is too long.
///
/// # Errors
/// [`Invalid`] names the list, its length and the bound.
pub fn check_count(field: &'static str, count: usize, count_max: usize) -> Result<(), Invalid> {
    if count > count_max {
        let bound = format!("at most {count_max} long");
        return Err(Invalid::new(field, format!("{count} long"), bound));
    }
    Ok(())
}

fn error(denial: &Denial) -> CallError {
    CallError {
        code: status::code(denial).into(),
        reason: status::reason(denial).to_owned(),
        message: denial.to_string(),
    }
}

/// A reply that does not belong to its command.
pub(crate) const STRANGE: Denial = Denial::Bug("a command was answered with another one's reply");
