//! What the shard machine should answer, worked out the slow way: one plain list of jobs, searched
//! from the front, without tables, heads, rings or codecs.
//!
//! A job that a test has damaged is left out of every prediction from then on.

pub mod known;
pub mod listed;
pub mod managed;

use std::cmp::Reverse;

use silo_core::shard::commands::enqueue::Enqueue;
use silo_core::shard::commands::import::ImportAttempt;
use silo_core::shard::commands::report::Outcome;
use silo_core::shard::refusal::{Gone, Refusal};
use silo_core::shard::reply::{Reply, Task};
use silo_core::table::job::JobKey;
use silo_core::table::state::Status;
use silo_core::types::name::{JobId, TaskGroup, WorkerId};
use silo_core::types::retention::Retention;
use silo_core::types::task::TaskId;
use silo_core::types::tenant::Tenant;
use silo_core::types::time::Timestamp;

use crate::common::LEASE;
use crate::common::oracle::known::{as_import, key_of, same};

/// Where a job stands, as a person would say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    Due,
    Ready,
    Running,
    Over(Status),
}

/// Everything that is expected of one job.
#[derive(Clone, Debug)]
pub struct Known {
    pub key: JobKey,
    pub asked: Enqueue,
    pub stands: Stands,
    pub is_damaged: bool,
    pub attempts_ended: u32,
    pub retries: u32,
    pub crashes: u32,
    pub losses: u32,
    /// Attempts before the latest run.
    run_from: usize,
    /// Every attempt that ended, as an import would say it.
    pub history: Vec<ImportAttempt>,
    /// When it is removed, once it has ended.
    pub expires: Option<i64>,
    is_cancel_asked: bool,
    /// Time and arrival: the order within a priority.
    place: (i64, u64),
    leases: Vec<Held>,
    last_returned: Option<u64>,
}

/// A lease that was given out once.
#[derive(Clone, Debug)]
struct Held {
    task: TaskId,
    worker: WorkerId,
    duration: i64,
    granted_at: i64,
    /// None: soft state was lost, and nobody has looked since.
    deadline: Option<i64>,
    is_heartbeated: bool,
    over: Option<Over>,
}

#[derive(Clone, Debug, PartialEq)]
enum Over {
    Reported(Outcome),
    Crashed,
    /// By its worker's word, or because it was lost.
    Returned {
        by: Option<Outcome>,
    },
}

#[derive(Clone, Debug, Default)]
pub struct Oracle {
    pub jobs: Vec<Known>,
    /// How long jobs are kept that do not say so.
    pub retention: Retention,
    arrivals: u64,
}

impl Oracle {
    pub fn find(&mut self, key: &JobKey) -> Option<&mut Known> {
        self.jobs.iter_mut().find(|job| job.key == *key)
    }

    /// Checks the answer to an enqueue and remembers the job.
    pub fn enqueued(&mut self, asked: &Enqueue, now: i64, reply: &Reply) {
        let named = |job: &JobId| JobKey {
            tenant: asked.tenant.clone(),
            job: job.clone(),
        };
        let id = asked
            .id
            .clone()
            .or_else(|| asked.request.map(|request| request.job_id()));
        if let Some(known) = id.as_ref().and_then(|id| self.find(&named(id))) {
            if known.is_damaged {
                return;
            }
            let is_same = asked.request.is_some() && known.asked == *asked;
            let expected = if is_same {
                Reply::Enqueued(known.key.job.clone())
            } else {
                Reply::Refused(Refusal::JobExists(known.key.job.clone()))
            };
            assert_eq!(*reply, expected);
            return;
        }
        let Reply::Enqueued(job) = reply else {
            panic!("a new job is taken, not {reply:?}");
        };
        if let Some(id) = id {
            assert_eq!(*job, id);
        }
        let key = named(job);
        assert!(self.find(&key).is_none(), "the id {job} was new");
        let start = asked.start_at.map_or(now, |at| at.as_millis().max(now));
        let mut known = Known::new(key, asked.clone());
        known.queue_at(start, now, &mut self.arrivals);
        self.jobs.push(known);
    }

