//! Which node serves which tenants, as far as this client knows.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use silo_core::types::tenant::hash_of;
use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::time::Instant;

use crate::client::address::Address;
use crate::proto::GetClusterInfoResponse;

/// The position of a tenant among the shards' ranges: XXH64, seed 0, as 16 lower-case hex digits.
pub fn tenant_hash(tenant: &str) -> String {
    format!("{:016x}", hash_of(tenant))
}

/// A shard and where it is served.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) shard: String,
    /// `None` while nobody serves it, or at an address that nobody can connect to.
    pub(crate) address: Option<Address>,
    start: String,
    end: String,
}

/// The layout at one time.
#[derive(Clone, Debug)]
pub(crate) struct RouteMap {
    /// Grows with every layout learnt.
    pub(crate) generation: u64,
    /// When the layout was asked for.
    pub(crate) taken: Instant,
    routes: Vec<Route>,
    /// Every node that serves a shard.
    pub(crate) nodes: Vec<Address>,
}

impl RouteMap {
    /// Reads a layout. What the asked node serves is reached as it was asked, should the address
    /// that it advertises be none.
    fn read(info: GetClusterInfoResponse, asked: &Address, taken: Instant) -> Self {
        let routes: Vec<Route> = info
            .shard_owners
            .into_iter()
            .map(|owner| {
                let known = match Address::parse(&owner.grpc_addr) {
                    Ok(address) => Some(address),
                    Err(_) if owner.node_id.is_empty() => None,
                    Err(_) if owner.node_id == info.this_node_id => Some(asked.clone()),
                    Err(error) => {
                        tracing::warn!(shard = owner.shard_id, %error, "a shard cannot be reached");
                        None
                    }
                };
                Route {
                    shard: owner.shard_id,
                    address: known,
                    start: owner.range_start,
                    end: owner.range_end,
                }
            })
            .collect();
        let mut map = Self {
            generation: 0,
            taken,
            routes,
            nodes: Vec::new(),
        };
        map.collect_nodes();
        map
    }

    /// The shard whose range holds this hash.
    pub(crate) fn of_hash(&self, hash: &str) -> Option<&Route> {
        self.routes.iter().find(|route| {
            route.start.as_str() <= hash && (route.end.is_empty() || hash < route.end.as_str())
        })
    }

    /// The shard of this id.
    pub(crate) fn of_shard(&self, shard: &str) -> Option<&Route> {
        self.routes.iter().find(|route| route.shard == shard)
    }

    fn collect_nodes(&mut self) {
        let nodes: BTreeSet<Address> = self
            .routes
            .iter()
            .filter_map(|route| route.address.clone())
            .collect();
        self.nodes = nodes.into_iter().collect();
    }
}

/// The layout as it is known now, shared by all calls of a client.
#[derive(Debug)]
pub(crate) struct Routes {
    map: watch::Sender<Arc<RouteMap>>,
    learning: Mutex<()>,
    turn: AtomicUsize,
}

impl Routes {
    pub(crate) fn new() -> Self {
        let nothing = RouteMap {
            generation: 0,
            taken: Instant::now(),
            routes: Vec::new(),
            nodes: Vec::new(),
        };
        Self {
            map: watch::Sender::new(Arc::new(nothing)),
            learning: Mutex::new(()),
            turn: AtomicUsize::new(0),
        }
    }

    pub(crate) fn now(&self) -> Arc<RouteMap> {
        self.map.borrow().clone()
    }

    /// Held by the one call that asks for the layout; others wait for what it learns.
    pub(crate) async fn learning(&self) -> MutexGuard<'_, ()> {
        self.learning.lock().await
    }

    /// Takes over a layout that `asked` told.
    pub(crate) fn learn(&self, info: GetClusterInfoResponse, asked: &Address, taken: Instant) {
        let mut map = RouteMap::read(info, asked, taken);
        self.map.send_modify(|known| {
            map.generation = known.generation.saturating_add(1);
            *known = Arc::new(map);
        });
    }

    /// A node said who serves the shard instead of it.
    pub(crate) fn moved(&self, shard: &str, to: &Address) {
        self.map.send_modify(|known| {
            let mut map = RouteMap::clone(known);
            for route in map.routes.iter_mut().filter(|route| route.shard == shard) {
                route.address = Some(to.clone());
            }
            map.collect_nodes();
            *known = Arc::new(map);
        });
    }

    /// The next node, in turn.
    pub(crate) fn next_node(&self) -> Option<Address> {
        let map = self.now();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let place = turn.checked_rem(map.nodes.len())?;
        map.nodes.get(place).cloned()
    }
}
