//! The table of transitions, line by line: from every place where a job can stand, every event
//! either leads where the table says, or is refused and changes nothing. `docs/reference/jobs.md`
//! names these tests.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction
)]

mod common;

use common::{
    LEASE, Shard, attempted, failed_import, failure, gone, heartbeat, imported, job, lease_job,
    plain, policy, retrying, success,
};
use silo_core::shard::command::Command;
use silo_core::shard::commands::import::ImportEnding;
use silo_core::shard::commands::report::Outcome;
use silo_core::shard::refusal::{Gone, ImportFault, Refusal};
use silo_core::shard::reply::Reply;
use silo_core::table::Table;
use silo_core::table::job::{JobKey, Jobs};
use silo_core::table::state::{Position, States, Status};
use silo_core::types::task::TaskId;
use silo_core::types::time::{Millis, Timestamp};

/// Where a job stands before the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Nowhere,
    Due,
    Ready,
    Running,
    /// Running, and somebody asked for cancellation.
    Stopping,
    Succeeded,
    Failed,
    Cancelled,
    Quarantined,
}

use crate::Origin::*;

const ALL: [Origin; 9] = [
    Nowhere,
    Due,
    Ready,
    Running,
    Stopping,
    Succeeded,
    Failed,
    Cancelled,
    Quarantined,
];

/// A shard with a job that stands there, and the task that it has or had last.
struct Case {
    shard: Shard,
    key: JobKey,
    task: Option<TaskId>,
}

impl Origin {
    fn case(self) -> Case {
        let mut shard = Shard::new();
        let key = job("t", "j");
        let mut asked = retrying("j", 1);
        if self == Due {
            asked.start_at = Some(Timestamp::from_millis(shard.now + 60_000));
        }
        if self == Failed {
            asked.retry = None;
        }
        let mut task = None;
        if self != Nowhere {
            shard.enqueue(asked);
        }
        if matches!(self, Running | Stopping | Succeeded | Failed) {
            task = Some(shard.lease_one().id);
        }
        match self {
            Nowhere | Due | Ready | Running => {}
            Stopping | Cancelled => assert_eq!(shard.cancel(&key), Reply::Cancelled),
            Succeeded => assert_eq!(
                shard.report(task.as_ref().unwrap(), success()),
                Reply::Reported
            ),
            Failed => assert_eq!(
                shard.report(task.as_ref().unwrap(), failure()),
                Reply::Reported
            ),
            Quarantined => {
                shard.damage(&Jobs::key(&key));
                assert!(matches!(shard.run(&common::get(&key)), Reply::Refused(_)));
            }
        }
        let case = Case { shard, key, task };
        assert_eq!(case.stands(), self);
        case
    }
}

impl Case {
    fn stands(&self) -> Origin {
        let Some(bytes) = self.shard.rows.map.get(&States::key(&self.key)) else {
            return Nowhere;
        };
        let state = States::read_row(bytes).unwrap();
        match (&state.position, state.status()) {
            (Position::Due(_), _) => Due,
            (Position::Ready(_), _) => Ready,
            (Position::Leased(_), _) if state.cancel_asked_at.is_some() => Stopping,
            (Position::Leased(_), _) => Running,
            (_, Status::Succeeded) => Succeeded,
            (_, Status::Failed) => Failed,
            (_, Status::Cancelled) => Cancelled,
            _ => Quarantined,
        }
    }

    /// Runs a command that leads to `to`.
    fn leads(mut self, command: &Command, reply: Reply, to: Origin) -> Self {
        assert_eq!(self.shard.run(command), reply);
        assert_eq!(self.stands(), to);
        self
    }

    /// Runs a command that must be refused and change nothing.
    fn refuses(mut self, command: &Command, refusal: Refusal) {
        let before = self.shard.rows.clone();
        assert_eq!(self.shard.run(command), Reply::Refused(refusal));
        assert!(self.shard.rows == before, "a refusal changes nothing");
    }

    fn report(&self, outcome: Outcome) -> Command {
        common::report(self.task.as_ref().unwrap(), outcome)
    }
}

fn snooze(millis: u64) -> Outcome {
    let delay = Millis::new(millis);
    Outcome::Snooze { delay }
}

#[test]
fn enqueue_makes_a_job_scheduled_at_attempt_1_and_refuses_an_id_that_is_taken() {
    for from in ALL {
        let case = from.case();
        let command = Command::Enqueue(Box::new(plain("j")));
        match from {
            Nowhere => {
                let id = case.key.job.clone();
                let mut case = case.leads(&command, Reply::Enqueued(id), Ready);
                assert_eq!(case.shard.lease_one().id.attempt, 1);
            }
            Quarantined => case.refuses(&command, Refusal::Quarantined(job("t", "j"))),
            _ => case.refuses(&command, Refusal::JobExists(job("t", "j").job)),
        }
    }
}