    /// Checks tasks that were handed out: in each tenant's order, fairly, and as many as there are
    /// when all tenants are known to be there.
    pub fn leased(
        &mut self,
        group: &TaskGroup,
        tasks_max: usize,
        is_recovered: bool,
        now: i64,
        tasks: &[Task],
    ) {
        let mut tenants: Vec<Tenant> = self.jobs.iter().map(|j| j.key.tenant.clone()).collect();
        tenants.sort();
        tenants.dedup();
        let mut total = 0;
        let mut served = Vec::new();
        for tenant in tenants {
            let mut waiting: Vec<&Known> = self
                .jobs
                .iter()
                .filter(|job| job.key.tenant == tenant && job.asked.queue.group == *group)
                .filter(|job| job.stands == Stands::Ready && !job.is_damaged)
                .collect();
            waiting.sort_by_key(|job| (job.asked.queue.priority, job.place));
            let got: Vec<&JobId> = tasks
                .iter()
                .filter(|task| task.id.tenant == tenant)
                .map(|task| &task.id.job)
                .collect();
            let expected: Vec<&JobId> = waiting.iter().map(|job| &job.key.job).collect();
            assert_eq!(got, expected[..got.len().min(expected.len())], "{tenant}");
            total += waiting.len();
            served.push((got.len(), waiting.len()));
        }
        assert!(tasks.len() <= tasks_max);
        if is_recovered {
            assert_eq!(tasks.len(), total.min(tasks_max), "all that is ready");
            for (got, had) in &served {
                let most = served.iter().map(|(got, _)| *got).max().unwrap_or(0);
                assert!(got == had || got + 1 >= most, "fair turns: {served:?}");
            }
        }
        for task in tasks {
            self.granted(task, now);
        }
    }

    /// Checks the answer to a request for one given job.
    pub fn leased_one(&mut self, key: &JobKey, now: i64, reply: &Reply) {
        let expected = match self.find(key) {
            None => Refusal::JobNotFound(key.clone()),
            Some(job) if job.is_damaged => return,
            Some(job) => match job.stands {
                Stands::Due | Stands::Ready => {
                    let Reply::Leased(tasks) = reply else {
                        panic!("{reply:?}");
                    };
                    assert_eq!(tasks.len(), 1);
                    return self.granted(&tasks[0], now);
                }
                Stands::Running => Refusal::NotLeasable(key.clone(), Status::Running),
                Stands::Over(status) => Refusal::NotLeasable(key.clone(), status),
            },
        };
        assert_eq!(*reply, Reply::Refused(expected));
    }

    fn granted(&mut self, task: &Task, now: i64) {
        let key = JobKey {
            tenant: task.id.tenant.clone(),
            job: task.id.job.clone(),
        };
        let job = self.find(&key).expect("a job that exists");
        assert!(!job.is_damaged, "a damaged job was leased");
        assert_eq!(task.id.attempt, job.attempts_ended + 1);
        assert_eq!(task.queue, job.asked.queue);
        let of_run = job.attempts_ended + 1 - u32::try_from(job.run_from).unwrap();
        assert_eq!(task.relative_attempt, of_run);
        let retries = job.asked.retry.as_ref().map_or(0, |r| r.retry_count);
        assert_eq!(task.is_last_attempt, job.retries >= retries);
        let duration = job.asked.lease.map_or(LEASE, |lease| lease.get());
        assert_eq!(task.lease.get(), duration);
        let duration = i64::try_from(duration).unwrap();
        assert!(
            job.leases.iter().all(|held| held.task != task.id),
            "task ids are unique"
        );
        if job.stands == Stands::Ready {
            // Who was ready before the clock was set back is ready after it.
            job.place.0 = job.place.0.min(now);
        }
        job.stands = Stands::Running;
        job.leases.push(Held {
            task: task.id.clone(),
            worker: crate::common::worker("w"),
            duration,
            granted_at: now,
            deadline: Some(now + duration),
            is_heartbeated: false,
            over: None,
        });
    }

