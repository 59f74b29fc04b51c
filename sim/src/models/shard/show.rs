//! A state for people.

use crate::models::shard::world::{SLOTS, World};

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("World");
        shown
            .field("now", &self.now)
            .field("facts", &self.facts)
            .field("left", &self.left)
            .field("asks", &self.asks)
            .field("broken", &self.broken)
            .field("epoch", &self.bucket.epoch)
            .field("adrift", &self.adrift.len());
        for slot in 0..SLOTS {
            if let Some(owner) = self.owner(slot) {
                let calls: Vec<_> = owner.calls.keys().collect();
                let rounds = (owner.decided, owner.landed_decided, owner.written);
                shown
                    .field("epoch", &owner.epoch)
                    .field("calls", &calls)
                    .field("rounds", &rounds)
                    .field("loads", &owner.loads.len())
                    .field("flush", &owner.flush)
                    .field("question", &owner.question);
            }
        }
        shown.finish_non_exhaustive()
    }
}