#[test]
fn import_puts_a_job_where_its_history_leaves_it() {
    let scheduled = |attempts| {
        let mut job = imported("j", attempts);
        job.retry = Some(policy(3));
        job
    };
    let failed = || attempted(1, failed_import());
    let ended = |how| imported("j", vec![failed(), attempted(2, how)]);
    let succeeded = ImportEnding::Succeeded {
        data: common::plain("j").payload,
    };
    for (given, to, status) in [
        (imported("j", vec![]), Ready, Status::Scheduled),
        (scheduled(vec![failed()]), Ready, Status::Scheduled),
        (ended(succeeded), Succeeded, Status::Succeeded),
        (ended(ImportEnding::Cancelled), Cancelled, Status::Cancelled),
        (imported("j", vec![failed()]), Failed, Status::Failed),
    ] {
        let mut case = Nowhere.case();
        assert_eq!(case.shard.import_one(given), Ok(status));
        assert_eq!(case.stands(), to);
    }
}

#[test]
fn import_of_a_job_that_is_here_goes_on_unless_it_runs_or_has_succeeded() {
    for from in ALL {
        let mut case = from.case();
        let key = case.key.clone();
        let given = imported("j", vec![attempted(1, ImportEnding::Cancelled)]);
        let not = |fault| Err(Refusal::NotImportable(key.clone(), fault));
        match from {
            Running | Stopping => {
                let command = Command::Import(silo_core::shard::commands::import::Import {
                    jobs: vec![imported("other", vec![]), given],
                });
                case.refuses(&command, Refusal::JobRunning(key));
                continue;
            }
            Nowhere | Due | Ready | Cancelled => {
                assert_eq!(case.shard.import_one(given), Ok(Status::Cancelled));
                assert_eq!(case.stands(), Cancelled);
            }
            Succeeded => assert_eq!(case.shard.import_one(given), not(ImportFault::Succeeded)),
            // It has failed once here, and not as the import says.
            Failed => assert_eq!(case.shard.import_one(given), not(ImportFault::Differs)),
            Quarantined => {
                let refusal = Refusal::Quarantined(key.clone());
                assert_eq!(case.shard.import_one(given), Err(refusal));
            }
        }
    }
}

#[test]
fn a_lease_takes_only_what_is_ready() {
    for from in ALL {
        let mut case = from.case();
        let tasks = case.shard.lease(10);
        if from == Ready {
            assert_eq!(common::ids(&tasks), ["j"]);
            assert_eq!(case.stands(), Running);
        } else {
            assert_eq!(tasks, [], "{from:?}");
            assert_eq!(case.stands(), from);
        }
    }
}

#[test]
fn a_lease_of_one_given_job_takes_what_waits_and_refuses_the_rest() {
    for from in ALL {
        let mut case = from.case();
        let command = lease_job(&case.key);
        let not = |status| Refusal::NotLeasable(job("t", "j"), status);
        match from {
            Due | Ready => {
                assert!(
                    matches!(case.shard.run(&command), Reply::Leased(tasks) if tasks.len() == 1)
                );
                assert_eq!(case.stands(), Running);
            }
            Nowhere => case.refuses(&command, Refusal::JobNotFound(job("t", "j"))),
            Running | Stopping => case.refuses(&command, not(Status::Running)),
            Succeeded => case.refuses(&command, not(Status::Succeeded)),
            Failed => case.refuses(&command, not(Status::Failed)),
            Cancelled => case.refuses(&command, not(Status::Cancelled)),
            Quarantined => case.refuses(&command, Refusal::Quarantined(job("t", "j"))),
        }
    }
}

#[test]
fn cancel_ends_what_waits_flags_what_runs_and_refuses_what_is_over() {
    for from in ALL {
        let case = from.case();
        let command = Command::Cancel(case.key.clone());
        match from {
            Due | Ready => {
                let case = case.leads(&command, Reply::Cancelled, Cancelled);
                let image = case.shard.image();
                assert!(
                    image.due.is_empty() && image.ready.is_empty(),
                    "nothing is left queued"
                );
            }
            Running => {
                let mut case = case.leads(&command, Reply::Cancelled, Stopping);
                let told = case.shard.heartbeat(case.task.as_ref().unwrap());
                assert!(matches!(
                    told,
                    Reply::Extended {
                        cancel_asked_at: Some(_),
                        ..
                    }
                ));
            }
            Nowhere => case.refuses(&command, Refusal::JobNotFound(job("t", "j"))),
            Stopping | Cancelled => {
                case.refuses(&command, Refusal::AlreadyCancelled(job("t", "j")))
            }
            Succeeded | Failed => case.refuses(&command, Refusal::AlreadyTerminal(job("t", "j"))),
            Quarantined => case.refuses(&command, Refusal::Quarantined(job("t", "j"))),
        }
    }
}

