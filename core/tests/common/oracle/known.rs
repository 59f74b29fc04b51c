//! What becomes of one job, and what of it counts as the same.

use bytes::Bytes;
use silo_core::shard::commands::enqueue::Enqueue;
use silo_core::shard::commands::import::{ImportAttempt, ImportEnding, ImportJob};
use silo_core::shard::commands::report::Outcome;
use silo_core::shard::refusal::Refusal;
use silo_core::shard::reply::Reply;
use silo_core::table::job::JobKey;
use silo_core::table::state::Status;
use silo_core::types::retention::Retention;
use silo_core::types::task::TaskId;
use silo_core::types::time::Timestamp;

use crate::common::oracle::{Known, Over, Stands};

impl Known {
    pub fn new(key: JobKey, asked: Enqueue) -> Self {
        Self {
            key,
            asked,
            stands: Stands::Due,
            is_damaged: false,
            attempts_ended: 0,
            retries: 0,
            crashes: 0,
            losses: 0,
            run_from: 0,
            history: Vec::new(),
            expires: None,
            is_cancel_asked: false,
            place: (0, 0),
            leases: Vec::new(),
            last_returned: None,
        }
    }

    /// Ends, and is kept for as long as it says, or as the server says.
    pub fn over(&mut self, status: Status, now: i64, default: Retention) {
        let kept = |retention: Retention| match status {
            Status::Succeeded => retention.succeeded,
            Status::Failed => retention.failed,
            _ => retention.cancelled,
        };
        let kept = kept(self.asked.retention).or(kept(default));
        self.stands = Stands::Over(status);
        self.expires = kept.map(|kept| now + i64::try_from(kept.get()).unwrap());
    }

    /// Takes in the rest of a history that begins with its own.
    pub fn go_on(
        &mut self,
        given: &ImportJob,
        now: i64,
        default: Retention,
        arrivals: &mut u64,
    ) -> Status {
        self.history.clone_from(&given.attempts);
        self.attempts_ended = u32::try_from(self.history.len()).unwrap();
        (self.crashes, self.losses) = (0, 0);
        self.is_cancel_asked = false;
        self.last_returned = None;
        self.expires = None;
        // The tests' own failures have this code; crashes have another.
        let is_failure = |attempt: &&ImportAttempt| match &attempt.how {
            ImportEnding::Failed { code, .. } => code == "E",
            ImportEnding::Succeeded { .. } | ImportEnding::Cancelled => false,
        };
        let failures = self.history[self.run_from..].iter().filter(is_failure);
        let failures = u32::try_from(failures.count()).unwrap();
        let retries = self.asked.retry.as_ref().map(|retry| retry.retry_count);
        self.retries = failures.min(retries.unwrap_or(0));
        let start_at = given.start_at.map(Timestamp::as_millis);
        match self
            .history
            .last()
            .map(|last| (&last.how, last.finished_at))
        {
            None => self.queue_at(start_at.unwrap_or(now), now, arrivals),
            Some((ImportEnding::Succeeded { .. }, _)) => {
                self.over(Status::Succeeded, now, default);
            }
            Some((ImportEnding::Cancelled, _)) => self.over(Status::Cancelled, now, default),
            Some((ImportEnding::Failed { .. }, at)) => {
                if failures <= retries.unwrap_or(0) {
                    let backoff = 1000_i64 << failures.saturating_sub(1).min(3);
                    let delay = retries.map_or(0, |_| backoff);
                    let start = start_at.unwrap_or(at.as_millis() + delay);
                    self.queue_at(start, now, arrivals);
                } else {
                    self.over(Status::Failed, now, default);
                }
            }
        }
        match self.stands {
            Stands::Due | Stands::Ready => Status::Scheduled,
            Stands::Running => Status::Running,
            Stands::Over(status) => status,
        }
    }

