//! A server in this process: a node on memory, its service on a socket of its own.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::throttle::{ThrottleConfig, ThrottledStore};
use silo_core::types::time::Millis;
use silo_core::types::weight::Weights;
use silo_runtime::clock::SlewedClock;
use silo_runtime::executor::limits::StageLimits;
use silo_runtime::executor::shard::ShardContext;
use silo_runtime::executor::waiters::Waiters;
use silo_runtime::metrics::Metrics;
use silo_runtime::node::{Node, NodeOptions};
use silo_runtime::proto::silo_client::SiloClient;
use silo_runtime::service::listener::Listener;
use silo_runtime::service::tls::Tls;
use silo_runtime::service::{ServeError, ServiceOptions, serve};
use silo_runtime::storage::backend::{Storage, StoreAbilities};
use silo_runtime::storage::clock::{SystemWallClock, WallClock};
use silo_runtime::storage::config::{BackendConfig, StorageConfig, TimeLimits};
use silo_test_faults::store::FaultyStore;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

/// Why a test could not be set up, or did not end cleanly.
pub type Trouble = Box<dyn Error + Send + Sync>;

/// A client as generated from the contract, with its limits lifted to the server's.
pub type Client = SiloClient<Channel>;

/// What a server is told.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How many shards.
    pub shards: u32,
    /// Whether callers name a tenant.
    pub tenancy: bool,
    /// Whether `ResetShards` is allowed.
    pub dev_mode: bool,
    /// How long leases last, in milliseconds.
    pub lease_ms: u64,
    /// What tenants get beside others.
    pub weights: Weights,
    /// How long storage takes for each object it writes.
    pub put_delay: Duration,
    /// The service.
    pub service: ServiceOptions,
    /// TLS, when it is spoken.
    pub tls: Option<Arc<Tls>>,
    /// The bounds of storage. Its backend is not looked at.
    pub storage: StorageConfig,
    /// Where the objects are: shared with every server that is set up with a clone of this.
    pub bucket: Arc<dyn ObjectStore>,
    /// The clock of the machine.
    pub wall: Arc<dyn WallClock>,
}

/// Limits a hundredth as long as those that a server has by itself, so that a second without
/// storage is to them what minutes are to those.
#[must_use]
pub fn impatient() -> StorageConfig {
    let mut config = StorageConfig::new(BackendConfig::Memory);
    config.shard.object_store_retries_max = 1;
    config.shard.manifest_poll_ms = 30;
    config.shard.compaction_poll_ms = 50;
    config.time_limits = TimeLimits {
        open_ms: 1_200,
        read_ms: 300,
        write_ms: 600,
        flush_ms: 600,
        request_ms: 100,
        close_ms: 300,
        delete_ms: 1_200,
    };
    config
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            shards: 1,
            tenancy: false,
            dev_mode: false,
            lease_ms: 10_000,
            weights: Weights::default(),
            put_delay: Duration::ZERO,
            service: ServiceOptions::default(),
            tls: None,
            storage: StorageConfig::new(BackendConfig::Memory),
            bucket: Arc::new(InMemory::new()),
            wall: Arc::new(SystemWallClock::default()),
        }
    }
}

/// A server.
#[derive(Debug)]
pub struct Server {
    /// Its node.
    pub node: Arc<Node>,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its storage, which can be made slow.
    pub store: Arc<ThrottledStore<Arc<dyn ObjectStore>>>,
    /// The same, which fails as it is told to.
    pub faulty: Arc<FaultyStore>,
    /// Cancelled to shut it down.
    pub shutdown: CancellationToken,
    serving: JoinHandle<Result<(), ServeError>>,
}

impl Server {
    /// Starts a server and waits until every shard answers.
    ///
    /// # Errors
    /// Whatever kept it from starting.
    pub async fn start(setup: Setup) -> Result<Self, Trouble> {
        let server = Self::begin(setup).await?;
        server.node.opened().await?;
        Ok(server)
    }

    /// Starts a server, whose shards may still be opening.
    ///
    /// # Errors
    /// Whatever kept it from starting.
    pub async fn begin(setup: Setup) -> Result<Self, Trouble> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let options = NodeOptions {
            node_id: "node-1".to_owned(),
            advertised_addr: address.to_string(),
            tenancy: setup.tenancy,
            shards: NonZeroU32::new(setup.shards).ok_or("a node needs a shard")?,
            lease_default: Millis::new(setup.lease_ms),
            weights: setup.weights,
            dev_mode: setup.dev_mode,
        };
        let delays = ThrottleConfig {
            wait_put_per_call: setup.put_delay,
            ..ThrottleConfig::default()
        };
        let store = Arc::new(ThrottledStore::new(setup.bucket, delays));
        let faulty = FaultyStore::new(store.clone());
        let storage = storage(&faulty, &setup.storage)?;
        let context = ShardContext {
            storage,
            clock: Arc::new(SlewedClock::new(Shared(Arc::clone(&setup.wall)))),
            wall: setup.wall,
            limits: StageLimits {
                proof_window: Millis::new(setup.lease_ms / 3),
                ..StageLimits::default()
            },
            waiters: Waiters::default(),
            metrics: Metrics::default(),
        };
        let node = Arc::new(Node::start(options, context).await?);
        let shutdown = CancellationToken::new();
        let listener = match setup.tls {
            None => Listener::Plain(listener),
            Some(tls) => Listener::Tls(listener, tls),
        };
        let serving = serve(Arc::clone(&node), listener, setup.service, shutdown.clone());
        let serving = tokio::spawn(serving);
        Ok(Self {
            node,
            address,
            store,
            faulty,
            shutdown,
            serving,
        })
    }

    /// A connection of its own.
    ///
    /// # Errors
    /// When nobody listens any more.
    pub async fn channel(&self) -> Result<Channel, Trouble> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address))?;
        Ok(endpoint.connect().await?)
    }

    /// A client on a connection of its own.
    ///
    /// # Errors
    /// When nobody listens any more.
    pub async fn client(&self) -> Result<Client, Trouble> {
        Ok(SiloClient::new(self.channel().await?)
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(usize::MAX))
    }

    /// Makes storage take so long for each object it writes.
    pub fn set_put_delay(&self, delay: Duration) {
        self.store
            .config_mut(|config| config.wait_put_per_call = delay);
    }

    /// The ids of its shards, in the order of their ranges.
    #[must_use]
    pub fn shard_ids(&self) -> Vec<String> {
        let shards = self.node.shards();
        shards
            .iter()
            .map(|shard| shard.entry().shard_id.to_string())
            .collect()
    }

    /// Shuts the service down and closes the node.
    ///
    /// # Errors
    /// When the service ended badly.
    pub async fn stop(self) -> Result<(), Trouble> {
        self.set_put_delay(Duration::ZERO);
        self.shutdown.cancel();
        self.serving.await??;
        self.node.close().await;
        Ok(())
    }
}

/// The clock of a machine, for whoever wants one of its own.
#[derive(Debug)]
struct Shared(Arc<dyn WallClock>);

impl WallClock for Shared {
    fn now_ms(&self) -> i64 {
        self.0.now_ms()
    }
}

fn storage(store: &Arc<FaultyStore>, config: &StorageConfig) -> Result<Storage, Trouble> {
    let abilities = StoreAbilities {
        conditional_replace: true,
    };
    let store = Arc::clone(store);
    Ok(Storage::with_object_store(store, abilities, config)?)
}