#[test]
fn delete_removes_every_row_of_what_does_not_run_and_refuses_what_does() {
    for from in ALL {
        let case = from.case();
        let command = Command::Delete(case.key.clone());
        match from {
            Running | Stopping => case.refuses(&command, Refusal::JobRunning(job("t", "j"))),
            Nowhere | Due | Ready | Succeeded | Failed | Cancelled | Quarantined => {
                let case = case.leads(&command, Reply::Deleted, Nowhere);
                assert!(!case.shard.has_rows(&case.key), "{from:?}");
                assert!(
                    case.shard.image().tenants.is_empty(),
                    "and the tenant's row with the last"
                );
            }
        }
    }
}

#[test]
fn restart_runs_what_failed_or_was_cancelled_and_refuses_the_rest() {
    for from in ALL {
        let case = from.case();
        let command = Command::Restart(case.key.clone());
        let not = |status| Refusal::NotRestartable(job("t", "j"), status);
        match from {
            Failed => {
                let mut case = case.leads(&command, Reply::Restarted, Ready);
                let task = case.shard.lease_one();
                assert_eq!((task.id.attempt, task.relative_attempt), (2, 1));
            }
            Cancelled => {
                let mut case = case.leads(&command, Reply::Restarted, Ready);
                let task = case.shard.lease_one();
                assert_eq!((task.id.attempt, task.relative_attempt), (1, 1));
                assert!(!task.is_last_attempt, "its retries are its own again");
                let told = case.shard.heartbeat(&task.id);
                assert!(matches!(
                    told,
                    Reply::Extended {
                        cancel_asked_at: None,
                        ..
                    }
                ));
            }
            Nowhere => case.refuses(&command, Refusal::JobNotFound(job("t", "j"))),
            Due | Ready => case.refuses(&command, not(Status::Scheduled)),
            Running | Stopping => case.refuses(&command, not(Status::Running)),
            Succeeded => case.refuses(&command, not(Status::Succeeded)),
            // Its description cannot be read: there is nothing to run. See `damage.rs`.
            Quarantined => case.refuses(&command, Refusal::Quarantined(job("t", "j"))),
        }
    }
}

#[test]
fn expedite_makes_due_what_waits_for_its_time_and_refuses_the_rest() {
    for from in ALL {
        let case = from.case();
        let command = Command::Expedite(case.key.clone());
        let not = |status| Refusal::NotExpeditable(job("t", "j"), status);
        match from {
            Due => {
                let mut case = case.leads(&command, Reply::Expedited, Ready);
                assert_eq!(common::ids(&case.shard.lease(1)), ["j"]);
            }
            Nowhere => case.refuses(&command, Refusal::JobNotFound(job("t", "j"))),
            Ready => case.refuses(&command, Refusal::AlreadyReady(job("t", "j"))),
            Running | Stopping => case.refuses(&command, not(Status::Running)),
            Succeeded => case.refuses(&command, not(Status::Succeeded)),
            Failed => case.refuses(&command, not(Status::Failed)),
            Cancelled => case.refuses(&command, not(Status::Cancelled)),
            Quarantined => case.refuses(&command, Refusal::Quarantined(job("t", "j"))),
        }
    }
}

#[test]
fn expedite_ends_the_wait_for_a_retry_too() {
    let case = Running.case();
    let report = case.report(failure());
    let case = case.leads(&report, Reply::Reported, Due);
    let expedite = Command::Expedite(case.key.clone());
    let mut case = case.leads(&expedite, Reply::Expedited, Ready);
    assert!(
        case.shard.lease_one().is_last_attempt,
        "the retry was spent all the same"
    );
}

#[test]
fn success_ends_a_running_job_also_when_cancellation_was_asked_for() {
    for from in [Running, Stopping] {
        let case = from.case();
        let report = case.report(success());
        case.leads(&report, Reply::Reported, Succeeded);
    }
}

#[test]
fn failure_retries_while_retries_remain_then_fails_and_cancels_if_that_was_asked_for() {
    let case = Running.case();
    let report = case.report(failure());
    let mut case = case.leads(&report, Reply::Reported, Due);
    case.shard.pass(1000);
    let last = case.shard.lease_one().id;
    let report = common::report(&last, failure());
    case.leads(&report, Reply::Reported, Failed);
    let case = Stopping.case();
    let report = case.report(failure());
    case.leads(&report, Reply::Reported, Cancelled);
}

