//! The shards of one process. Without coordination a node owns the fixed set of shards that stands
//! in its data's catalog: a restart finds the same shards and every job.

use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use silo_core::types::tenant::Tenant;
use silo_core::types::time::Millis;
use silo_core::types::weight::Weights;
use tokio::sync::{Mutex, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};
use uuid::Uuid;

use crate::executor::shard::{Shard, ShardContext, ShardState};
use crate::executor::waiters::Waiters;
use crate::metrics::Metrics;
use crate::storage::catalog::ShardCatalog;
use crate::storage::error::StorageError;

/// Wait before the catalog is read again, after a reset that may have failed.
const SETTLE_WAIT: Duration = Duration::from_secs(1);

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
    /// What tenants get beside others, unless it was set at run time.
    pub weights: Weights,
    /// Whether `ResetShards` is allowed.
    pub dev_mode: bool,
}

/// The shards of one process.
#[derive(Debug)]
pub struct Node {
    options: NodeOptions,
    context: ShardContext,
    shards: RwLock<Arc<[Arc<Shard>]>>,
    /// Held while shards are replaced. None once the node closes.
    catalog: Mutex<Option<ShardCatalog>>,
    /// Held during a reset, until the new shards answer.
    resetting: Mutex<()>,
    closing: CancellationToken,
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
        let now_ms = context.clock.now().wall.as_millis();
        let catalog = ShardCatalog::open(&context.storage, options.shards, now_ms)
            .await
            .map_err(NodeError::Catalog)?;
        let node = Self {
            options,
            context,
            shards: RwLock::new(Arc::new([])),
            catalog: Mutex::new(None),
            resetting: Mutex::new(()),
            closing: CancellationToken::new(),
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

    /// Who waits for work of the node's shards.
    pub const fn waiters(&self) -> &Waiters {
        &self.context.waiters
    }

    /// What the node counts.
    pub const fn metrics(&self) -> &Metrics {
        &self.context.metrics
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
    /// Run it to its end: a node whose reset was dropped half way may be left without shards.
    ///
    /// # Errors
    /// [`NodeError`] when the catalog cannot be written or a shard does not open.
    pub async fn reset(&self) -> Result<u32, NodeError> {
        let _alone = self.resetting.lock().await;
        self.replace_shards().await?;
        // Without storage this takes for ever, so it holds nothing that closing the node waits for.
        self.opened().await?;
        if self.closing.is_cancelled() {
            return Err(NodeError::Closing);
        }
        Ok(u32::try_from(self.shards().len()).unwrap_or(u32::MAX))
    }

    async fn replace_shards(&self) -> Result<(), NodeError> {
        let mut guard = self.catalog.lock().await;
        let catalog = guard.clone().ok_or(NodeError::Closing)?;
        self.close_shards().await;
        let renewing = self.closing.run_until_cancelled(self.renew(catalog));
        let (catalog, renewed) = renewing.await.ok_or(NodeError::Closing)?;
        self.start_shards(&catalog);
        *guard = Some(catalog);
        renewed
    }

    /// Resets the catalog. Whatever comes of it, the node goes on with the shards that a restart
    /// would find.
    async fn renew(&self, catalog: ShardCatalog) -> (ShardCatalog, Result<(), NodeError>) {
        let storage = &self.context.storage;
        let now_ms = self.context.clock.now().wall.as_millis();
        let cause = match catalog.clone().reset(storage, now_ms).await {
            Ok(renewed) => return (renewed, Ok(())),
            Err(cause) => cause,
        };
        warn!(%cause, "the reset may have failed: looking at what the catalog says");
        loop {
            match catalog.clone().settle(storage).await {
                Ok(settled) if settled.shards() == catalog.shards() => {
                    return (settled, Err(NodeError::Catalog(cause)));
                }
                Ok(renewed) => return (renewed, Ok(())),
                Err(cause) => {
                    error!(%cause, "the catalog does not say which shards there are");
                    if let StorageError::Invalid { .. } | StorageError::NewerFormat { .. } = cause
                        && let Some(shard) = catalog.shards().first()
                    {
                        lose(&self.lost, shard.shard_id, cause);
                    }
                }
            }
            sleep(SETTLE_WAIT).await;
        }
    }

    /// Closes every shard: what was asked is finished and durable. When storage does not answer, it
    /// is left at that after as long as a write, a flush and a closing may take together.
    pub async fn close(&self) {
        self.closing.cancel();
        let limits = self.context.storage.time_limits();
        let limit = limits.write().saturating_add(limits.flush());
        let limit = limit.saturating_add(limits.close());
        let close = async {
            self.catalog.lock().await.take();
            self.close_shards().await;
        };
        if timeout(limit, close).await.is_err() {
            let limit_ms = limit.as_millis();
            error!(
                limit_ms,
                "the shards did not close in time: what was not answered may be lost"
            );
        }
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
                lose(&lost, id, cause);
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

fn lose(lost: &watch::Sender<Option<Lost>>, shard: Uuid, cause: StorageError) {
    lost.send_if_modified(|first| {
        let is_first = first.is_none();
        first.get_or_insert(Lost { shard, cause });
        is_first
    });
}

fn loss(state: &ShardState) -> Option<StorageError> {
    match state {
        ShardState::Fenced(cause) | ShardState::Broken(cause) => Some(cause.clone()),
        ShardState::Opening | ShardState::Open | ShardState::Closed => None,
    }
}
