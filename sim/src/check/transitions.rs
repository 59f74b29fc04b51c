//! What a command may do to a job, and what it may be refused for: the table of states and events
//! of the contract, told once more.

use silo_core::shard::command::Command;
use silo_core::shard::commands::report::{Outcome, Report};
use silo_core::shard::refusal::Refusal;
use silo_core::shard::reply::Reply;
use silo_core::shard::view::Rows;
use silo_core::table::Table;
use silo_core::table::job::{JobKey, JobRow, Jobs};
use silo_core::table::state::{Ended, Position, StateRow, States};
use silo_core::types::data::Data;
use silo_core::types::limit::slots_of;
use silo_core::types::retention::Retention;
use silo_core::types::time::Timestamp;
use silo_runtime::executor::trace::Decided;

use crate::check::touched::{Job, Touched, read};
use crate::check::{Checked, Promise, ensure, limits, violated};
use crate::cover::{Cover, Mark};
use crate::world::call::{job_of, target};

/// Where a job stands, as far as transitions tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Nowhere,
    Due,
    Ready,
    Parked,
    Leased,
    Over(Ended),
    Aside,
}

fn at(state: Option<&StateRow>) -> At {
    match state.map(|state| &state.position) {
        None => At::Nowhere,
        Some(Position::Due(_)) => At::Due,
        Some(Position::Ready(_)) => At::Ready,
        Some(Position::Parked { .. }) => At::Parked,
        Some(Position::Leased(_)) => At::Leased,
        Some(Position::Ended { status, .. }) => At::Over(*status),
        Some(Position::Quarantined { .. }) => At::Aside,
    }
}

/// Checks what a command has done to each job that it has touched.
///
/// # Errors
/// [`crate::check::Violation`] for what it may not do.
pub fn check(touched: &Touched, rows: &Rows, decided: &Decided, cover: &mut Cover) -> Checked {
    for (key, job) in touched.states() {
        if job.before == job.after {
            return violated(
                Promise::Transition,
                format!("{:?} touched job {} for nothing", decided.command, key.job),
            );
        }
        let asked = read::<Jobs>(rows, &Jobs::key(key));
        let is_served = is_served(job, decided);
        if at(job.after.as_ref()) == At::Parked {
            cover.hit(Mark::JobParked);
        }
        let is_fine = is_allowed(key, job, decided, cover)
            && is_within_budget(job, asked.as_ref(), &decided.command)
            && is_as_asked(key, job, asked.as_ref(), &decided.command)
            && is_kept_rightly(job, decided)
            && limits::stands_again(job)
            && !has_overtaken(touched, rows, key, job, &decided.command);
        ensure(is_served || is_fine, Promise::Transition, || {
            format!(
                "{:?} at {} answered {:?} and made of job {}\n{:?}\n{:?}",
                decided.command,
                decided.stamp.now.wall,
                decided.decision.reply,
                key.job,
                job.before,
                job.after
            )
        })?;
    }
    Ok(())
}

/// Whoever was parked and is ready is served: by whatever has freed a slot.
fn is_served(job: &Job, decided: &Decided) -> bool {
    let (Some(before), Some(after)) = (&job.before, &job.after) else {
        return false;
    };
    (at(Some(before)), at(Some(after))) == (At::Parked, At::Ready)
        && limits::may_serve(&decided.command)
        && limits::is_served(before, after)
}

/// Nobody who comes is before those that are parked already, unless a maximum has changed. Whoever
/// was parked, and served by the same command, came in its order.
fn has_overtaken(
    touched: &Touched,
    rows: &Rows,
    key: &JobKey,
    job: &Job,
    command: &Command,
) -> bool {
    let comes = match command {
        Command::Enqueue(_) => job.before.is_none(),
        Command::Restart(_) | Command::Expedite(_) => true,
        _ => false,
    };
    let after = job.after.as_ref();
    comes
        && at(after) == At::Ready
        && after.is_some_and(|after| {
            after.waited.is_none() && touched.limits.is_behind(rows, key, after)
        })
}

