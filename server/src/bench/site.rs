//! The server that is measured: started for this one benchmark, or found.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use silo_cloud::environment::Environment;
use silo_runtime::node::Node;
use silo_runtime::proto::silo_client::SiloClient;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tonic::transport::Endpoint;

use crate::bench::BenchError;
use crate::bench::args::{DelayArgs, PlaceArgs, Store, Target};
use crate::bench::loader::direct::Direct;
use crate::bench::loader::limits::Limits;
use crate::bench::loader::payload::Payloads;
use crate::bench::loader::wire::Wire;
use crate::bench::loader::{Loader, Orders};
use crate::bench::own::OwnServer;
use crate::bench::probe::{Probe, Snapshot, own_cpu};
use crate::bench::report::Cost;
use crate::bench::stop::Stop;
use crate::config::Config;
use crate::connect::Connect;
use crate::observe::registry::registry;
use crate::serve::{ServeError, open_on};

/// How long jobs stay that have ended, on a server that is not the benchmark's own.
const KEPT_MS: u64 = 60_000;

/// A server, and who puts load on it.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) loader: Arc<Loader>,
    probe: Probe,
    server: Server,
}

/// What some benchmarks want otherwise than others.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Special {
    /// Which limits jobs carry.
    pub(crate) limits: Limits,
    /// How much longer the store takes. Only in memory of this process.
    pub(crate) delays: Option<DelayArgs>,
}

/// What is there to be ended.
#[derive(Debug)]
enum Server {
    Elsewhere,
    Own {
        _server: Box<OwnServer>,
        _folder: TempDir,
    },
    Here {
        node: Arc<Node>,
        _folder: TempDir,
    },
}

impl Site {
    /// Starts or finds the server. Without `--tenants` there are so many.
    ///
    /// # Errors
    /// If it cannot be started or reached, or the word to stop comes first.
    pub(crate) async fn open(
        place: &PlaceArgs,
        payload_bytes: u32,
        tenants_default: u32,
        stop: &Stop,
    ) -> Result<Self, BenchError> {
        let special = Special::default();
        Self::open_with(place, payload_bytes, tenants_default, special, stop).await
    }

