//! A server until it is told to stop, or must.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use miette::Diagnostic;
use silo_cloud::environment::Environment;
use silo_core::types::retention::Retention;
use silo_core::types::time::Millis;
use silo_runtime::clock::{MachineClock, SlewedClock};
use silo_runtime::executor::flushing::FlushPolicy;
use silo_runtime::executor::limits::{self, StageLimits};
use silo_runtime::executor::shard::ShardContext;
use silo_runtime::executor::waiters::Waiters;
use silo_runtime::metrics::Metrics;
use silo_runtime::node::{Lost, Node, NodeError, NodeOptions};
use silo_runtime::service;
use silo_runtime::service::listener::Listener;
use silo_runtime::service::profile::Profilers;
use silo_runtime::service::tls::files::TlsError;
use silo_runtime::storage::backend::Storage;
use silo_runtime::storage::clock::SystemWallClock;
use silo_runtime::storage::error::StorageError;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::config::secret::Secret;
use crate::config::{Config, Dispatch};
use crate::dev::Ready;
use crate::observe::profile::ProcessProfiler;
use crate::observe::registry::registry;
use crate::observe::{self, ObserveArgs};
use crate::output::Output;
use crate::telemetry;
use crate::tls::{Reloading, TlsConfig};

/// Why a server stopped, or did not start.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum ServeError {
    #[error("cannot start the runtime or listen for signals")]
    #[diagnostic(code(silo::serve::system))]
    System(#[source] std::io::Error),
    #[error("cannot listen on {addr}")]
    #[diagnostic(
        code(silo::serve::listen),
        help("is another server running there? set server.grpc_addr to another port")
    )]
    Listen {
        addr: SocketAddr,
        #[source]
        cause: std::io::Error,
    },
    #[error("cannot listen on {addr} for metrics")]
    #[diagnostic(
        code(silo::serve::metrics),
        help(
            "is another server, or Prometheus itself, running there? set metrics.addr or \
             --metrics-addr to another port, or --metrics-addr off"
        )
    )]
    ListenForMetrics {
        addr: SocketAddr,
        #[source]
        cause: std::io::Error,
    },
    #[error("cannot use the files of server.tls")]
    #[diagnostic(
        code(silo::serve::tls),
        help("docs/guides/tls.md says what each must hold")
    )]
    Tls(#[source] TlsError),
    #[error("cannot open the data")]
    #[diagnostic(
        code(silo::serve::storage),
        help("docs/guides/storage.md says what each back end needs")
    )]
    Storage(#[source] StorageError),
    #[error("cannot open the data")]
    #[diagnostic(code(silo::serve::node))]
    Node(#[source] NodeError),
    #[error("the server must stop: its data is no longer its own, or cannot be read")]
    #[diagnostic(
        code(silo::serve::lost),
        help(
            "if another silo process uses the same data, stop one of the two for good; nothing \
             that was acknowledged is lost"
        )
    )]
    Lost(#[source] Lost),
    #[error("the gRPC server failed")]
    #[diagnostic(code(silo::serve::grpc))]
    Grpc(#[source] service::ServeError),
}

/// How a server is started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manner {
    /// For whom it says on standard output that it is ready.
    pub(crate) greeting: Option<Output>,
    /// Whether it stops when standard input ends.
    pub(crate) until_stdin_ends: bool,
}

/// Serves until SIGTERM or SIGINT, or until a shard is lost.
pub(crate) fn serve(
    mut config: Config,
    environment: &Environment,
    observe: &ObserveArgs,
    manner: Manner,
) -> miette::Result<ExitCode> {
    observe.over(&mut config.metrics);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(ServeError::System)?;
    let within = runtime.enter();
    let telemetry = telemetry::install_with_spans(config.log.format, observe.perfetto.as_deref())?;
    drop(within);
    let served = runtime.block_on(until_stopped(&config, environment, manner));
    telemetry.finish();
    served?;
    Ok(ExitCode::SUCCESS)
}

