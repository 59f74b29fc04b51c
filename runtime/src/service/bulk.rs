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

use crate::node::Node;
use crate::proto::enqueue_batch_result::Result as BatchResult;
use crate::proto::heartbeats_result::Result as HeartbeatResult;
use crate::proto::{
    CallError, EnqueueBatchRequest, EnqueueBatchResponse, EnqueueBatchResult, EnqueueRequest,
    HeartbeatRequest, HeartbeatResponse, HeartbeatsResponse, HeartbeatsResult,
    ReportOutcomeRequest, ReportOutcomesResponse, ReportOutcomesResult,
};
use crate::service::calls::ask;
use crate::service::denial::Denial;
use crate::service::parse::Parser;
use crate::service::{route, status};

/// Most jobs in one `EnqueueBatch` that is not atomic.
pub const BATCH_JOBS_MAX: usize = 10_000;
/// Most outcomes or heartbeats in one call.
pub const BULK_TASKS_MAX: usize = 1000;
/// Commands of one call that are with their shards at once.
const IN_FLIGHT_MAX: usize = 256;

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
    match ask(&shard, Command::Enqueue(Box::new(enqueue))).await? {
        Reply::Enqueued(id) => Ok(id.as_str().to_owned()),
        other => Err(strange(&other)),
    }
}

/// Takes jobs, each for itself or all or none.
///
/// # Errors
/// [`Denial`] for too many jobs; for an atomic batch also when one of its jobs is refused.
pub async fn enqueue_batch(
    node: &Node,
    parser: &Parser,
    request: EnqueueBatchRequest,
) -> Result<EnqueueBatchResponse, Denial> {
    check_count("jobs", request.jobs.len(), BATCH_JOBS_MAX)?;
    let results = if request.atomic {
        let ids = enqueue_all(node, parser, request.jobs).await?;
        ids.into_iter().map(BatchResult::Id).collect()
    } else {
        each(request.jobs, |job| async move {
            match enqueue(node, parser, job).await {
                Ok(id) => BatchResult::Id(id),
                Err(denial) => BatchResult::Error(error(&denial)),
            }
        })
        .await
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
    match ask(&shard, Command::EnqueueAll(all)).await? {
        Reply::EnqueuedAll(ids) => Ok(ids.iter().map(|id| id.as_str().to_owned()).collect()),
        other => Err(strange(&other)),
    }
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
    match ask(&shard, Command::Report(report)).await? {
        Reply::Reported => Ok(()),
        other => Err(strange(&other)),
    }
}

/// Takes outcomes, each for itself.
///
/// # Errors
/// [`Denial`] for too many.
pub async fn report_outcomes(
    node: &Node,
    parser: &Parser,
    outcomes: Vec<ReportOutcomeRequest>,
) -> Result<ReportOutcomesResponse, Denial> {
    check_count("outcomes", outcomes.len(), BULK_TASKS_MAX)?;
    let results = each(outcomes, |outcome| async move {
        let reported = report(node, parser, outcome).await;
        ReportOutcomesResult {
            error: reported.err().as_ref().map(error),
        }
    });
    Ok(ReportOutcomesResponse {
        results: results.await,
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
    match ask(&shard, Command::Heartbeat(heartbeat)).await? {
        Reply::Extended {
            cancel_asked_at, ..
        } => Ok(HeartbeatResponse {
            cancelled: cancel_asked_at.is_some(),
            cancelled_at_ms: cancel_asked_at.map(|at| at.as_millis()),
        }),
        other => Err(strange(&other)),
    }
}

/// Keeps leases, each for itself.
///
/// # Errors
/// [`Denial`] for too many.
pub async fn heartbeats(
    node: &Node,
    parser: &Parser,
    requests: Vec<HeartbeatRequest>,
) -> Result<HeartbeatsResponse, Denial> {
    check_count("heartbeats", requests.len(), BULK_TASKS_MAX)?;
    let results = each(requests, |request| async move {
        let result = match heartbeat(node, parser, request).await {
            Ok(extended) => HeartbeatResult::Extended(extended),
            Err(denial) => HeartbeatResult::Error(error(&denial)),
        };
        HeartbeatsResult {
            result: Some(result),
        }
    });
    Ok(HeartbeatsResponse {
        results: results.await,
    })
}

/// Does the same for each, a bounded number at once, and gives the results in order.
async fn each<T, F: Future>(items: Vec<T>, work: impl FnMut(T) -> F) -> Vec<F::Output> {
    let works = stream::iter(items).map(work);
    works.buffered(IN_FLIGHT_MAX).collect().await
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
pub(crate) fn strange(_: &Reply) -> Denial {
    Denial::Bug("a command was answered with another one's reply")
}
