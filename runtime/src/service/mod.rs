//! The gRPC service: requests parsed, commands asked for, replies and refusals written.
//!
//! A call's way: [`gate`] (token, bounds on memory and time) → [`calls`] → [`parse`] (a message
//! becomes a core command, or is refused) → [`route`] (which shard) → the shard → [`mod@write`] (a
//! reply becomes a message) or [`status`] (whatever was denied becomes a gRPC status).
//!
//! * [`serve`], [`ServiceOptions`]: the server and its bounds; health, reflection, draining
//! * [`listener`], [`tls`]: where connections come in, in plain text or encrypted
//! * [`gate`]: what every call passes before its message is read, and after
//! * [`calls`]: one method per RPC
//! * [`bulk`]: many at once, each with a result of its own; [`import`]: jobs with a history
//! * [`operate`]: what operators ask; `limits`: of limits, and why a job does not run; `sway`: what
//!   they set
//! * [`profile`]: where time and memory go; `dump`: what the server is doing
//! * [`parse`], [`mod@write`]: messages to commands, replies to messages
//! * [`route`]: which shard a call is for; `ask`: and asking it
//! * [`lease`]: tasks from several shards in fair shares; [`poll`]: and waiting for them
//! * [`await_job`]: waiting for a job's end; [`wait`]: how calls wait
//! * [`list`]: a tenant's jobs, page by page
//! * [`delivery`]: tasks on their way to a worker, handed back when they do not get there
//! * [`answers`]: the memory that answers take until they have left
//! * [`cluster`]: what a node tells about itself
//! * [`denial`], [`status`]: every way to say no, and the one table of codes, reasons and texts

pub mod answers;
mod ask;
mod await_job;
pub mod bulk;
pub mod calls;
pub mod cluster;
pub mod delivery;
pub mod denial;
mod dump;
pub mod gate;
mod health;
pub mod import;
mod lease;
mod limits;
mod list;
pub mod listener;
pub mod operate;
pub mod parse;
mod poll;
pub mod profile;
pub mod route;
pub mod status;
mod sway;
pub mod tls;
mod wait;
pub mod write;

use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::health_reporter;
use tracing::{info, warn};

use crate::metrics::Metrics;
use crate::node::Node;
use crate::proto::FILE_DESCRIPTOR_SET;
use crate::proto::silo_server::SiloServer;
use crate::service::calls::SiloService;
use crate::service::gate::budget::Budget;
use crate::service::gate::metered::RequestRules;
use crate::service::gate::token::Token;
use crate::service::gate::{GateLayer, Rules};
use crate::service::listener::Listener;
use crate::service::profile::Profilers;
use crate::service::tls::incoming::incoming;

const MIB: usize = 1 << 20;
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

/// What the service bounds, and what callers must show.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceOptions {
    /// What callers must show; without it everybody may call.
    pub token: Option<String>,
    /// Largest message, either way.
    pub message_bytes_max: usize,
    /// Largest payload, result or error data of one job.
    pub payload_bytes_max: usize,
    /// Calls at once on one connection.
    pub streams_max: u32,
    /// Calls at once on all connections.
    pub requests_in_flight_max: usize,
    /// Bytes of all requests that are being received or handled.
    pub request_bytes_in_flight_max: usize,
    /// Bytes of all answers with job data that are being made or sent.
    pub answer_bytes_in_flight_max: usize,
    /// How long a request may take to arrive. What it takes of the memory for requests is given
    /// back then.
    pub request_arrival_max: Duration,
    /// How long calls in flight may go on once shutdown has begun.
    pub drain_timeout: Duration,
    /// How long any call may take, whatever deadline its caller set.
    pub call_deadline_max: Duration,
    /// Who takes profiles of the process.
    pub profilers: Profilers,
}

/// Options that contradict themselves.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{option} is {value}, but must be {bound}")]
pub struct OptionsError {
    /// Which option.
    pub option: &'static str,
    /// Its value.
    pub value: usize,
    /// What is allowed.
    pub bound: String,
}

impl ServiceOptions {
    /// Room that a message needs beside one payload: metadata, ids, and what frames them.
    pub const MESSAGE_OVERHEAD_BYTES: usize = 4 * MIB;

