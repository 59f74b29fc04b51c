//! What every call passes: the token, bounds on memory and time, and a net under handlers that
//! panic.
//!
//! The health service is open to everybody, for load balancers. Everything else asks for the token
//! when there is one, server reflection too: it keeps streams open, and strangers need none.
//!
//! * [`token`]: the bearer token
//! * [`budget`], [`metered`]: the memory that requests take before a handler sees them
//! * [`trace`]: the span of a call
//! * [`deadline`]: when a call is over
//! * [`place`]: what a call holds, and gives back while it waits
//! * [`answer`]: what is left to do while an answer leaves

pub mod answer;
pub mod budget;
pub mod deadline;
pub mod metered;
pub mod place;
pub mod token;
pub mod trace;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Request, Response};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};
use tracing::{Instrument as _, error};

use crate::metrics::Metrics;
use crate::service::answers::Paid;
use crate::service::delivery::Delivery;
use crate::service::denial::Denial;
use crate::service::gate::answer::Answer;
use crate::service::gate::deadline::Deadline;
use crate::service::gate::metered::{Held, Metered, RequestRules};
use crate::service::gate::place::Place;
use crate::service::gate::token::Token;

const SILO: &str = "/silo.v1.Silo/";
const HEALTH: &str = "/grpc.health.v1.Health/";

/// What the gate bounds, over all connections.
#[derive(Clone, Debug)]
pub struct GateLayer(Arc<Rules>);

/// The gate in front of one service.
#[derive(Clone, Debug)]
pub struct Gate<S> {
    rules: Arc<Rules>,
    inner: S,
}

/// The rules of a gate.
#[derive(Debug)]
pub struct Rules {
    /// What callers must show.
    pub token: Option<Token>,
    /// Calls at once.
    pub calls: Arc<Semaphore>,
    /// How many they are when none is in flight.
    pub calls_max: usize,
    /// What requests keep to while they arrive.
    pub requests: RequestRules,
    /// Where calls are counted.
    pub metrics: Metrics,
    /// How long any call may take.
    pub call_deadline_max: Duration,
    /// Set when shutdown begins: streams that would go on end.
    pub draining: CancellationToken,
    /// Set when shutdown has waited long enough: calls end.
    pub cut: CancellationToken,
}

impl GateLayer {
    /// A gate with these rules.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self(Arc::new(rules))
    }
}

impl<S> Layer<S> for GateLayer {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Gate<S> {
        let rules = Arc::clone(&self.0);
        Gate { rules, inner }
    }
}

impl<S> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let rules = Arc::clone(&self.rules);
        // The clone has not been asked whether it is ready; the one that has is used.
        let ready = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, ready);
        pass(rules, inner, request).boxed()
    }
}

async fn pass<S>(
    rules: Arc<Rules>,
    mut inner: S,
    request: Request<Body>,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    let path = request.uri().path();
    let is_open = path.starts_with(HEALTH);
    let is_stranger = !is_open
        && rules
            .token
            .as_ref()
            .is_some_and(|token| !token.is_in(request.headers()));
    if let Some(method) = path.strip_prefix(SILO) {
        let in_flight = rules.metrics.calls().begin(method);
        let span = trace::span(method, request.headers());
        let called = async {
            if is_stranger {
                Ok(deny(Denial::Unauthenticated))
            } else {
                call(&rules, inner, request).await
            }
        };
        let response = called.instrument(span.clone()).await?;
        in_flight.answered(&response);
        trace::answered(&span, &response);
        return Ok(response);
    }
    if is_stranger {
        return Ok(deny(Denial::Unauthenticated));
    }
    let response = inner.call(request).await?;
    let draining = rules.draining.clone();
    Ok(response.map(|body| {
        let mut answer = Answer::new(body);
        answer.until = Some(draining.cancelled_owned().boxed());
        Body::new(answer)
    }))
}

/// A call of the Silo service.
async fn call<S>(
    rules: &Rules,
    mut inner: S,
    request: Request<Body>,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    let deadline = Deadline::of(request.headers(), rules.call_deadline_max);
    let Ok(permit) = Arc::clone(&rules.calls).try_acquire_owned() else {
        return Ok(deny(Denial::TooManyCalls(rules.calls_max)));
    };
    let held = Held::default();
    let metered = |body| Body::new(Metered::new(body, rules.requests.clone(), held.clone()));
    // Making the future may panic as well as polling it.
    let mut request = request.map(metered);
    let (calls, draining) = (Arc::clone(&rules.calls), rules.draining.clone());
    let place = Place::new(calls, permit, held, deadline.at(), draining);
    request.extensions_mut().insert(place.clone());
    let handled = AssertUnwindSafe(async move { inner.call(request).await }).catch_unwind();
    let handled = tokio::select! {
        biased;
        handled = handled => handled,
        () = deadline => return Ok(deny(Denial::DeadlineExceeded)),
        () = rules.cut.cancelled() => return Ok(deny(Denial::ShuttingDown)),
    };
    let Ok(response) = handled else {
        error!("a handler panicked");
        return Ok(deny(Denial::Bug("a handler panicked")));
    };
    let mut response = response?;
    let delivery = response.extensions_mut().remove::<Delivery>();
    let paid = response.extensions_mut().remove::<Paid>();
    Ok(response.map(|body| {
        let mut answer = Answer::new(body);
        answer.permit = place.take();
        answer.delivery = delivery;
        answer.paid = paid;
        Body::new(answer)
    }))
}

fn deny(denial: Denial) -> Response<Body> {
    Status::from(denial).into_http()
}
