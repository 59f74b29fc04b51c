//! The server: sockets, the services on them, and the way to stop.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::health_reporter;
use tracing::{info, warn};

use crate::node::Node;
use crate::proto::FILE_DESCRIPTOR_SET;
use crate::proto::silo_server::SiloServer;
use crate::service::calls::SiloService;
use crate::service::gate::budget::Budget;
use crate::service::gate::{GateLayer, Rules};
use crate::service::health;
use crate::service::options::{Listen, OptionsError, ServiceOptions};

/// How often a connection is asked whether the other side is still there, and how long it has to
/// answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// What a caller may send before it must wait for us, per call and per connection, in bytes.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Largest message of the services beside Silo, in bytes: names.
const SMALL_MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Time to send the last answers, once calls have been cut off.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Why the server did not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The options contradict themselves.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The address cannot be listened at.
    #[error("cannot listen: {0}")]
    Listen(#[source] io::Error),
    /// The service descriptors do not decode: a mistake in the build.
    #[error("server reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The server failed.
    #[error("the server failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// The server ended without being asked to.
    #[error("the server stopped taking connections")]
    Ended,
}

/// Serves a node until `shutdown` completes and calls in flight have ended, or have had
/// `drain_timeout` to end. The caller then closes the node.
///
/// # Errors
/// [`ServeError`] when the server cannot start or fails.
pub async fn serve(
    node: Arc<Node>,
    options: ServiceOptions,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    options.check()?;
    let (draining, cut) = (CancellationToken::new(), CancellationToken::new());
    let rules = rules(&options, &draining, &cut);
    let message_bytes_max = options.message_bytes_max;
    let silo = SiloServer::new(SiloService::new(Arc::clone(&node), &options))
        .max_decoding_message_size(message_bytes_max)
        .max_encoding_message_size(message_bytes_max);
    let (reporter, health) = health_reporter();
    health::set(&reporter, ServingStatus::NotServing).await;
    let drain_timeout = options.drain_timeout;
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(options.streams_max)
        .layer(GateLayer::new(rules))
        .add_service(health.max_decoding_message_size(SMALL_MESSAGE_BYTES_MAX))
        .add_service(
            reflection()
                .build_v1()?
                .max_decoding_message_size(SMALL_MESSAGE_BYTES_MAX),
        )
        .add_service(
            reflection()
                .build_v1alpha()?
                .max_decoding_message_size(SMALL_MESSAGE_BYTES_MAX),
        )
        .add_service(silo);
    let incoming = TcpIncoming::from(bind(options.listen).await?).with_nodelay(Some(true));
    let stop = draining.clone().cancelled_owned();
    let mut serving = pin!(server.serve_with_incoming_shutdown(incoming, stop));

    let mut follow = pin!(health::follow(node, reporter.clone()));
    let mut is_followed = true;
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            ended = &mut serving => return Err(ended.err().map_or(ServeError::Ended, Into::into)),
            () = &mut follow, if is_followed => is_followed = false,
        }
    }

    info!("shutting down");
    health::set(&reporter, ServingStatus::NotServing).await;
    draining.cancel();
    if let Ok(ended) = timeout(drain_timeout, &mut serving).await {
        return Ok(ended?);
    }
    warn!("calls in flight did not end in time and are cut off");
    cut.cancel();
    match timeout(LAST_ANSWERS, &mut serving).await {
        Ok(ended) => Ok(ended?),
        Err(_) => Ok(()),
    }
}

fn rules(options: &ServiceOptions, draining: &CancellationToken, cut: &CancellationToken) -> Rules {
    let calls_max = options.requests_in_flight_max.min(Semaphore::MAX_PERMITS);
    Rules {
        token: options.token.clone(),
        message_bytes_max: options.message_bytes_max,
        calls: Arc::new(Semaphore::new(calls_max)),
        calls_max,
        budget: Budget::new(options.request_bytes_in_flight_max),
        call_deadline_max: options.call_deadline_max,
        draining: draining.clone(),
        cut: cut.clone(),
    }
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

async fn bind(listen: Listen) -> Result<TcpListener, ServeError> {
    let listener = match listen {
        Listen::Bound(listener) => listener,
        Listen::Address(address) => TcpListener::bind(address)
            .await
            .map_err(ServeError::Listen)?,
    };
    let address = listener.local_addr().map_err(ServeError::Listen)?;
    info!(%address, "listening");
    Ok(listener)
}