    /// Checks that the bounds fit into each other.
    ///
    /// # Errors
    /// [`OptionsError`] names the first that does not.
    pub fn check(&self) -> Result<(), OptionsError> {
        let wrong = |option, value, bound| {
            Err(OptionsError {
                option,
                value,
                bound,
            })
        };
        let message_min = self
            .payload_bytes_max
            .saturating_add(Self::MESSAGE_OVERHEAD_BYTES);
        if self.message_bytes_max < message_min {
            let bound = format!("at least payload_bytes_max and 4 MiB, {message_min}");
            return wrong("message_bytes_max", self.message_bytes_max, bound);
        }
        if self.request_bytes_in_flight_max < self.message_bytes_max {
            let bound = format!("at least message_bytes_max, {}", self.message_bytes_max);
            let value = self.request_bytes_in_flight_max;
            return wrong("request_bytes_in_flight_max", value, bound);
        }
        if self.answer_bytes_in_flight_max < self.message_bytes_max {
            let bound = format!("at least message_bytes_max, {}", self.message_bytes_max);
            let value = self.answer_bytes_in_flight_max;
            return wrong("answer_bytes_in_flight_max", value, bound);
        }
        let token_bytes = self.token.as_ref().map_or(usize::MAX, String::len);
        for (option, value) in [
            ("token's length", token_bytes),
            ("payload_bytes_max", self.payload_bytes_max),
            ("requests_in_flight_max", self.requests_in_flight_max),
            (
                "streams_max",
                usize::try_from(self.streams_max).unwrap_or(usize::MAX),
            ),
        ] {
            if value == 0 {
                return wrong(option, value, "at least 1".to_owned());
            }
        }
        Ok(())
    }
}

impl Default for ServiceOptions {
    fn default() -> Self {
        Self {
            token: None,
            message_bytes_max: 128 * MIB,
            payload_bytes_max: 16 * MIB,
            streams_max: 1024,
            requests_in_flight_max: 16_384,
            request_bytes_in_flight_max: 256 * MIB,
            answer_bytes_in_flight_max: 256 * MIB,
            request_arrival_max: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(20),
            call_deadline_max: Duration::from_secs(300),
            profilers: Profilers::default(),
        }
    }
}

impl fmt::Debug for ServiceOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token is a secret.
        f.debug_struct("ServiceOptions")
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("message_bytes_max", &self.message_bytes_max)
            .field("payload_bytes_max", &self.payload_bytes_max)
            .field("streams_max", &self.streams_max)
            .field("requests_in_flight_max", &self.requests_in_flight_max)
            .field(
                "request_bytes_in_flight_max",
                &self.request_bytes_in_flight_max,
            )
            .field(
                "answer_bytes_in_flight_max",
                &self.answer_bytes_in_flight_max,
            )
            .field("request_arrival_max", &self.request_arrival_max)
            .field("drain_timeout", &self.drain_timeout)
            .field("call_deadline_max", &self.call_deadline_max)
            .field("profilers", &self.profilers)
            .finish()
    }
}

/// Why the server did not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The options contradict themselves.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The socket does not say its address.
    #[error("the socket: {0}")]
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

/// Serves a node until `shutdown` is cancelled and calls in flight have ended, or have had
/// `drain_timeout` to end. The caller then closes the node.
///
/// # Errors
/// [`ServeError`] when the server cannot start or fails.
pub async fn serve(
    node: Arc<Node>,
    listener: impl Into<Listener>,
    options: ServiceOptions,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    options.check()?;
    let listener = listener.into();
    let address = listener.socket().local_addr().map_err(ServeError::Listen)?;
    let (draining, cut) = (CancellationToken::new(), CancellationToken::new());
    let rules = rules(&options, node.metrics().clone(), &draining, &cut);
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
    let stop = draining.clone().cancelled_owned();
    let tls = matches!(listener, Listener::Tls(..));
    let mut serving = match listener {
        Listener::Plain(socket) => {
            let plain = TcpIncoming::from(socket).with_nodelay(Some(true));
            server.serve_with_incoming_shutdown(plain, stop).boxed()
        }
        Listener::Tls(socket, tls) => server
            .serve_with_incoming_shutdown(incoming(socket, tls), stop)
            .boxed(),
    };

    info!(%address, tls, "taking connections");
    let mut follow = pin!(health::follow(node, reporter.clone()));
    tokio::select! {
            () = shutdown.cancelled() => {}
            ended = &mut serving => return Err(ended.err().map_or(ServeError::Ended, Into::into)),
            never = &mut follow => match never {},
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

fn rules(
    options: &ServiceOptions,
    metrics: Metrics,
    draining: &CancellationToken,
    cut: &CancellationToken,
) -> Rules {
    let calls_max = options.requests_in_flight_max.min(Semaphore::MAX_PERMITS);
    Rules {
        token: options.token.as_deref().and_then(Token::new),
        calls: Arc::new(Semaphore::new(calls_max)),
        calls_max,
        requests: RequestRules {
            bytes_max: options.message_bytes_max,
            arrival_max: options.request_arrival_max,
            budget: Budget::new(options.request_bytes_in_flight_max),
        },
        metrics,
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
