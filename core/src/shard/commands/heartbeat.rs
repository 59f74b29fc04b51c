//! Heartbeat: keep a lease. Costs no write: deadlines are soft. (SILO-LEASE-T3)

use crate::shard::draft::{Draft, Halt};
use crate::shard::refusal::{Gone, Refusal};
use crate::shard::reply::Reply;
use crate::shard::soft::SoftStep;
use crate::table::job::JobKey;
use crate::types::name::WorkerId;
use crate::types::task::TaskId;

/// "I am still working on it."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// On what.
    pub task: TaskId,
    /// Who says so.
    pub worker: WorkerId,
}

pub(crate) fn decide(heartbeat: &Heartbeat, draft: &mut Draft<'_>) -> Result<Reply, Halt> {
    let task = &heartbeat.task;
    let key = JobKey {
        tenant: task.tenant.clone(),
        job: task.job.clone(),
    };
    let unknown = || Refusal::LeaseNotFound {
        task: task.clone(),
        gone: Gone::Unknown,
    };
    let state = draft.state(&key)?.ok_or_else(unknown)?;
    let lease = state
        .lease()
        .filter(|lease| lease.is(task))
        .ok_or_else(unknown)?;
    if lease.worker != heartbeat.worker {
        return Err(Refusal::LeaseOwnerMismatch(task.clone()).into());
    }
    let deadline = draft.deadline(lease.duration);
    draft.step(SoftStep::Extended {
        key,
        nonce: lease.nonce,
        deadline,
    });
    Ok(Reply::Extended {
        cancel_asked_at: state.cancel_asked_at,
        lease: lease.duration,
    })
}