async fn until_stopped(
    config: &Config,
    environment: &Environment,
    manner: Manner,
) -> Result<(), ServeError> {
    let mut stop = Stop::listen().map_err(ServeError::System)?;
    if manner.until_stdin_ends {
        stop.stdin = Some(end_of_stdin());
    }
    let tls = config.server.tls.as_ref().map(start_tls).transpose()?;
    let addr = config.server.grpc_addr;
    let listen = |cause| ServeError::Listen { addr, cause };
    let listener = TcpListener::bind(addr).await.map_err(listen)?;
    let bound = listener.local_addr().map_err(listen)?;
    let metrics = match config.metrics.enabled {
        true => Some(listen_for_metrics(config.metrics.addr).await?),
        false => None,
    };
    let node = tokio::select! {
        node = open(config, environment, bound) => node?,
        // A store that does not answer must not keep it.
        signal = stop.heard() => {
            info!(signal, "stopped before anything was open");
            return Ok(());
        }
    };
    let shutdown = CancellationToken::new();
    let mut options = service_options(config);
    options.profilers = Profilers::of(Arc::new(ProcessProfiler));
    // Until the end: how a server stops is worth a look too.
    let scraped = CancellationToken::new();
    let _scraped = scraped.clone().drop_guard();
    if let Some(listener) = metrics {
        let registry = registry(&node, Handle::current());
        tokio::spawn(observe::http::serve(listener, registry, scraped));
    }
    let listener = match &tls {
        Some(tls) => Listener::Tls(listener, Arc::clone(&tls.loaded)),
        None => Listener::Plain(listener),
    };
    let serving = service::serve(Arc::clone(&node), listener, options, shutdown.clone());
    let mut serving = std::pin::pin!(serving);
    let reloading = async {
        match tls {
            Some(tls) => tls.follow().await,
            None => std::future::pending().await,
        }
    };
    // Bound, not yet open: the health service says which.
    info!(addr = %bound, data = %config.database.backend, "listening");

    let ended = tokio::select! {
        biased;
        lost = node.lost() => Err(ServeError::Lost(lost)),
        served = &mut serving => return served.map_err(ServeError::Grpc),
        signal = stop.heard() => {
            info!(signal, "stopping: calls in flight end first");
            Ok(())
        }
        never = announce(&node, config, bound, manner.greeting) => match never {},
        never = reloading => match never {},
    };
    shutdown.cancel();
    match ended {
        Ok(()) => {
            let served = serving.await;
            node.close().await;
            // Another process may have taken the data while calls were ending.
            if let Some(lost) = node.lost().now_or_never() {
                return Err(ServeError::Lost(lost));
            }
            info!("stopped");
            served.map_err(ServeError::Grpc)
        }
        Err(cause) => {
            // Nothing can be finished without the data; whoever waits is told so at once.
            error!(%cause, "a shard was lost: stopping");
            node.close().await;
            if let Err(error) = serving.await {
                error!(%error, "the gRPC server failed while stopping");
            }
            Err(cause)
        }
    }
}

async fn listen_for_metrics(addr: SocketAddr) -> Result<TcpListener, ServeError> {
    let listen = |cause| ServeError::ListenForMetrics { addr, cause };
    let listener = TcpListener::bind(addr).await.map_err(listen)?;
    let addr = listener.local_addr().map_err(listen)?;
    info!(%addr, "metrics are at /metrics");
    Ok(listener)
}

fn start_tls(config: &TlsConfig) -> Result<Reloading, ServeError> {
    // Heard before the files are read, so that it never ends a server that is starting.
    let hangup = signal(SignalKind::hangup()).map_err(ServeError::System)?;
    let loaded = config.load().map_err(ServeError::Tls)?;
    let every_ms = config.reload_ms;
    Ok(Reloading {
        loaded,
        hangup,
        every_ms,
    })
}