fn is_allowed(key: &JobKey, job: &Job, decided: &Decided, cover: &mut Cover) -> bool {
    let (before, after) = (job.before.as_ref(), job.after.as_ref());
    let (from, to) = (at(before), at(after));
    let now = decided.stamp.now.wall;
    let reply = &decided.decision.reply;
    let waits = |at: At| matches!(at, At::Due | At::Ready | At::Parked);
    let enters = |at: At| matches!(at, At::Ready | At::Parked);
    let counts = |state: Option<&StateRow>| state.map_or(0, |s| s.attempts_ended);
    let (had, has) = (counts(before), counts(after));
    match &decided.command {
        Command::Enqueue(_) => {
            cover.hit(Mark::Enqueued);
            from == At::Nowhere && waits(to) && has == 0 && is_named(key, reply)
        }
        Command::EnqueueAll(_) => {
            cover.hit(Mark::TakenTogether);
            from == At::Nowhere && waits(to) && has == 0 && is_named(key, reply)
        }
        Command::Import(import) => {
            cover.hit(Mark::Imported);
            let is_asked = import
                .jobs
                .iter()
                .any(|job| (&job.tenant, &job.id) == (&key.tenant, &key.job));
            let may = !matches!(from, At::Leased | At::Aside | At::Over(Ended::Succeeded));
            is_asked && may && to != At::Leased && to != At::Nowhere && has >= had
        }
        Command::Lease(_) => {
            cover.hit(Mark::Leased);
            from == At::Ready && is_granted(key, before, after, reply)
        }
        Command::LeaseJob(lease) => {
            if from == At::Parked {
                cover.hit(Mark::LeasedOutOfTurn);
            }
            lease.key == *key && waits(from) && is_granted(key, before, after, reply)
        }
        Command::Report(report) => is_reported(report, key, job, cover),
        Command::Cancel(named) => {
            let is_flagged = after.is_some_and(|state| state.cancel_asked_at == Some(now));
            if waits(from) {
                cover.hit(Mark::CancelledWaiting);
            }
            if from == At::Parked {
                cover.hit(Mark::CancelledParked);
            }
            let right = if waits(from) {
                to == At::Over(Ended::Cancelled)
            } else {
                from == At::Leased && to == At::Leased && same_lease(before, after)
            };
            named == key && is_flagged && right && had == has && *reply == Reply::Cancelled
        }
        Command::Delete(named) => {
            cover.hit(Mark::Deleted);
            if from == At::Parked {
                cover.hit(Mark::DeletedParked);
            }
            named == key && from != At::Leased && to == At::Nowhere
        }
        Command::Restart(named) => {
            cover.hit(Mark::Restarted);
            let from_end = matches!(from, At::Over(Ended::Failed | Ended::Cancelled));
            let anew = after.is_some_and(|state| {
                (state.retries_used, state.crashes, state.attempts_before) == (0, 0, had)
                    && state.cancel_asked_at.is_none()
            });
            named == key && from_end && enters(to) && had == has && anew
        }
        Command::Expedite(named) => {
            cover.hit(Mark::Expedited);
            let right = match (from, to) {
                (At::Due, to) => enters(to),
                (At::Parked, At::Parked) => {
                    cover.hit(Mark::ExpeditedParked);
                    is_expedited(before, after)
                }
                _ => false,
            };
            named == key && right && had == has
        }
        Command::Tick => is_ticked(before, after, now, cover),
        Command::Heartbeat(_)
        | Command::List(_)
        | Command::ListSetAside(_)
        | Command::Explain(_)
        | Command::ListLimits(_)
        | Command::ShowLimit(_)
        | Command::SetLimit(_)
        | Command::RecountLimits(_)
        | Command::SetTenant(_)
        | Command::GetTenant(_)
        | Command::SetQueue(_)
        | Command::ListPaused
        | Command::Get(_)
        | Command::Result(_)
        | Command::SetAside(_) => false,
    }
}

