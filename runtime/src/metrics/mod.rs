//! What a node counts, for whoever scrapes it. One [`Metrics`] goes with a node; it is told what
//! happened, and written out by a [`Registry`] that the program keeps.
//!
//! Everything is cheap where it is counted: an atomic for each call, and for each round of a shard.
//! Labels take their values from closed sets, the shards of the node included: nothing that a
//! caller says becomes a label. `docs/reference/metrics.md` tells what each means.
//!
//! * [`calls`]: gRPC calls
//! * [`rounds`]: what shards decide, write, flush and load
//! * [`keeper`]: how shards are opened, and how they end
//! * [`stores`]: requests to object stores
//! * [`slatedb`]: SlateDB's own metrics
//! * [`now`]: what stands where at the moment, looked at when somebody asks

pub mod calls;
pub mod keeper;
pub mod now;
pub mod rounds;
pub mod slatedb;
pub mod stores;

use std::sync::Arc;

use prometheus_client::registry::Registry;

use crate::metrics::calls::CallMetrics;
use crate::metrics::keeper::KeeperMetrics;
use crate::metrics::rounds::RoundMetrics;
use crate::metrics::slatedb::SlateDbMetrics;
use crate::metrics::stores::StoreMetrics;

/// What a node counts. Clones are the same numbers.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<All>);

#[derive(Debug, Default)]
struct All {
    calls: CallMetrics,
    rounds: RoundMetrics,
    keeper: KeeperMetrics,
    stores: StoreMetrics,
    slatedb: SlateDbMetrics,
}

impl Metrics {
    /// Has everything written out by this registry.
    pub fn register(&self, registry: &mut Registry) {
        let silo = registry.sub_registry_with_prefix("silo");
        self.0.calls.register(silo);
        self.0.rounds.register(silo);
        self.0.keeper.register(silo);
        self.0.stores.register(silo);
        registry.register_collector(Box::new(self.0.slatedb.clone()));
    }

    /// Of gRPC calls.
    #[must_use]
    pub fn calls(&self) -> &CallMetrics {
        &self.0.calls
    }

    /// Of what shards do.
    #[must_use]
    pub fn rounds(&self) -> &RoundMetrics {
        &self.0.rounds
    }

    /// Of how shards are opened and end.
    #[must_use]
    pub fn keeper(&self) -> &KeeperMetrics {
        &self.0.keeper
    }

    /// Of requests to object stores.
    #[must_use]
    pub fn stores(&self) -> &StoreMetrics {
        &self.0.stores
    }

    /// Of SlateDB.
    #[must_use]
    pub fn slatedb(&self) -> &SlateDbMetrics {
        &self.0.slatedb
    }
}

/// From a tenth of a millisecond to a minute and a half, in seconds.
pub(crate) const SECONDS: [f64; 16] = [
    0.0001, 0.0003, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0, 10.0, 30.0,
    90.0,
];