    /// The same, where something is special.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(crate) async fn open_with(
        place: &PlaceArgs,
        payload_bytes: u32,
        tenants_default: u32,
        special: Special,
        stop: &Stop,
    ) -> Result<Self, BenchError> {
        if special.delays.is_some() && !place.is_memory_here() {
            return Err(BenchError::NotSlow);
        }
        tokio::select! {
            site = Self::find(place, payload_bytes, tenants_default, special) => site,
            () = stop.over() => Err(BenchError::NotBegun),
        }
    }

    async fn find(
        place: &PlaceArgs,
        payload_bytes: u32,
        tenants_default: u32,
        special: Special,
    ) -> Result<Self, BenchError> {
        let tenants = place.tenant_names(tenants_default);
        let orders = Orders {
            group: group(),
            payloads: Payloads::new(payload_bytes),
            limits: special.limits,
            kept_ms: place.is_elsewhere().then_some(KEPT_MS),
            tenants,
        };
        if place.is_elsewhere() {
            let wire = wire(&place.connect, place.connections, None).await?;
            let probe = place.metrics.clone().map(Probe::of_port).transpose()?;
            return Ok(Self {
                loader: Arc::new(Loader::over_wire(wire, orders)),
                probe: probe.unwrap_or(Probe::None),
                server: Server::Elsewhere,
            });
        }
        let folder = match &place.data {
            Some(data) => TempDir::with_prefix_in("silo-bench-", data),
            None => TempDir::with_prefix("silo-bench-"),
        };
        let folder = folder.map_err(BenchError::Folder)?;
        let config = write_config(folder.path(), place, !orders.tenants.is_empty())
            .map_err(BenchError::Folder)?;
        match place.target {
            Target::OwnServer => Self::own(place, &config, folder, orders).await,
            Target::InProcess => Self::here(&config, folder, orders, special).await,
        }
    }

    async fn own(
        place: &PlaceArgs,
        config: &Path,
        folder: TempDir,
        orders: Orders,
    ) -> Result<Self, BenchError> {
        let server = OwnServer::start(config).await?;
        let own = Connect {
            server: vec![server.addr.to_string()],
            tenant: None,
            token: None,
            tls_ca: None,
            tls_domain: None,
            tls_cert: None,
            tls_key: None,
            ..place.connect.clone()
        };
        let wire = wire(&own, place.connections, Some(server.addr)).await?;
        Ok(Self {
            loader: Arc::new(Loader::over_wire(wire, orders)),
            probe: Probe::of_port(format!("http://{}/metrics", server.metrics_addr))?,
            server: Server::Own {
                _server: Box::new(server),
                _folder: folder,
            },
        })
    }

    async fn here(
        config: &Path,
        folder: TempDir,
        orders: Orders,
        special: Special,
    ) -> Result<Self, BenchError> {
        // Our own file, without variables, on local files or in memory.
        let nothing = Environment::default();
        let config = Config::load(Some(config), &nothing)?;
        // Nobody calls: it is only what the node would tell clients.
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 7450));
        let mut storage = silo_cloud::open::open(&config.database, &nothing)
            .await
            .map_err(ServeError::Storage)?;
        if let Some(delays) = special.delays {
            let [reads, writes] = [delays.read_delay, delays.write_delay];
            storage = storage.slowed(Duration::from_millis(reads), Duration::from_millis(writes));
        }
        let node = open_on(storage, &config, addr).await?;
        node.opened().await.map_err(ServeError::Lost)?;
        Ok(Self {
            loader: Arc::new(Loader::direct(Direct::new(Arc::clone(&node)), orders)),
            probe: Probe::Here(registry(&node, Handle::current())),
            server: Server::Here {
                node,
                _folder: folder,
            },
        })
    }

    /// Whether jobs must not be left behind.
    pub(crate) const fn is_elsewhere(&self) -> bool {
        matches!(self.server, Server::Elsewhere)
    }

    /// Begins to count what things cost.
    ///
    /// # Errors
    /// If the server's metrics cannot be read.
    pub(crate) async fn meter(&self) -> Result<Meter, BenchError> {
        Ok(Meter {
            server: self.probe.look().await?,
            loader: own_cpu(),
            began: Instant::now(),
        })
    }

    /// What things have cost since.
    ///
    /// # Errors
    /// If the server's metrics cannot be read.
    pub(crate) async fn cost(&self, since: &Meter) -> Result<Cost, BenchError> {
        let seconds = since.began.elapsed().as_secs_f64();
        let own = own_cpu().zip(since.loader);
        let own = own.map(|(now, then)| now.saturating_sub(then));
        let server = self.probe.look().await?.zip(since.server.as_ref());
        let server = server.map(|(now, then)| now.since(then));
        let is_here = matches!(self.server, Server::Here { .. });
        Ok(Cost::new(seconds, is_here, server, own))
    }

    /// Ends the server, and removes its data.
    pub(crate) async fn close(self) {
        if let Server::Here { node, .. } = &self.server {
            node.close().await;
        }
    }
}

/// When counting began, and what had been spent by then.
#[derive(Debug)]
pub(crate) struct Meter {
    server: Option<Snapshot>,
    loader: Option<Duration>,
    pub(crate) began: Instant,
}

async fn wire(
    connect: &Connect,
    connections: u32,
    own: Option<SocketAddr>,
) -> Result<Wire, BenchError> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(connect.client().await?);
    }
    let operator = own.map(|addr| Endpoint::from_shared(format!("http://{addr}")));
    let operator = match operator {
        Some(Ok(endpoint)) => Some(SiloClient::new(endpoint.connect_lazy())),
        Some(Err(_)) | None => None,
    };
    Wire::new(clients, operator).map_err(BenchError::Load)
}

/// A queue that nobody else works on.
fn group() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = since.map_or(0, |since| since.as_nanos());
    format!("bench-{}-{nanos}", std::process::id())
}

fn write_config(folder: &Path, place: &PlaceArgs, tenancy: bool) -> std::io::Result<PathBuf> {
    let mut text = String::new();
    let backend = match place.store {
        Store::Memory => "{ kind = \"memory\" }".to_owned(),
        Store::Fs => {
            let data = folder.join("data");
            let data = toml::Value::String(data.to_string_lossy().replace('$', "$$"));
            let fsync = place.is_fsynced().unwrap_or(true);
            format!("{{ kind = \"fs\", path = {data}, fsync = {fsync} }}")
        }
    };
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "[server]\ngrpc_addr = \"127.0.0.1:0\"\n\
         [tenancy]\nenabled = {tenancy}\n\
         [shards]\ncount = {}\n\
         [log]\nformat = \"json\"\n\
         [database]\nbackend = {backend}\n",
        place.shard_count(),
    );
    let path = folder.join("silo.toml");
    std::fs::write(&path, text)?;
    Ok(path)
}