    /// Checks the answer to a heartbeat.
    pub fn heartbeated(&mut self, task: &TaskId, worker: &WorkerId, now: i64, reply: &Reply) {
        let key = key_of(task);
        let held = match self.find(&key) {
            Some(job) if job.is_damaged => return,
            Some(job) => {
                let is_cancel_asked = job.is_cancel_asked;
                let live = job.leases.iter_mut().find(|held| held.over.is_none());
                live.filter(|held| held.task == *task)
                    .map(|held| (held, is_cancel_asked))
            }
            None => None,
        };
        match held {
            None => assert_eq!(*reply, crate::common::gone(task, Gone::Unknown)),
            Some((held, _)) if held.worker != *worker => {
                let mismatch = Refusal::LeaseOwnerMismatch(task.clone());
                assert_eq!(*reply, Reply::Refused(mismatch));
            }
            Some((held, is_cancel_asked)) => {
                let Reply::Extended {
                    cancel_asked_at, ..
                } = reply
                else {
                    panic!("{reply:?}");
                };
                assert_eq!(cancel_asked_at.is_some(), is_cancel_asked);
                held.deadline = Some(now + held.duration);
                held.is_heartbeated = true;
            }
        }
    }

    /// Checks the answer to a report and does what it does.
    pub fn reported(&mut self, task: &TaskId, outcome: &Outcome, now: i64, reply: &Reply) {
        let mut arrivals = self.arrivals;
        let retention = self.retention;
        let Some(job) = self.find(&key_of(task)) else {
            return assert_eq!(*reply, crate::common::gone(task, Gone::Unknown));
        };
        if job.is_damaged {
            return;
        }
        let last_returned = job.last_returned;
        let Some(held) = job.leases.iter_mut().find(|held| held.task == *task) else {
            return assert_eq!(*reply, crate::common::gone(task, Gone::Unknown));
        };
        if let Some(over) = &held.over {
            let expected = match over {
                Over::Reported(known) if same(known, outcome) => Reply::Reported,
                Over::Reported(_) => crate::common::gone(task, Gone::Finished),
                Over::Crashed => crate::common::gone(task, Gone::Expired),
                // Only the latest of these is remembered.
                Over::Returned { .. } if last_returned != Some(task.nonce) => {
                    crate::common::gone(task, Gone::Unknown)
                }
                Over::Returned { by: None } => crate::common::gone(task, Gone::Expired),
                Over::Returned { by: Some(known) } if known == outcome => Reply::Reported,
                Over::Returned { by: Some(_) } => crate::common::gone(task, Gone::Released),
            };
            return assert_eq!(*reply, expected);
        }
        assert_eq!(*reply, Reply::Reported);
        if let Outcome::Release | Outcome::Snooze { .. } = outcome {
            held.over = Some(Over::Returned {
                by: Some(outcome.clone()),
            });
            // Losses are counted in a row, and this lease was not lost.
            job.losses = 0;
            if let Outcome::Snooze { delay } = outcome {
                job.crashes = 0;
                job.last_returned = Some(task.nonce);
                let at = now + i64::try_from(delay.get()).unwrap();
                if job.is_cancel_asked {
                    job.over(Status::Cancelled, now, retention);
                } else {
                    job.queue_at(at, now, &mut arrivals);
                }
                self.arrivals = arrivals;
            } else {
                job.give_back(task.nonce, now, retention);
            }
            return;
        }
        held.over = Some(Over::Reported(outcome.clone()));
        let started_at = Timestamp::from_millis(held.granted_at);
        job.history.push(ImportAttempt {
            started_at,
            finished_at: Timestamp::from_millis(now),
            how: as_import(outcome),
        });
        job.attempts_ended += 1;
        (job.crashes, job.losses) = (0, 0);
        match outcome {
            Outcome::Success { .. } => job.over(Status::Succeeded, now, retention),
            Outcome::Cancelled => job.over(Status::Cancelled, now, retention),
            Outcome::Release | Outcome::Snooze { .. } => unreachable!("handled above"),
            Outcome::Failure { .. } if job.is_cancel_asked => {
                job.over(Status::Cancelled, now, retention);
            }
            Outcome::Failure {
                retryable,
                retry_after,
                ..
            } => {
                let policy = job.asked.retry.clone();
                match policy.filter(|p| *retryable && job.retries < p.retry_count) {
                    None => job.over(Status::Failed, now, retention),
                    Some(policy) => {
                        // The tests' policy: 1 s, 2 s, 4 s, then 8 s.
                        assert_eq!(policy, crate::common::policy(policy.retry_count));
                        let plain = 1000_u64 << job.retries.min(3);
                        job.retries += 1;
                        let delay = retry_after.map_or(plain, |after| after.get());
                        let at = now + i64::try_from(delay).unwrap();
                        job.queue_at(at, now, &mut arrivals);
                    }
                }
            }
        }
        self.arrivals = arrivals;
    }

