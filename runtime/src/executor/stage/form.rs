//! What tests, models and the simulator see of a stage and do to it; nothing may depend on it. What
//! two stages must share to behave alike: see [`crate::executor::form`].

use std::hash::{Hash, Hasher};

use silo_core::shard::soft::Soft;
use silo_core::types::time::Now;

use crate::executor::form::Form;
use crate::executor::stage::Stage;
use crate::executor::trace::Decided;
use crate::executor::working_set::{Forgettable, WorkingSet};

impl<C: Hash> Stage<C> {
    /// Writes what two stages that have been polled empty must share to behave alike from `now` on.
    /// For models.
    pub fn form(&self, now: Now, out: &mut dyn Hasher) {
        // A field that is new must be looked at here.
        let Self {
            limits,
            soft,
            set,
            queue,
            commands: _,
            command_bytes: _,
            is_ticking,
            no_tick_before,
            is_blind,
            is_closing,
            loads,
            changes,
            rounds,
            flushing,
            replies,
            proof,
            now: ran_at,
            outputs,
            counts: _,
            trace: _,
        } = self;
        let durable = replies.durable();
        let mut form = Form {
            out,
            now,
            settled: loads
                .oldest_sight()
                .map_or(durable, |sight| durable.min(sight)),
            window: limits.proof_window,
            sinces: loads.sinces(),
            changes: *changes,
        };
        soft.form(now, form.out);
        set.form(&mut form);
        queue.iter().for_each(|pending| pending.form(&mut form));
        form.end();
        form.part(&(is_ticking, is_blind, is_closing, outputs.len()));
        form.part(&no_tick_before.since(now.uptime).get());
        loads.form(&mut form);
        rounds.form(&mut form);
        flushing.form(&mut form);
        replies.form(&mut form);
        proof.form(&mut form);
        form.age(ran_at.uptime);
        form.part(&now.wall.since(ran_at.wall).get());
    }
}

impl<C> Stage<C> {
    /// Forgets all hints.
    pub fn lose_soft(&mut self) {
        self.soft = Soft::lost();
    }

    /// Keeps every decision from now on, until it is taken.
    pub fn start_trace(&mut self) {
        self.trace.start();
    }

    /// What was decided since the last call.
    pub fn take_trace(&mut self) -> Vec<Decided> {
        self.trace.take()
    }

    /// The cache, and what of it may be forgotten.
    pub fn cache(&mut self) -> (&mut WorkingSet, Forgettable) {
        let forgettable = self.forgettable();
        (&mut self.set, forgettable)
    }
}
