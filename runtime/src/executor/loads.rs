//! Rows being loaded, and who waits for them. Two commands that need the same rows share one load.

use std::collections::BTreeMap;

use silo_core::shard::view::NeedItem;

use crate::executor::working_set::Round;

/// Names a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LoadId(pub u64);

/// Names a command that waits for loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WaiterId(pub(crate) u64);

/// The loads under way.
#[derive(Default)]
pub(crate) struct Loads {
    next: u64,
    by_id: BTreeMap<LoadId, Load>,
    by_item: BTreeMap<NeedItem, LoadId>,
}

struct Load {
    item: NeedItem,
    waiters: Vec<WaiterId>,
    sees: Round,
}

/// A load that has ended.
pub(crate) struct Ended {
    pub(crate) item: NeedItem,
    pub(crate) waiters: Vec<WaiterId>,
}

impl Loads {
    /// Waits for `item`; a new load is named when none is under way. It will see what was written
    /// up to the round `sees`.
    pub(crate) fn wait(
        &mut self,
        item: &NeedItem,
        waiter: WaiterId,
        sees: Round,
    ) -> Option<LoadId> {
        if let Some(load) = self.by_item.get(item).and_then(|id| self.by_id.get_mut(id)) {
            load.waiters.push(waiter);
            return None;
        }
        let id = LoadId(self.next);
        self.next = self.next.saturating_add(1);
        self.by_item.insert(item.clone(), id);
        self.by_id.insert(
            id,
            Load {
                item: item.clone(),
                waiters: vec![waiter],
                sees,
            },
        );
        Some(id)
    }

    /// The load has ended, well or not.
    pub(crate) fn end(&mut self, id: LoadId) -> Option<Ended> {
        let Load { item, waiters, .. } = self.by_id.remove(&id)?;
        self.by_item.remove(&item);
        Some(Ended { item, waiters })
    }

    /// The earliest round that some load under way may not see the successors of.
    pub(crate) fn oldest_sight(&self) -> Option<Round> {
        self.by_id.values().map(|load| load.sees).min()
    }
}