/// A run goes on while its budgets last, and not longer: retries for failures, crashes in a row for
/// leases that ended.
fn is_within_budget(job: &Job, asked: Option<&JobRow>, command: &Command) -> bool {
    let (Some(before), Some(after), Some(asked)) = (&job.before, &job.after, asked) else {
        return true;
    };
    let has_failed = at(Some(after)) == At::Over(Ended::Failed);
    let waits = matches!(at(Some(after)), At::Due | At::Ready | At::Parked);
    match command {
        Command::Report(report) => {
            let Outcome::Failure { retryable, .. } = &report.outcome else {
                return true;
            };
            let retries_max = asked.retry.as_ref().map_or(0, |retry| retry.retry_count);
            let may = *retryable && before.retries_used < retries_max;
            (!waits || may) && (!has_failed || !may)
        }
        Command::Tick if matches!(before.position, Position::Leased(_)) => {
            let crashed = after.attempts_ended > before.attempts_ended;
            let used_up = before.crashes >= asked.max_crashes;
            !crashed || (!waits || !used_up) && (!has_failed || used_up)
        }
        _ => true,
    }
}

/// What is written down of a job is what was asked for, and stays so.
fn is_as_asked(key: &JobKey, job: &Job, row: Option<&JobRow>, command: &Command) -> bool {
    let (Some(after), Some(row)) = (&job.after, row) else {
        return true;
    };
    let all = match command {
        Command::Enqueue(asked) => std::slice::from_ref(&**asked),
        Command::EnqueueAll(all) => all.jobs.as_slice(),
        Command::Import(_) | Command::Restart(_) => return true,
        _ => {
            return job
                .before
                .as_ref()
                .is_none_or(|b| (b.retention, &b.slots) == (after.retention, &after.slots));
        }
    };
    all.iter().any(|asked| {
        let named = asked.id.as_ref().is_none_or(|id| *id == key.job);
        named
            && asked.tenant == key.tenant
            && (&asked.queue, &asked.queue) == (&row.queue, &after.queue)
            && asked.retention == after.retention
            && (asked.start_at, asked.max_crashes, asked.lease)
                == (row.start_at, row.max_crashes, row.lease)
            && asked.retry == row.retry
            && asked.metadata == row.metadata
            && asked.limits == row.limits
            && slots_of(&asked.limits) == after.slots
            && row.payload == Data::of(&asked.payload)
            && row.request.map(|request| request.id) == asked.request
    })
}

/// A job that ends now is kept for as long as it wants itself, else for as long as the server says.
fn is_kept_rightly(job: &Job, decided: &Decided) -> bool {
    let Some(after) = &job.after else { return true };
    let Position::Ended {
        status, expires, ..
    } = &after.position
    else {
        return true;
    };
    if (job.before.as_ref()).is_some_and(|before| before.position == after.position) {
        return true;
    }
    let kept = |retention: &Retention| match status {
        Ended::Succeeded => retention.succeeded,
        Ended::Failed => retention.failed,
        Ended::Cancelled => retention.cancelled,
    };
    let kept = kept(&after.retention).or_else(|| kept(&decided.stamp.retention));
    expires.map(|place| place.at) == kept.map(|kept| decided.stamp.now.wall.after(kept))
}

fn is_named(key: &JobKey, reply: &Reply) -> bool {
    match reply {
        Reply::Enqueued(job) => *job == key.job,
        Reply::EnqueuedAll(jobs) => jobs.contains(&key.job),
        _ => false,
    }
}

