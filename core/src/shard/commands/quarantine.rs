//! Quarantine: set a damaged job aside, so that one bad row is not an outage. No caller sends this:
//! any command that meets a row which does not decode, or rows of one job that contradict each
//! other, turns into it. (SILO-QUAR-T1)

use crate::shard::decision::{Decision, Notice};
use crate::shard::draft::{Damage, Draft, Halt, damaged};
use crate::shard::limits::give;
use crate::shard::limits::search::search;
use crate::shard::moves::leave;
use crate::shard::refusal::{Gone, Refusal};
use crate::shard::reply::Reply;
use crate::shard::soft::SoftStep;
use crate::shard::view::Need;
use crate::table::job::{JobKey, Jobs};
use crate::table::quarantine::{QuarantineRow, Quarantines};
use crate::table::running::Runnings;
use crate::table::state::{
    Position, StateRow, States, Status, is_running_of_bytes, status_of_bytes,
};
use crate::table::tenant::Queue;
use crate::table::{Table, TableId};
use crate::types::limit::slots_of;
use crate::types::name::{Priority, TaskGroup};
use crate::types::task::TaskId;

/// A leased job whose stored data cannot be read: leasing it again and again would get nobody
/// anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// The lease in which it was found. If that is over, so is the matter: whoever leases the job
    /// next will find the same.
    pub task: TaskId,
    /// What was found, in a sentence.
    pub reason: String,
}

/// Asks for what [`decide`] does; once that is done the answer is a refusal that says so.
pub(crate) fn judge(aside: &SetAside, draft: &Draft<'_>) -> Result<Reply, Halt> {
    let task = &aside.task;
    let key = JobKey {
        tenant: task.tenant.clone(),
        job: task.job.clone(),
    };
    let state = draft.state(&key)?;
    if state
        .as_ref()
        .and_then(StateRow::lease)
        .is_some_and(|lease| lease.is(task))
    {
        return Err(damaged(&key, aside.reason.clone()));
    }
    let gone = Gone::Unknown;
    Err(Refusal::LeaseNotFound {
        task: task.clone(),
        gone,
    }
    .into())
}

pub(crate) fn decide(damage: &Damage, mut draft: Draft<'_>) -> Result<Decision, Need> {
    match set_aside(damage, &mut draft) {
        Ok(()) => Ok(draft.finish(Reply::Again)),
        Err(Halt::Need(need)) => Err(need),
        Err(Halt::Refused(refusal)) => Ok(Decision::refused(*refusal)),
        // What this command does cannot find the job damaged once more: it reads bytes.
        Err(Halt::Damaged(again)) => Ok(Decision::refused(Refusal::Quarantined(again.key))),
    }
}

fn set_aside(damage: &Damage, draft: &mut Draft<'_>) -> Result<(), Halt> {
    let key = &damage.key;
    let now = draft.now();
    // A job without a state is none: nothing is made up for it.
    let Some(bytes) = draft.bytes(&States::key(key))? else {
        return Err(Refusal::Quarantined(key.clone()).into());
    };
    let readable = States::read_row(&bytes).ok();
    if readable
        .as_ref()
        .is_some_and(|s| matches!(s.position, Position::Quarantined { .. }))
    {
        // Set aside before, and met again: a command must not ask for the same thing for ever.
        return Err(Refusal::Quarantined(key.clone()).into());
    }
    let before: Option<Status>;
    let mut state = match readable {
        Some(state) => {
            before = Some(state.status());
            leave(draft, key, &state)?;
            state
        }
        // Which index row represents the job is not known; whoever meets it drops it.
        None => {
            before = Some(status_of_bytes(&bytes).unwrap_or(Status::Scheduled));
            give_back(key, &bytes, draft)?;
            draft.delete::<Runnings>(key);
            draft.step(SoftStep::LeaseEnded(key.clone()));
            StateRow::new(
                Position::Quarantined { at: now },
                queue_of(key, draft)?,
                now,
            )
        }
    };
    state.position = Position::Quarantined { at: now };
    draft.put_state(key, before, &mut state)?;
    let reason = damage.reason.clone();
    draft.put::<Quarantines>(
        key,
        &QuarantineRow {
            at: now,
            reason: reason.clone(),
        },
    );
    draft.notice(Notice::Quarantined(key.clone(), reason));
    // Whoever waits for what it held is looked at by a tick: it may be damaged as well, and what is
    // set aside must not depend on that.
    search(draft, 0)
}

/// Gives back what a job held whose state is lost, if its first bytes say that it ran, and if its
/// job row says what that was. Else it stays held until the limits are counted anew.
fn give_back(key: &JobKey, state: &[u8], draft: &mut Draft<'_>) -> Result<(), Halt> {
    if !is_running_of_bytes(state) {
        return Ok(());
    }
    let row = draft.bytes(&Jobs::key(key))?;
    match row.map(|bytes| Jobs::read_row(&bytes)) {
        Some(Ok(job)) => give(draft, &key.tenant, &slots_of(&job.limits)),
        Some(Err(_)) | None => {
            draft.notice(Notice::Unreadable(TableId::Job));
            Ok(())
        }
    }
}

/// The queue of a job whose state is lost: its job row knows.
fn queue_of(key: &JobKey, draft: &Draft<'_>) -> Result<Queue, Halt> {
    let row = draft
        .bytes(&Jobs::key(key))?
        .and_then(|bytes| Jobs::read_row(&bytes).ok());
    Ok(row.map_or_else(
        || Queue {
            group: TaskGroup::unknown(),
            priority: Priority::default(),
        },
        |job| job.queue,
    ))
}