    /// Checks the answer to a cancel and does what it does.
    pub fn cancelled(&mut self, key: &JobKey, now: i64, reply: &Reply) {
        let retention = self.retention;
        let expected = match self.find(key) {
            None => Reply::Refused(Refusal::JobNotFound(key.clone())),
            Some(job) if job.is_damaged => return,
            Some(job) => match job.stands {
                Stands::Due | Stands::Ready => {
                    job.over(Status::Cancelled, now, retention);
                    Reply::Cancelled
                }
                Stands::Running if job.is_cancel_asked => {
                    Reply::Refused(Refusal::AlreadyCancelled(key.clone()))
                }
                Stands::Running => {
                    job.is_cancel_asked = true;
                    Reply::Cancelled
                }
                Stands::Over(Status::Cancelled) => {
                    Reply::Refused(Refusal::AlreadyCancelled(key.clone()))
                }
                Stands::Over(_) => Reply::Refused(Refusal::AlreadyTerminal(key.clone())),
            },
        };
        assert_eq!(*reply, expected);
    }

    /// Checks the answer to "how did it end".
    pub fn result(&mut self, key: &JobKey, reply: &Reply) {
        let stands = match self.find(key) {
            None => {
                let missing = Refusal::JobNotFound(key.clone());
                return assert_eq!(*reply, Reply::Refused(missing));
            }
            Some(job) if job.is_damaged => return,
            Some(job) => job.stands,
        };
        let not_yet = |status| {
            assert_eq!(
                *reply,
                Reply::Refused(Refusal::NotTerminal(key.clone(), status))
            )
        };
        match (stands, reply) {
            (Stands::Due | Stands::Ready, _) => not_yet(Status::Scheduled),
            (Stands::Running, _) => not_yet(Status::Running),
            (Stands::Over(status), Reply::Result(result)) => {
                assert_eq!(result.state.status(), status);
            }
            (Stands::Over(_), other) => panic!("{other:?}"),
        }
    }

    /// Soft state is gone: nobody knows when leases end or whether they were heartbeated.
    pub fn lost(&mut self) {
        for held in self.jobs.iter_mut().flat_map(|job| &mut job.leases) {
            held.deadline = None;
            held.is_heartbeated = false;
        }
    }

    /// Everything that is due by now has happened.
    pub fn settled(&mut self, now: i64) {
        let mut arrivals = self.arrivals;
        let retention = self.retention;
        for job in &mut self.jobs {
            if job.stands == Stands::Due && job.place.0 <= now {
                job.stands = Stands::Ready;
            }
            for held in job.leases.iter_mut().filter(|held| held.over.is_none()) {
                held.deadline.get_or_insert(now + held.duration);
            }
        }
        let deadline = |job: &Known| job.leases.last().and_then(|held| held.deadline);
        self.jobs
            .sort_by_key(|job| (deadline(job), job.key.clone()));
        for job in &mut self.jobs {
            if job.stands == Stands::Running && deadline(job).is_some_and(|at| at <= now) {
                job.expire(now, retention, &mut arrivals);
            }
        }
        self.arrivals = arrivals;
        // What is kept for no time at all goes in the tick after.
        self.jobs
            .retain(|job| job.is_damaged || job.expires.is_none_or(|at| at > now));
    }

    /// Jobs that have not ended, damaged ones apart; the ones that ran longest first.
    pub fn unfinished(&self) -> Vec<&Known> {
        let is_over = |job: &Known| matches!(job.stands, Stands::Over(_));
        let mut jobs: Vec<&Known> = self
            .jobs
            .iter()
            .filter(|job| !is_over(job) && !job.is_damaged)
            .collect();
        jobs.sort_by_key(|job| Reverse(job.attempts_ended));
        jobs
    }
}