fn is_granted(
    key: &JobKey,
    before: Option<&StateRow>,
    after: Option<&StateRow>,
    reply: &Reply,
) -> bool {
    let Reply::Leased(tasks) = reply else {
        return false;
    };
    let (Some(before), Some(after)) = (before, after) else {
        return false;
    };
    let lease = after.lease();
    let given = tasks.iter().filter(|task| job_of(&task.id) == *key);
    let given: Vec<_> = given.collect();
    let is_it = matches!(given.as_slice(), [task] if lease.is_some_and(|l| l.is(&task.id)));
    is_it
        && after.attempts_ended == before.attempts_ended
        && lease.is_some_and(|lease| lease.attempt == before.attempts_ended + 1)
}

fn is_reported(report: &Report, key: &JobKey, job: &Job, cover: &mut Cover) -> bool {
    let (Some(before), Some(after)) = (&job.before, &job.after) else {
        return false;
    };
    let is_live =
        job_of(&report.task) == *key && before.lease().is_some_and(|lease| lease.is(&report.task));
    let to = at(Some(after));
    let asked = before.cancel_asked_at.is_some();
    let ended_one = after.attempts_ended == before.attempts_ended + 1;
    let ended_none = after.attempts_ended == before.attempts_ended;
    let waits = matches!(to, At::Due | At::Ready | At::Parked);
    let over = |ended| to == At::Over(ended);
    let right = match &report.outcome {
        Outcome::Success { .. } => {
            cover.hit(Mark::Succeeded);
            ended_one && over(Ended::Succeeded)
        }
        Outcome::Cancelled => ended_one && over(Ended::Cancelled),
        Outcome::Failure { retryable, .. } => {
            let retried =
                waits && *retryable && after.retries_used == before.retries_used + 1 && !asked;
            cover.hit(if waits { Mark::Retried } else { Mark::Failed });
            let ended = over(if asked {
                Ended::Cancelled
            } else {
                Ended::Failed
            });
            ended_one && (retried || ended)
        }
        Outcome::Release | Outcome::Snooze { .. } => {
            cover.hit(Mark::GivenBack);
            let same = after.retries_used == before.retries_used;
            ended_none && same && if asked { over(Ended::Cancelled) } else { waits }
        }
    };
    is_live && right
}

fn is_ticked(
    before: Option<&StateRow>,
    after: Option<&StateRow>,
    now: Timestamp,
    cover: &mut Cover,
) -> bool {
    let Some(before) = before else { return false };
    let Some(after) = after else {
        cover.hit(Mark::Removed);
        return match &before.position {
            Position::Ended { expires, .. } => expires.is_some_and(|place| place.at <= now),
            Position::Due(_)
            | Position::Ready(_)
            | Position::Parked { .. }
            | Position::Leased(_)
            | Position::Quarantined { .. } => false,
        };
    };
    let (from, to) = (at(Some(before)), at(Some(after)));
    let asked = before.cancel_asked_at.is_some();
    match (&before.position, to) {
        (Position::Due(place), At::Ready | At::Parked) => {
            cover.hit(Mark::FellDue);
            place.at <= now && after.attempts_ended == before.attempts_ended
        }
        (Position::Leased(_), At::Due | At::Ready | At::Parked) => {
            let crashed = after.attempts_ended == before.attempts_ended + 1
                && after.crashes == before.crashes + 1
                && to == At::Due;
            let lost =
                after.attempts_ended == before.attempts_ended && after.losses == before.losses + 1;
            !asked && (crashed || lost) && after.retries_used == before.retries_used
        }
        (Position::Leased(_), At::Over(Ended::Cancelled)) => asked,
        (Position::Leased(_), At::Over(Ended::Failed)) => {
            !asked && after.attempts_ended == before.attempts_ended + 1
        }
        _ => from == to && from == At::Nowhere,
    }
}

/// It goes first, once.
fn is_expedited(before: Option<&StateRow>, after: Option<&StateRow>) -> bool {
    let place = |state: Option<&StateRow>| match state?.position {
        Position::Parked { line, place } => Some((line, place)),
        _ => None,
    };
    let (Some((from, old)), Some((to, new))) = (place(before), place(after)) else {
        return false;
    };
    from == to && !old.is_expedited() && new.is_expedited() && new < old
}

