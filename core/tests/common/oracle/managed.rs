//! What people do to jobs: batches, imports, delete, restart, expedite.

use silo_core::shard::commands::enqueue::Enqueue;
use silo_core::shard::commands::import::ImportJob;
use silo_core::shard::refusal::{ImportFault, Refusal};
use silo_core::shard::reply::{Imported, Reply};
use silo_core::table::job::JobKey;
use silo_core::table::state::Status;
use silo_core::types::name::JobId;

use crate::common::oracle::known::{as_enqueue, not_restartable};
use crate::common::oracle::{Known, Oracle, Stands};

impl Oracle {
    /// Checks the answer to an enqueue of several jobs, all or none. None of them is damaged.
    pub fn enqueued_all(&mut self, asked: &[Enqueue], now: i64, reply: &Reply) {
        let mut after = self.clone();
        match reply {
            Reply::EnqueuedAll(jobs) => {
                assert_eq!(jobs.len(), asked.len());
                for (asked, job) in asked.iter().zip(jobs) {
                    after.enqueued(asked, now, &Reply::Enqueued(job.clone()));
                }
                *self = after;
            }
            Reply::Refused(Refusal::InBatch { index, refusal }) => {
                for (number, asked) in asked[..*index].iter().enumerate() {
                    // Ids are made in the batch as if they had been given.
                    let made = JobId::parse(&format!("made-{number}")).unwrap();
                    let given = asked.request.map(|request| request.job_id());
                    let job = asked.id.clone().or(given).unwrap_or(made);
                    after.enqueued(asked, now, &Reply::Enqueued(job));
                }
                let refused = Reply::Refused(Refusal::clone(refusal));
                after.enqueued(&asked[*index], now, &refused);
            }
            other => panic!("{other:?}"),
        }
    }

    /// Checks the answer to an import of one job that is not damaged, and does what it does.
    pub fn imported(&mut self, given: &ImportJob, now: i64, reply: &Reply) {
        let key = JobKey {
            tenant: given.tenant.clone(),
            job: given.id.clone(),
        };
        let retention = self.retention;
        let mut arrivals = self.arrivals;
        let mut job = match self.find(&key) {
            Some(known) => known.clone(),
            None => Known::new(key.clone(), as_enqueue(given)),
        };
        let is_new = self.find(&key).is_none();
        let not = |fault| Err(Refusal::NotImportable(key.clone(), fault));
        let expected = match job.stands {
            Stands::Running => {
                let running = Refusal::JobRunning(key.clone());
                return assert_eq!(*reply, Reply::Refused(running));
            }
            Stands::Over(Status::Succeeded) => not(ImportFault::Succeeded),
            _ if !given.attempts.starts_with(&job.history) => not(ImportFault::Differs),
            _ if !is_new && given.attempts.len() == job.history.len() => {
                not(ImportFault::NothingNew)
            }
            _ => Ok(job.go_on(given, now, retention, &mut arrivals)),
        };
        let outcome = expected.clone();
        let job_id = key.job.clone();
        let results = vec![Imported {
            job: job_id,
            outcome,
        }];
        assert_eq!(*reply, Reply::Imported(results));
        if expected.is_ok() {
            self.arrivals = arrivals;
            self.jobs.retain(|known| known.key != key);
            self.jobs.push(job);
        }
    }

    /// Checks the answer to a delete and does what it does.
    pub fn deleted(&mut self, key: &JobKey, reply: &Reply) {
        match self.find(key) {
            Some(job) if job.is_damaged => {}
            Some(job) if job.stands == Stands::Running => {
                let running = Refusal::JobRunning(key.clone());
                assert_eq!(*reply, Reply::Refused(running));
            }
            _ => {
                assert_eq!(*reply, Reply::Deleted);
                self.jobs.retain(|job| job.key != *key);
            }
        }
    }

    /// Checks the answer to a restart of a job that is not damaged, and does what it does.
    pub fn restarted(&mut self, key: &JobKey, now: i64, reply: &Reply) {
        let mut arrivals = self.arrivals;
        let expected = match self.find(key) {
            None => Reply::Refused(Refusal::JobNotFound(key.clone())),
            Some(job) => match job.stands {
                Stands::Over(Status::Failed | Status::Cancelled) => {
                    job.run_from = job.history.len();
                    (job.retries, job.crashes, job.losses) = (0, 0, 0);
                    job.is_cancel_asked = false;
                    job.expires = None;
                    job.queue_at(now, now, &mut arrivals);
                    Reply::Restarted
                }
                Stands::Due | Stands::Ready => not_restartable(key, Status::Scheduled),
                Stands::Running => not_restartable(key, Status::Running),
                Stands::Over(status) => not_restartable(key, status),
            },
        };
        self.arrivals = arrivals;
        assert_eq!(*reply, expected);
    }

    /// Checks the answer to an expedite and does what it does.
    pub fn expedited(&mut self, key: &JobKey, now: i64, reply: &Reply) {
        let mut arrivals = self.arrivals;
        let not = |status| Reply::Refused(Refusal::NotExpeditable(key.clone(), status));
        let expected = match self.find(key) {
            None => Reply::Refused(Refusal::JobNotFound(key.clone())),
            Some(job) if job.is_damaged => return,
            Some(job) => match job.stands {
                // Its time has come, and no tick since: it keeps its place.
                Stands::Due if job.place.0 <= now => {
                    job.stands = Stands::Ready;
                    Reply::Expedited
                }
                Stands::Due => {
                    job.queue_at(now, now, &mut arrivals);
                    Reply::Expedited
                }
                Stands::Ready => Reply::Refused(Refusal::AlreadyReady(key.clone())),
                Stands::Running => not(Status::Running),
                Stands::Over(status) => not(status),
            },
        };
        self.arrivals = arrivals;
        assert_eq!(*reply, expected);
    }
}
