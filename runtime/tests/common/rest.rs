//! A quiet world: everything in flight gets on, until all is at rest.

use silo_core::types::time::Millis;

use crate::common::oracle::{Checked, Promise, check, violated};
use crate::common::store::differences;
use crate::common::world::World;

impl World {
    /// Everything in flight gets on by a step, in order, as it does in a quiet world.
    pub fn beat(&mut self) -> Checked {
        self.apply();
        self.accept()?;
        for index in 0..self.loads.len() {
            self.perform_load(index);
        }
        while !self.loads.is_empty() {
            self.perform_load(0);
            self.tell_loaded(0)?;
        }
        if self.flush.is_some() {
            self.put();
        }
        self.tell_durable()?;
        self.tell_flushed()?;
        self.perform_proof();
        self.tell_proven()?;
        self.run()
    }

    fn is_quiet(&self) -> bool {
        let nothing_in_flight = self.write.is_none()
            && self.loads.is_empty()
            && self.flush.is_none()
            && self.proof.is_none();
        nothing_in_flight && self.durable_told == self.store.durable_seq
    }

    fn is_due(&self) -> bool {
        self.stage.next_deadline(self.time()) == Some(Millis::ZERO)
    }

    /// Lets everything come to rest, moved on by nothing but what the stage asks for. Then
    /// everybody is answered and storage has what a complete map would have.
    pub fn settle(&mut self) -> Checked {
        self.run()?;
        for _ in 0..2_000 {
            if self.is_quiet() && !self.is_due() {
                if self.asked.is_empty() && self.stage.is_idle() {
                    return self.check_rest();
                }
                // Nothing is in flight: only time can move it.
                let Some(wait) = self.stage.next_deadline(self.time()) else {
                    return violated(Promise::Answered, format!("stuck: {}", self.waiting()));
                };
                self.now += i64::try_from(wait.get()).unwrap();
            }
            self.beat()?;
        }
        violated(Promise::Answered, format!("no rest: {}", self.waiting()))
    }

    fn waiting(&self) -> String {
        let asked: Vec<_> = self.asked.values().map(|asked| &asked.command).collect();
        format!(
            "idle {}, next in {:?} at {}, queued {:?}, waiting {asked:?}",
            self.stage.is_idle(),
            self.stage.next_deadline(self.time()),
            self.now,
            self.stage.queued()
        )
    }

    fn check_rest(&self) -> Checked {
        let stored = &self.store.durable;
        let rows = &self.oracle.rows.map;
        check(Promise::Equivalence, rows == stored, || {
            differences(rows, stored)
        })?;
        self.watching.check_rest(&self.oracle)?;
        check(Promise::Bounded, self.stage.queued() == (0, 0), || {
            format!("leaked: {:?}", self.stage.queued())
        })
    }
}
