//! The shards of one process. Without coordination a node owns the fixed set of shards that stands
//! in its data's catalog: a restart finds the same shards and every job.

use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock};

use silo_core::types::tenant::Tenant;
use silo_core::types::time::Millis;
use tokio::sync::{Mutex, watch};
use tracing::warn;
use uuid::Uuid;

use crate::executor::shard::{Shard, ShardContext, ShardState};
use crate::storage::catalog::ShardCatalog;
use crate::storage::error::StorageError;

/// What a node is told at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeOptions {
    /// How the node calls itself.
    pub node_id: String,
    /// `host:port` that clients reach it at; never a wildcard.
    pub advertised_addr: String,
    /// Whether callers name a tenant.
    pub tenancy: bool,
    /// Shards to create when the data has none yet.
    pub shards: NonZeroU32,
    /// How long leases last unless somebody says otherwise.
    pub lease_default: Millis,
    /// Whether `ResetShards` is allowed.
    pub dev_mode: bool,
}

/// The shards of one process.
#[derive(Debug)]
pub struct Node {
    options: NodeOptions,
    context: ShardContext,
    shards: RwLock<Arc<[Arc<Shard>]>>,
    /// Held while shards are replaced.
    catalog: Mutex<Option<ShardCatalog>>,
    /// The first shard that was lost for good.
    lost: watch::Sender<Option<Lost>>,
}

/// A shard that this process has lost for good. The process should stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("shard {shard}: {cause}")]
pub struct Lost {
    /// Which shard.
    pub shard: Uuid,
    /// Why.
    pub cause: StorageError,
}

/// Why a node did not start, or could not be reset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// The catalog of shards could not be read or written.
    #[error("the catalog of shards: {0}")]
    Catalog(#[source] StorageError),
    /// A shard could not be opened.
    #[error(transparent)]
    Shard(#[from] Lost),
    /// The node is shutting down.
    #[error("the node is closing")]
    Closing,
}

impl Node {
    /// Finds or makes the catalog and begins to open its shards. Use [`Node::opened`] to wait.
    ///
    /// # Errors
    /// [`NodeError::Catalog`] when the catalog cannot be read or written.
    pub async fn start(options: NodeOptions, context: ShardContext) -> Result<Self, NodeError> {
        let now_ms = context.clock.now().as_millis();
        let catalog = ShardCatalog::open(&context.storage, options.shards, now_ms)
            .await
            .map_err(NodeError::Catalog)?;
        let node = Self {
            options,
            context,
            shards: RwLock::new(Arc::new([])),
            catalog: Mutex::new(None),
            lost: watch::channel(None).0,
        };
        node.start_shards(&catalog);
        *node.catalog.lock().await = Some(catalog);
        Ok(node)
    }

    /// What the node was told at its start.
    pub const fn options(&self) -> &NodeOptions {
        &self.options
    }

    /// Every shard of the node, in the order of their ranges.
    pub fn shards(&self) -> Arc<[Arc<Shard>]> {
        Arc::clone(&self.shards.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The shard with this id, if it is here.
    pub fn shard(&self, id: Uuid) -> Option<Arc<Shard>> {
        self.shards()
            .iter()
            .find(|shard| shard.entry().shard_id == id)
            .cloned()
    }

    /// The shard that holds a tenant, if it is here.
    pub fn shard_of(&self, tenant: &Tenant) -> Option<Arc<Shard>> {
        let hash = tenant.hash();
        self.shards()
            .iter()
            .find(|shard| shard.entry().range.contains(hash))
            .cloned()
    }

    /// Waits until every shard answers.
    ///
    /// # Errors
    /// [`Lost`] when a shard cannot be opened and trying again would not help.
    pub async fn opened(&self) -> Result<(), Lost> {
        for shard in self.shards().iter() {
            let mut state = shard.state();
            let settled = state.wait_for(|state| *state != ShardState::Opening).await;
            if let Ok(state) = settled
                && let Some(cause) = loss(&state)
            {
                return Err(Lost {
                    shard: shard.entry().shard_id,
                    cause,
                });
            }
        }
        Ok(())
    }

    /// Waits until a shard is lost for good: taken over by another process, or unreadable.
    pub async fn lost(&self) -> Lost {
        let mut lost = self.lost.subscribe();
        loop {
            if let Some(lost) = lost.borrow_and_update().clone() {
                return lost;
            }
            if lost.changed().await.is_err() {
                // The sender lives as long as the node.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Throws all jobs away and begins anew with the same shards. Returns when they answer, with
    /// their number. For development and tests.
    ///
    /// # Errors
    /// [`NodeError`] when the catalog cannot be written or a shard does not open.
    pub async fn reset(&self) -> Result<u32, NodeError> {
        let mut guard = self.catalog.lock().await;
        let catalog = guard.take().ok_or(NodeError::Closing)?;
        self.close_shards().await;
        let now_ms = self.context.clock.now().as_millis();
        let renewed = catalog.clone().reset(&self.context.storage, now_ms).await;
        // Whatever came of it, the node goes on with the shards it has.
        let catalog = match &renewed {
            Ok(renewed) => renewed.clone(),
            Err(_) => catalog,
        };
        self.start_shards(&catalog);
        *guard = Some(catalog);
        renewed.map_err(NodeError::Catalog)?;
        self.opened().await?;
        Ok(u32::try_from(self.shards().len()).unwrap_or(u32::MAX))
    }

    /// Closes every shard: what was asked is finished and durable.
    pub async fn close(&self) {
        self.catalog.lock().await.take();
        self.close_shards().await;
    }

    fn start_shards(&self, catalog: &ShardCatalog) {
        let start = |entry: &_| {
            let shard = Arc::new(Shard::start(Clone::clone(entry), self.context.clone()));
            self.watch(&shard);
            shard
        };
        let shards: Arc<[Arc<Shard>]> = catalog.shards().iter().map(start).collect();
        *self.shards.write().unwrap_or_else(PoisonError::into_inner) = shards;
    }

    /// Notices when a shard is lost for good.
    fn watch(&self, shard: &Shard) {
        let (mut state, lost, id) = (shard.state(), self.lost.clone(), shard.entry().shard_id);
        tokio::spawn(async move {
            let settled = state.wait_for(|state| loss(state).is_some()).await;
            if let Ok(state) = settled
                && let Some(cause) = loss(&state)
            {
                lost.send_if_modified(|first| {
                    let is_first = first.is_none();
                    first.get_or_insert(Lost { shard: id, cause });
                    is_first
                });
            }
        });
    }

    async fn close_shards(&self) {
        let shards = std::mem::replace(
            &mut *self.shards.write().unwrap_or_else(PoisonError::into_inner),
            Arc::new([]),
        );
        let closing = shards.iter().map(|shard| shard.close());
        futures::future::join_all(closing).await;
        if shards.is_empty() {
            warn!("there was no shard to close");
        }
    }
}

fn loss(state: &ShardState) -> Option<StorageError> {
    match state {
        ShardState::Fenced(cause) | ShardState::Broken(cause) => Some(cause.clone()),
        ShardState::Opening | ShardState::Open | ShardState::Closed => None,
    }
}