/// Opens the data and begins to open its shards.
pub(crate) async fn open(
    config: &Config,
    environment: &Environment,
    bound: SocketAddr,
) -> Result<Arc<Node>, ServeError> {
    let storage = silo_cloud::open::open(&config.database, environment)
        .await
        .map_err(ServeError::Storage)?;
    open_on(storage, config, bound).await
}

/// Begins to open the shards of this storage.
pub(crate) async fn open_on(
    storage: Storage,
    config: &Config,
    bound: SocketAddr,
) -> Result<Arc<Node>, ServeError> {
    let metrics = Metrics::default();
    let lease_default = Millis::new(config.leases.default_ms.into());
    let advertised = config.server.advertised_grpc_addr.clone();
    let options = NodeOptions {
        node_id: config.server.node_id.clone(),
        advertised_addr: advertised.unwrap_or_else(|| bound.to_string()),
        tenancy: config.tenancy.enabled,
        shards: config.shard_count(),
        lease_default,
        // It was looked at when the file was read.
        weights: config.fairness.weights().unwrap_or_default(),
        dev_mode: config.server.dev_mode,
    };
    let limits = StageLimits {
        proof_window: Millis::new(lease_default.get() / 3),
        flush: FlushPolicy {
            interval: Millis::new(config.flush.interval_ms),
            bytes: config.flush.bytes,
        },
        dispatch: match config.leases.dispatch {
            Dispatch::Durable => limits::Dispatch::Durable,
            Dispatch::Speculative => limits::Dispatch::Speculative,
        },
        retention: Retention {
            succeeded: config.retention.succeeded_ms.map(Millis::new),
            failed: config.retention.failed_ms.map(Millis::new),
            cancelled: config.retention.cancelled_ms.map(Millis::new),
        },
        ..StageLimits::default()
    };
    let context = ShardContext {
        storage: storage.counted(&metrics),
        clock: Arc::new(SlewedClock::new(MachineClock)),
        wall: Arc::new(SystemWallClock::default()),
        limits,
        waiters: Waiters::default(),
        metrics,
    };
    let node = Node::start(options, context)
        .await
        .map_err(ServeError::Node)?;
    Ok(Arc::new(node))
}

/// What the gRPC service is told.
pub(crate) fn service_options(config: &Config) -> service::ServiceOptions {
    let drain_timeout = Duration::from_millis(config.server.drain_timeout_ms);
    let token = config.server.token.as_ref().map(Secret::reveal);
    config
        .service
        .options(token.map(str::to_owned), drain_timeout)
}

/// Says once that every shard answers.
async fn announce(
    node: &Node,
    config: &Config,
    bound: std::net::SocketAddr,
    greeting: Option<Output>,
) -> Infallible {
    if node.opened().await.is_ok() {
        let shards = node.shards().len();
        info!(shards, "every shard is open");
        let said = greeting.map(|output| output.show(&Ready::new(config, bound, shards)));
        if let Some(Err(error)) = said {
            // It serves all the same.
            info!(%error, "nobody was told that the server is ready");
        }
    }
    std::future::pending().await
}

/// Tells when nobody holds the other end of standard input any more.
fn end_of_stdin() -> oneshot::Receiver<()> {
    let (tell, told) = oneshot::channel();
    // A thread of its own: the runtime would wait for one of its own that reads.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        tell.send(())
    });
    told
}

/// What asks a process to stop: signals, and perhaps the end of standard input.
pub(crate) struct Stop {
    terminate: Signal,
    interrupt: Signal,
    stdin: Option<oneshot::Receiver<()>>,
}

impl Stop {
    pub(crate) fn listen() -> std::io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self {
            terminate,
            interrupt,
            stdin: None,
        })
    }

    pub(crate) async fn heard(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            () = heard_once(&mut self.stdin) => "the end of standard input",
        }
    }
}

async fn heard_once(word: &mut Option<oneshot::Receiver<()>>) {
    if let Some(told) = word {
        let _ = told.await;
        *word = None;
    } else {
        std::future::pending().await
    }
}
