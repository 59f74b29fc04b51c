//! What tests and the simulator see and do inside a stage: nothing may depend on it.

use silo_core::shard::soft::Soft;

use crate::executor::stage::Stage;
use crate::executor::trace::Decided;
use crate::executor::working_set::{Forgettable, WorkingSet};

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
