//! What operators set at run time: a tenant's weight, and what is paused.

use std::collections::BTreeMap;
use std::sync::Arc;

use silo_core::shard::command::Command;
use silo_core::shard::commands::pause::SetQueue;
use silo_core::shard::commands::tenant::{SetTenant, SetWeight};
use silo_core::shard::reply::{Reply, TenantView};
use silo_core::types::name::TaskGroup;
use silo_core::types::tenant::Tenant;
use silo_core::types::time::Timestamp;
use silo_core::types::weight::Weight;

use crate::executor::shard::Shard;
use crate::node::Node;
use crate::proto::{
    GetTenantRequest, GetTenantResponse, ListPausedQueuesRequest, ListPausedQueuesResponse,
    PauseQueueRequest, PauseQueueResponse, PausedQueue, ResumeQueueRequest, ResumeQueueResponse,
    SetTenantRequest, SetTenantResponse, TenantCounts, TenantInfo,
};
use crate::service::ask::ask;
use crate::service::bulk::STRANGE;
use crate::service::denial::Denial;
use crate::service::parse::Parser;
use crate::service::route;

/// What is set of a tenant, and how many jobs it has.
///
/// # Errors
/// [`Denial`] when nobody serves the tenant, or its shard does not answer.
pub(crate) async fn get_tenant(
    node: &Node,
    parser: &Parser,
    request: GetTenantRequest,
) -> Result<GetTenantResponse, Denial> {
    let tenant = parser.tenancy.of_job(request.tenant.as_deref())?;
    let shard = route::of_tenant(node, &request.shard, &tenant)?;
    let reply = ask(&shard, Command::GetTenant(tenant.clone())).await?;
    let tenant = Some(info(parser, &tenant, &shard, reply)?);
    Ok(GetTenantResponse { tenant })
}

/// Sets a tenant's weight, pauses or resumes it.
///
/// # Errors
/// [`Denial`] for a weight out of its bounds, and as [`get_tenant`].
pub(crate) async fn set_tenant(
    node: &Node,
    parser: &Parser,
    request: SetTenantRequest,
) -> Result<SetTenantResponse, Denial> {
    let tenant = parser.tenancy.of_job(request.tenant.as_deref())?;
    let weight = match request.weight {
        None => SetWeight::Keep,
        Some(0) => SetWeight::Clear,
        Some(number) => SetWeight::To(Weight::parse(number)?),
    };
    let shard = route::of_tenant(node, &request.shard, &tenant)?;
    let set = SetTenant {
        tenant: tenant.clone(),
        weight,
        paused: request.paused,
    };
    let reply = ask(&shard, Command::SetTenant(set)).await?;
    let tenant = Some(info(parser, &tenant, &shard, reply)?);
    Ok(SetTenantResponse { tenant })
}

/// Pauses a task group: of a tenant, or of everybody on the shards that are meant.
///
/// # Errors
/// [`Denial`] when one does not answer: others may have done it, and a second call does no harm.
pub(crate) async fn pause_queue(
    node: &Node,
    parser: &Parser,
    request: PauseQueueRequest,
) -> Result<PauseQueueResponse, Denial> {
    let shards = set_queue(node, parser, request, true).await?;
    Ok(PauseQueueResponse { shards })
}

/// Resumes it, as it was paused.
///
/// # Errors
/// As [`pause_queue`].
pub(crate) async fn resume_queue(
    node: &Node,
    parser: &Parser,
    request: ResumeQueueRequest,
) -> Result<ResumeQueueResponse, Denial> {
    let which = PauseQueueRequest {
        shard: request.shard,
        tenant: request.tenant,
        task_group: request.task_group,
    };
    let shards = set_queue(node, parser, which, false).await?;
    Ok(ResumeQueueResponse { shards })
}

/// Does it, and tells on how many shards.
async fn set_queue(
    node: &Node,
    parser: &Parser,
    which: PauseQueueRequest,
    is_paused: bool,
) -> Result<u32, Denial> {
    let group = TaskGroup::parse(&which.task_group)?;
    let given = which.tenant.as_deref().filter(|tenant| !tenant.is_empty());
    let tenant = given.map(|tenant| parser.tenancy.of_job(Some(tenant)));
    let tenant = tenant.transpose()?;
    let shards = match &tenant {
        Some(tenant) => vec![route::of_tenant(node, &which.shard, tenant)?],
        None => meant(node, &which.shard)?,
    };
    for shard in &shards {
        let set = SetQueue {
            group: group.clone(),
            tenant: tenant.clone(),
            is_paused,
        };
        ask(shard, Command::SetQueue(set)).await?;
    }
    Ok(u32::try_from(shards.len()).unwrap_or(u32::MAX))
}

/// The task groups that are paused for everybody, shard by shard.
///
/// # Errors
/// [`Denial`] when a shard does not answer.
pub(crate) async fn list_paused(
    node: &Node,
    request: ListPausedQueuesRequest,
) -> Result<ListPausedQueuesResponse, Denial> {
    let mut queues = Vec::new();
    for shard in meant(node, &request.shard)? {
        let Reply::PausedQueues(since) = ask(&shard, Command::ListPaused).await? else {
            return Err(STRANGE);
        };
        queues.extend(paused(since, &shard));
    }
    Ok(ListPausedQueuesResponse { queues })
}

/// The shard that was named, or all of the node.
fn meant(node: &Node, shard: &str) -> Result<Vec<Arc<Shard>>, Denial> {
    match route::named(shard)? {
        Some(id) => Ok(vec![route::by_id(node, id)?]),
        None if node.shards().is_empty() => Err(Denial::NoShards),
        None => Ok(node.shards().to_vec()),
    }
}

fn paused(since: BTreeMap<TaskGroup, Timestamp>, shard: &Shard) -> Vec<PausedQueue> {
    let shard = shard.entry().shard_id.to_string();
    let queue = |(group, at): (TaskGroup, Timestamp)| PausedQueue {
        task_group: group.as_str().to_owned(),
        paused_at_ms: at.as_millis(),
        shard: shard.clone(),
    };
    since.into_iter().map(queue).collect()
}

fn info(
    parser: &Parser,
    tenant: &Tenant,
    shard: &Shard,
    reply: Reply,
) -> Result<TenantInfo, Denial> {
    let Reply::Tenant(view) = reply else {
        return Err(STRANGE);
    };
    let TenantView {
        weight,
        paused: since,
        paused_queues,
        tallies,
    } = *view;
    let counts = weight.unwrap_or_else(|| parser.weights.of(tenant));
    Ok(TenantInfo {
        tenant: parser.tenancy.shown(tenant),
        shard: shard.entry().shard_id.to_string(),
        weight: counts.get().into(),
        weight_set: weight.map(|weight| weight.get().into()),
        paused_at_ms: since.map(Timestamp::as_millis),
        paused_queues: paused(paused_queues, shard),
        counts: Some(TenantCounts {
            scheduled: tallies.scheduled,
            running: tallies.running,
            succeeded: tallies.succeeded,
            failed: tallies.failed,
            cancelled: tallies.cancelled,
            quarantined: tallies.quarantined,
        }),
    })
}
