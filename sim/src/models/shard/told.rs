//! Callers are told: what they may be told, and what follows from it.

use silo_core::shard::reply::Reply;
use silo_runtime::executor::replies::{Answer, Failure};

use crate::models::shard::danger::Danger;
use crate::models::shard::facts::LEASE_STEPS;
use crate::models::shard::owner::PROOF_STEPS;
use crate::models::shard::world::World;
use crate::models::shard::{Call, Promise};

impl World {
    /// A caller gets its answer, or nobody knows of one any more.
    pub(crate) fn answered(&mut self, slot: usize, call: Call, answer: Answer) {
        let now = self.now;
        let Some(owner) = self.owner_mut(slot) else {
            return;
        };
        let Some(waiting) = owner.calls.remove(&call) else {
            return self.must(false, Promise::Told, || format!("{call:?} is told twice"));
        };
        let reply = match answer {
            Answer::Reply(reply) => reply,
            Answer::Failed(failure) => {
                match failure {
                    Failure::Unproven => self.seen.hit(Danger::Unproven),
                    Failure::Unreadable => {
                        self.facts.refused(call.ask);
                        self.seen.hit(Danger::Unreadable);
                    }
                    other => self.must(false, Promise::Told, || format!("{call:?}: {other}")),
                }
                return;
            }
        };
        let Some(judged) = waiting.judged.clone().filter(|j| j.reply == reply) else {
            return self.must(false, Promise::Told, || format!("{call:?}: {reply:?}"));
        };
        let is_durable = judged.decided <= owner.landed_decided;
        let stands = if judged.has_changes {
            is_durable
        } else {
            owner.stands(&waiting, &judged)
        };
        let deposed_for = owner.deposed_at.map(|at| now - at);
        let is_fresh = judged.has_changes || deposed_for.is_none_or(|age| age <= PROOF_STEPS);
        if deposed_for.is_some() {
            self.seen.hit(if judged.has_changes {
                Danger::LateAcknowledgement
            } else {
                Danger::StaleRead
            });
        } else if !judged.has_changes && !is_durable {
            self.seen.hit(Danger::ReadBesideWrites);
        }
        self.must(stands, Promise::Durable, || {
            format!("{call:?} was told {reply:?}, which is not durable")
        });
        self.must(is_fresh, Promise::Fresh, || {
            format!("{call:?} was told {reply:?} by who was deposed {deposed_for:?} steps before")
        });
        self.told(slot, call, &reply);
        self.check_facts();
    }

    /// What a reply makes true.
    fn told(&mut self, slot: usize, call: Call, reply: &Reply) {
        let now = self.now;
        match reply {
            Reply::Enqueued(_) => self.facts.is_enqueued = true,
            Reply::Deleted => self.facts.is_deleted = true,
            Reply::Reported => {
                let told = self.facts.tasks.get(usize::from(call.task));
                let nonce = told.map(|at_work| at_work.task.nonce);
                self.facts.succeeded.extend(nonce);
                self.facts.succeeded.sort_unstable();
                self.facts.succeeded.dedup();
            }
            Reply::Extended { .. } => {
                let is_deposed = self.owner(slot).is_some_and(|o| o.deposed_at.is_some());
                if is_deposed {
                    self.seen.hit(Danger::DeposedHeartbeat);
                }
                if let Some(kept) = self.facts.tasks.get_mut(usize::from(call.task)) {
                    kept.until = kept.until.max(call.sent_at + LEASE_STEPS);
                    kept.by_deposed |= is_deposed;
                }
            }
            Reply::Leased(tasks) => {
                for task in tasks {
                    let until = call.sent_at + LEASE_STEPS;
                    self.facts.begins(&task.id, until);
                }
            }
            _ => {}
        }
        if let Some((overlap, is_deposed)) = self.facts.overlap(now) {
            self.seen.hit(Danger::TwoAtWork);
            let allowed = if is_deposed { PROOF_STEPS } else { 0 };
            self.must(overlap <= allowed, Promise::AtWork, || {
                format!("two workers at one job for {overlap} steps")
            });
        }
    }

    /// Looks whether all is as callers were told.
    pub(crate) fn check_facts(&mut self) {
        if let Some(why) = self.facts.check(&self.bucket.shelf.rows) {
            self.must(false, Promise::Durable, || why);
        }
    }

    /// Storage failed, or belongs to somebody else: all callers are told, and the process ends.
    pub fn poison(&mut self, slot: usize) {
        let Some(owner) = self.owner(slot) else {
            return;
        };
        let written = owner.written;
        // Those among them that were released and not sent are as good as any.
        for (call, answer) in owner.fail() {
            let is_of_now = matches!(
                answer,
                Answer::Failed(Failure::Unavailable | Failure::OutcomeUnknown)
            );
            if !is_of_now {
                self.answered(slot, call, answer);
                continue;
            }
            let owner = self.owner_mut(slot);
            let Some(waiting) = owner.and_then(|owner| owner.calls.remove(&call)) else {
                self.must(false, Promise::Told, || format!("{call:?} is told twice"));
                continue;
            };
            let is_repeatable = waiting.command.is_repeatable();
            let is_changed = waiting.judged.as_ref().is_some_and(|j| j.has_changes);
            if answer == Answer::Failed(Failure::OutcomeUnknown) {
                self.seen.hit(Danger::OutcomeUnknown);
                let is_right = is_changed && !is_repeatable && written.0 > 0;
                self.must(is_right, Promise::Told, || format!("{call:?}: {answer:?}"));
            } else {
                let is_right = answer == Answer::Failed(Failure::Unavailable);
                self.must(is_right, Promise::Told, || format!("{call:?}: {answer:?}"));
                self.facts.refused(call.ask);
            }
        }
        let untold = self.take(slot).map_or(0, |owner| owner.calls.len());
        self.must(untold == 0, Promise::Told, || {
            "not everybody is told that storage failed".to_owned()
        });
        self.check_facts();
    }
}