fn same_lease(before: Option<&StateRow>, after: Option<&StateRow>) -> bool {
    let lease = |state: Option<&StateRow>| state.and_then(StateRow::lease).cloned();
    lease(before).is_some() && lease(before) == lease(after)
}

/// Checks the answer to a command that names a job, before it has changed anything.
///
/// # Errors
/// [`crate::check::Violation`] when it is not what the job's state says.
pub fn answer(rows: &Rows, decided: &Decided, cover: &mut Cover) -> Checked {
    let Some(key) = target(&decided.command) else {
        return Ok(());
    };
    let state = read::<States>(rows, &States::key(&key));
    let from = at(state.as_ref());
    let reply = &decided.decision.reply;
    let is_live = |task| {
        state
            .as_ref()
            .is_some_and(|s| s.lease().is_some_and(|l| l.is(task)))
    };
    let is_fine = match (&decided.command, reply) {
        (
            Command::Heartbeat(heartbeat),
            Reply::Extended {
                cancel_asked_at, ..
            },
        ) => {
            is_live(&heartbeat.task)
                && state.is_some_and(|state| state.cancel_asked_at == *cancel_asked_at)
        }
        (Command::Heartbeat(heartbeat), Reply::Refused(Refusal::LeaseNotFound { .. })) => {
            !is_live(&heartbeat.task)
        }
        (Command::Report(report), Reply::Refused(Refusal::LeaseNotFound { .. })) => {
            !is_live(&report.task)
        }
        (Command::Report(_), Reply::Reported) => from != At::Nowhere,
        (Command::Get(_), Reply::Job(view)) => state.as_ref() == Some(&view.state),
        (Command::Result(_), Reply::Result(view)) => {
            matches!(from, At::Over(_)) && state.as_ref() == Some(&view.state)
        }
        (Command::Enqueue(enqueue), Reply::Refused(Refusal::JobExists(_))) => {
            from != At::Nowhere || enqueue.id.is_none()
        }
        (Command::Enqueue(enqueue), Reply::Enqueued(_)) => {
            from == At::Nowhere || enqueue.request.is_some()
        }
        (Command::Delete(_), Reply::Deleted) => from != At::Leased,
        (_, Reply::Refused(Refusal::JobNotFound(_))) => from == At::Nowhere,
        (_, Reply::Refused(Refusal::JobRunning(_))) => from == At::Leased,
        (Command::LeaseJob(_), Reply::Refused(Refusal::LimitFull { limit, .. })) => {
            cover.hit(Mark::LimitWasFull);
            matches!(from, At::Due | At::Parked)
                && state.is_some_and(|state| limits::is_full(rows, &key, &state, limit))
        }
        (_, Reply::Refused(Refusal::LimitFull { .. })) => false,
        (_, Reply::Refused(Refusal::AlreadyReady(_))) => from == At::Ready,
        (_, Reply::Refused(Refusal::AlreadyCancelled(_))) => {
            from == At::Over(Ended::Cancelled)
                || state.is_some_and(|state| state.cancel_asked_at.is_some())
        }
        (_, Reply::Refused(Refusal::AlreadyTerminal(_))) => {
            matches!(from, At::Over(Ended::Succeeded | Ended::Failed))
        }
        (_, Reply::Refused(Refusal::NotTerminal(..))) => !matches!(from, At::Over(_)),
        (
            _,
            Reply::Refused(
                Refusal::NotRestartable(_, status)
                | Refusal::NotExpeditable(_, status)
                | Refusal::NotLeasable(_, status),
            ),
        ) => state.is_some_and(|state| state.status() == *status),
        _ => true,
    };
    ensure(is_fine, Promise::Transition, || {
        format!("{:?} was answered {reply:?} at {from:?}", decided.command)
    })
}
