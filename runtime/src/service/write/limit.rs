//! Limits, who holds their slots and who waits for one; and why a job does not run.

use silo_core::shard::refusal::Paused;
use silo_core::shard::seen::{
    Count, DueBecause, Explanation, Holder, LimitFacts, LimitView, Obstacle, Wait, Waiting,
};

use crate::proto::explain_job_response::Explanation as Told;
use crate::proto::{
    self, EndedAlready, LimitHolder, LimitKind, LimitObstacle, LimitOfJob, LimitWaiter, NotDue,
    ReadyInQueue, RunningNow, SetAside, WaitsForLimits,
};
use crate::service::write::job::ended;

/// A limit as it stands.
pub(crate) fn view(view: LimitView) -> proto::LimitView {
    let first = view.first;
    proto::LimitView {
        key: view.key.as_str().to_owned(),
        kind: LimitKind::Concurrency.into(),
        held: view.held,
        slots: view.slots,
        max_concurrency: view.maximum,
        set_max_concurrency: view.set,
        paused: view.is_paused,
        waiting: Some(count(view.waiting)),
        first_waiting_id: first.as_ref().map(|first| first.job.as_str().to_owned()),
        first_waits_since_ms: first.map(|first| first.since.as_millis()),
        tickets: view.tickets,
        to_be_searched: view.is_to_be_searched,
    }
}

/// Jobs that hold a slot.
pub(crate) fn holders(holders: Vec<Holder>) -> Vec<LimitHolder> {
    let holder = |holder: Holder| LimitHolder {
        id: holder.job.as_str().to_owned(),
        task_group: holder.queue.group.as_str().to_owned(),
        priority: holder.queue.priority.get().into(),
        since_ms: holder.since.as_millis(),
        worker_id: holder.worker.map(|worker| worker.as_str().to_owned()),
    };
    holders.into_iter().map(holder).collect()
}

/// A job that waits for a slot.
pub(crate) fn waiter(waiter: Waiting) -> LimitWaiter {
    LimitWaiter {
        id: waiter.job.as_str().to_owned(),
        priority: waiter.priority.get().into(),
        since_ms: waiter.since.as_millis(),
        expedited: waiter.is_expedited,
        has_ticket: waiter.has_ticket,
    }
}

/// Why a job does not run, while so many calls wait for tasks of its group.
pub(crate) fn explanation(explanation: Explanation, workers: usize) -> Told {
    match explanation {
        Explanation::NotDue { until, because } => {
            let because = match because {
                DueBecause::Start => proto::DueBecause::Start,
                DueBecause::BackOff => proto::DueBecause::BackOff,
                DueBecause::Snooze => proto::DueBecause::Snooze,
            };
            Told::NotDue(NotDue {
                until_ms: until.as_millis(),
                because: because.into(),
            })
        }
        Explanation::Ready {
            since,
            before,
            of,
            paused,
        } => Told::Ready(ReadyInQueue {
            since_ms: since.as_millis(),
            before: Some(count(before)),
            of,
            workers_waiting: u32::try_from(workers).unwrap_or(u32::MAX),
            paused_by: paused_by(paused.as_ref()).into(),
        }),
        Explanation::Waits(wait) => Told::Waits(waits(*wait)),
        Explanation::Runs {
            worker,
            since,
            attempt,
            cancel_asked_at,
        } => Told::Running(RunningNow {
            worker_id: worker.as_str().to_owned(),
            since_ms: since.as_millis(),
            attempt_number: attempt,
            cancel_asked_at_ms: cancel_asked_at.map(|at| at.as_millis()),
        }),
        Explanation::Ended { status, at, code } => Told::Ended(EndedAlready {
            status: ended(status).into(),
            at_ms: at.as_millis(),
            end_code: code.map(|code| code.as_str().to_owned()),
        }),
        Explanation::Quarantined { at, reason } => Told::Quarantined(SetAside {
            at_ms: at.as_millis(),
            reason,
        }),
    }
}

fn waits(wait: Wait) -> WaitsForLimits {
    WaitsForLimits {
        since_ms: wait.since.as_millis(),
        expedited: wait.is_expedited,
        limit_key: wait.at.as_str().to_owned(),
        limits: wait.limits.into_iter().map(of_job).collect(),
        before: Some(count(wait.before)),
        of: wait.of,
        sets_before: Some(count(wait.lines_before)),
        has_ticket: wait.has_ticket,
        to_be_searched: wait.is_to_be_searched,
        holders: holders(wait.holders),
    }
}

fn of_job(facts: LimitFacts) -> LimitOfJob {
    let mut kept_for = None;
    let obstacle = match facts.obstacle {
        None => LimitObstacle::None,
        Some(Obstacle::Full) => LimitObstacle::Full,
        Some(Obstacle::Kept(job)) => {
            kept_for = job.map(|job| job.as_str().to_owned());
            LimitObstacle::Kept
        }
        Some(Obstacle::Paused) => LimitObstacle::Paused,
        Some(Obstacle::MaximumZero) => LimitObstacle::MaximumZero,
        Some(Obstacle::Damaged) => LimitObstacle::Damaged,
    };
    LimitOfJob {
        key: facts.key.as_str().to_owned(),
        held: facts.held,
        slots: facts.slots,
        obstacle: obstacle.into(),
        kept_for_id: kept_for,
    }
}

const fn count(count: Count) -> proto::Count {
    proto::Count {
        number: count.number,
        at_least: !count.is_exact,
    }
}

const fn paused_by(paused: Option<&Paused>) -> proto::PausedBy {
    match paused {
        None => proto::PausedBy::Nothing,
        Some(Paused::Tenant(_)) => proto::PausedBy::Tenant,
        Some(Paused::QueueOfTenant(_)) => proto::PausedBy::QueueOfTenant,
        Some(Paused::Queue(_)) => proto::PausedBy::Queue,
    }
}