#[test]
fn a_worker_that_stopped_reports_cancelled_and_the_job_is() {
    for from in [Running, Stopping] {
        let case = from.case();
        let report = case.report(Outcome::Cancelled);
        case.leads(&report, Reply::Reported, Cancelled);
    }
}

#[test]
fn release_puts_a_running_job_back_at_its_old_place_and_costs_nothing() {
    let case = Running.case();
    let release = case.report(Outcome::Release);
    let mut case = case.leads(&release, Reply::Reported, Ready);
    let task = case.shard.lease_one();
    assert_eq!((task.id.attempt, task.is_last_attempt), (1, false));
    let case = Stopping.case();
    let release = case.report(Outcome::Release);
    case.leads(&release, Reply::Reported, Cancelled);
}

#[test]
fn snooze_brings_a_running_job_back_later_and_costs_nothing() {
    let case = Running.case();
    let report = case.report(snooze(5000));
    let mut case = case.leads(&report, Reply::Reported, Due);
    case.shard.pass(4999);
    assert_eq!(case.shard.lease(1), []);
    case.shard.pass(1);
    let task = case.shard.lease_one();
    assert_eq!((task.id.attempt, task.is_last_attempt), (1, false));
    let case = Stopping.case();
    let report = case.report(snooze(5000));
    case.leads(&report, Reply::Reported, Cancelled);
}

#[test]
fn the_same_snooze_again_succeeds_and_any_other_report_does_not() {
    let case = Running.case();
    let task = case.task.clone().unwrap();
    let report = case.report(snooze(5000));
    let case = case.leads(&report, Reply::Reported, Due);
    let mut case = case.leads(&report, Reply::Reported, Due);
    for other in [snooze(5001), Outcome::Release, success()] {
        let reply = case.shard.report(&task, other);
        assert_eq!(reply, gone(&task, Gone::Released));
    }
}

#[test]
fn a_snooze_shows_that_the_worker_lives_so_crashes_begin_anew() {
    let mut case = Running.case();
    let task = case.task.clone().unwrap();
    case.shard.heartbeat(&task);
    case.shard.pass(i64::try_from(LEASE).unwrap());
    assert_eq!(case.shard.state(&case.key).crashes, 1);
    case.shard.pass(1000);
    let task = case.shard.lease_one();
    case.shard.report(&task.id, snooze(1));
    assert_eq!(case.shard.state(&case.key).crashes, 0);
}

#[test]
fn an_expired_lease_runs_again_as_a_crash_and_cancels_if_that_was_asked_for() {
    for (from, to) in [(Running, Due), (Stopping, Cancelled)] {
        let mut case = from.case();
        case.shard.run(&heartbeat(case.task.as_ref().unwrap(), "w"));
        case.shard.pass(i64::try_from(LEASE).unwrap());
        assert_eq!(case.stands(), to);
        assert_eq!(case.shard.state(&case.key).attempts_ended, 1);
    }
}

#[test]
fn reports_and_heartbeats_for_a_job_that_does_not_run_are_refused() {
    for from in ALL {
        let case = from.case();
        if matches!(from, Running | Stopping) {
            continue;
        }
        let never = TaskId {
            tenant: case.key.tenant.clone(),
            job: case.key.job.clone(),
            attempt: 1,
            nonce: 1,
        };
        let task = case.task.clone().unwrap_or(never);
        let is_known = case.task.is_some();
        let before = case.shard.rows.clone();
        let mut shard = case.shard;
        let beat = shard.run(&heartbeat(&task, "w"));
        assert_eq!(beat, gone(&task, Gone::Unknown), "{from:?}");
        for other in [Outcome::Release, Outcome::Cancelled, snooze(1)] {
            let why = if is_known {
                Gone::Finished
            } else {
                Gone::Unknown
            };
            assert_eq!(shard.report(&task, other), gone(&task, why), "{from:?}");
        }
        assert!(shard.rows == before, "nothing changes");
    }
}

#[test]
fn a_result_is_there_once_a_job_is_over() {
    for from in ALL {
        let mut case = from.case();
        let command = Command::Result(case.key.clone());
        let not = |status| Refusal::NotTerminal(job("t", "j"), status);
        match from {
            Succeeded | Failed | Cancelled => {
                assert!(matches!(case.shard.run(&command), Reply::Result(_)));
            }
            Nowhere => case.refuses(&command, Refusal::JobNotFound(job("t", "j"))),
            Due | Ready => case.refuses(&command, not(Status::Scheduled)),
            Running | Stopping => case.refuses(&command, not(Status::Running)),
            Quarantined => case.refuses(&command, Refusal::Quarantined(job("t", "j"))),
        }
    }
}