    pub fn queue_at(&mut self, at: i64, now: i64, arrivals: &mut u64) {
        self.place = (at.max(now), *arrivals);
        *arrivals += 1;
        self.stands = if at > now { Stands::Due } else { Stands::Ready };
    }

    pub fn queue_back(&mut self, now: i64) {
        // A clock that was set back makes nobody wait again who was ready before.
        let was_ready = self
            .leases
            .last()
            .is_some_and(|held| self.place.0 <= held.granted_at);
        self.stands = if self.place.0 > now && !was_ready {
            Stands::Due
        } else {
            Stands::Ready
        };
    }

    pub fn give_back(&mut self, nonce: u64, now: i64, retention: Retention) {
        self.last_returned = Some(nonce);
        if self.is_cancel_asked {
            self.over(Status::Cancelled, now, retention);
        } else {
            self.queue_back(now);
        }
    }

    pub fn expire(&mut self, now: i64, retention: Retention, arrivals: &mut u64) {
        let Some(held) = self.leases.last_mut() else {
            return;
        };
        let losses_max = self.asked.max_crashes * 3;
        if !held.is_heartbeated && self.losses < losses_max && !self.is_cancel_asked {
            held.over = Some(Over::Returned { by: None });
            self.losses += 1;
            let nonce = held.task.nonce;
            return self.give_back(nonce, now, retention);
        }
        if held.is_heartbeated {
            self.losses = 0;
        }
        held.over = Some(Over::Crashed);
        let started_at = Timestamp::from_millis(held.granted_at);
        self.history.push(ImportAttempt {
            started_at,
            finished_at: Timestamp::from_millis(now),
            how: ImportEnding::Failed {
                code: "WORKER_CRASHED".to_owned(),
                data: Bytes::new(),
            },
        });
        self.attempts_ended += 1;
        if self.is_cancel_asked {
            self.over(Status::Cancelled, now, retention);
            return;
        }
        self.crashes += 1;
        if self.crashes > self.asked.max_crashes {
            self.over(Status::Failed, now, retention);
        } else {
            // 1 s, doubling to 30 s.
            let delay = (1000_i64 << (self.crashes - 1).min(5)).min(30_000);
            self.queue_at(now + delay, now, arrivals);
        }
    }
}

/// The same report again: advice on what to do next is no part of how an attempt ended.
pub fn same(known: &Outcome, again: &Outcome) -> bool {
    match (known, again) {
        (
            Outcome::Failure { code, data, .. },
            Outcome::Failure {
                code: again_code,
                data: again_data,
                ..
            },
        ) => (code, data) == (again_code, again_data),
        (known, again) => known == again,
    }
}

pub fn key_of(task: &TaskId) -> JobKey {
    JobKey {
        tenant: task.tenant.clone(),
        job: task.job.clone(),
    }
}

pub fn not_restartable(key: &JobKey, status: Status) -> Reply {
    Reply::Refused(Refusal::NotRestartable(key.clone(), status))
}

/// What an import says of an attempt that ended here.
pub fn as_import(outcome: &Outcome) -> ImportEnding {
    match outcome {
        Outcome::Success { data } => ImportEnding::Succeeded { data: data.clone() },
        Outcome::Failure { code, data, .. } => ImportEnding::Failed {
            code: code.clone(),
            data: data.clone(),
        },
        Outcome::Cancelled | Outcome::Release | Outcome::Snooze { .. } => ImportEnding::Cancelled,
    }
}

/// What an import asks for, as an enqueue would.
pub fn as_enqueue(job: &ImportJob) -> Enqueue {
    Enqueue {
        tenant: job.tenant.clone(),
        id: Some(job.id.clone()),
        request: None,
        queue: job.queue.clone(),
        start_at: job.start_at,
        retry: job.retry.clone(),
        max_crashes: job.max_crashes,
        lease: None,
        limits: job.limits.clone(),
        retention: Retention::FOREVER,
        metadata: job.metadata.clone(),
        payload: job.payload.clone(),
    }
}
