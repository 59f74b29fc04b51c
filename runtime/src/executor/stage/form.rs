//! What two stages must share to behave alike: see [`crate::executor::form`].

use std::hash::{Hash, Hasher};

use silo_core::types::time::Now;

use crate::executor::form::Form;
use crate::executor::stage::Stage;

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
