//! One call: find its node, send it, and again where that is right, until its deadline.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Request, Response, Status};

use crate::client::address::Address;
use crate::client::backoff::Backoff;
use crate::client::channels::{Channels, Stub};
use crate::client::error::{Error, chain};
use crate::client::options::ClientOptions;
use crate::client::routed::Routed;
use crate::client::routes::{RouteMap, Routes};
use crate::client::time::later;
use crate::client::verdict::{Repeat, Verdict, judge};
use crate::proto::{GetClusterInfoRequest, GetClusterInfoResponse};
use crate::trace;

/// A layout older than this is asked for again when the nodes are asked in turn.
const LAYOUT_AGE_MAX: Duration = Duration::from_secs(30);
/// A try that had less time than this would most likely not be answered.
const TRY_MIN: Duration = Duration::from_millis(20);
/// How long one node has to tell the layout before another is asked too.
const ASK_NEXT_AFTER: Duration = Duration::from_millis(250);

/// Who a call is for.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// The owner of the tenant with this hash.
    Tenant(String),
    /// The owner of a shard or, if there is no such shard any more, of the tenant with this hash.
    Shard { id: String, hash: String },
    /// The owner of this shard, and nobody else.
    Named(String),
    /// The nodes in turn.
    EachNode,
}

/// How to make a call.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) place: Place,
    pub(crate) repeat: Repeat,
    pub(crate) deadline: Instant,
}

/// An answer, and when the try that it answers was sent.
#[derive(Clone, Debug)]
pub(crate) struct Answer<R> {
    pub(crate) body: R,
    pub(crate) sent: Instant,
}

/// What all clones of a client share.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) options: ClientOptions,
    pub(crate) addresses: Vec<Address>,
    pub(crate) bearer: Option<MetadataValue<Ascii>>,
    pub(crate) channels: Channels,
    pub(crate) routes: Routes,
    /// A node said that the layout is not what we think.
    pub(crate) doubted: AtomicBool,
}

/// Where a try goes.
struct Target {
    address: Address,
    shard: String,
}

impl Caller {
    /// Makes a call.
    ///
    /// # Errors
    ///
    /// See [`Error`]; `Unavailable` only if no try can have been done.
    pub(crate) async fn call<Q, R, F>(
        &self,
        plan: Plan,
        mut request: Q,
        send: impl Fn(Stub, Request<Q>) -> F,
    ) -> Result<Answer<R>, Error>
    where
        Q: Routed,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let mut backoff = self.backoff();
        let mut perhaps_done = false;
        let mut followed = false;
        loop {
            self.learn_if_doubted(&plan).await;
            let generation = self.routes.now().generation;
            let target = match self.target(&plan).await {
                Ok(target) => target,
                Err(Error::Unavailable(why)) => {
                    pause(plan.deadline, backoff.pause(), || unmade(perhaps_done, why)).await?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            request.route(&target.shard);
            let stub = self.channels.stub(&target.address)?;
            let sent = Instant::now();
            let asked = send(stub, self.request(request.clone(), plan.deadline));
            let status = match timeout_at(plan.deadline, asked).await {
                Ok(Ok(answer)) => {
                    return Ok(Answer {
                        body: answer.into_inner(),
                        sent,
                    });
                }
                Ok(Err(status)) => status,
                Err(_) => return Err(Error::Deadline),
            };
            let after = match judge(&status, plan.repeat) {
                Verdict::End(error) => return Err(error),
                Verdict::Moved(Some(owner)) if owner != target.address && !followed => {
                    self.routes.moved(&target.shard, &owner);
                    self.doubted.store(true, Ordering::Relaxed);
                    followed = true;
                    continue;
                }
                Verdict::Moved(_) => None,
                Verdict::Retry(after) => after,
                Verdict::Broken => {
                    perhaps_done = true;
                    None
                }
            };
            followed = false;
            tracing::debug!(address = %target.address, %status, "trying again");
            let after = after.unwrap_or_else(|| backoff.pause());
            pause(plan.deadline, after, || gave_up(perhaps_done, &status)).await?;
            // Whoever serves the shard now may be someone else.
            let _ = self.learn(generation, plan.deadline).await;
        }
    }

    /// Asks for the layout until some node tells it.
    ///
    /// # Errors
    ///
    /// If none does before the deadline, or one refuses.
    pub(crate) async fn learn_first(&self, deadline: Instant) -> Result<(), Error> {
        let mut backoff = self.backoff();
        loop {
            match self.learn(0, deadline).await {
                Ok(()) => return Ok(()),
                Err(Error::Unavailable(why)) => {
                    pause(deadline, backoff.pause(), || Error::Unavailable(why)).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks the nodes for the layout, one after the other, until one tells it. Does nothing if
    /// another call has learnt one since this generation.
    async fn learn(&self, since: u64, deadline: Instant) -> Result<(), Error> {
        let Ok(_alone) = timeout_at(deadline, self.routes.learning()).await else {
            return Err(Error::Deadline);
        };
        let known = self.routes.now();
        if known.generation != since {
            return Ok(());
        }
        let mut waiting = self.candidates(&known).into_iter();
        let mut asked = FuturesUnordered::new();
        let mut failure = Error::Unavailable("no address to ask".to_owned());
        loop {
            if let Some(address) = waiting.next() {
                asked.push(self.ask_layout(address, deadline));
            }
            // A node that hangs must not keep the others from telling.
            let answer = match timeout(ASK_NEXT_AFTER, asked.next()).await {
                Ok(Some(answer)) => answer,
                Ok(None) => return Err(failure),
                Err(_) => continue,
            };
            match answer {
                Ok((info, address, sent)) => {
                    self.routes.learn(info, &address, sent);
                    let nodes = &self.routes.now().nodes;
                    self.channels
                        .keep_only(|open| nodes.contains(open) || self.addresses.contains(open));
                    return Ok(());
                }
                Err(error) => failure = error,
            }
        }
    }

    async fn ask_layout(
        &self,
        address: Address,
        deadline: Instant,
    ) -> Result<(GetClusterInfoResponse, Address, Instant), Error> {
        let sent = Instant::now();
        let limit = later(sent, self.options.connect_timeout).min(deadline);
        let mut stub = self.channels.stub(&address)?;
        let asked = stub.get_cluster_info(self.request(GetClusterInfoRequest {}, limit));
        match timeout_at(limit, asked).await {
            Ok(Ok(answer)) => Ok((answer.into_inner(), address, sent)),
            Ok(Err(status)) => Err(match judge(&status, Repeat::Safe) {
                Verdict::End(error @ Error::Refused(_)) => error,
                Verdict::End(_) | Verdict::Moved(_) | Verdict::Retry(_) | Verdict::Broken => {
                    Error::Unavailable(format!("{address}: {}", why(&status)))
                }
            }),
            Err(_) => Err(Error::Unavailable(format!("{address}: no answer"))),
        }
    }

    /// Whom to ask for the layout: first a node in turn, then those we were told of at the start,
    /// then all others.
    fn candidates(&self, known: &RouteMap) -> Vec<Address> {
        let mut candidates: Vec<Address> = Vec::new();
        let told = self.addresses.iter().chain(&known.nodes).cloned();
        for address in self.routes.next_node().into_iter().chain(told) {
            if !candidates.contains(&address) {
                candidates.push(address);
            }
        }
        candidates
    }

    /// A request with what every call carries.
    pub(crate) fn request<Q>(&self, body: Q, deadline: Instant) -> Request<Q> {
        let mut request = Request::new(body);
        request.set_timeout(deadline.saturating_duration_since(Instant::now()));
        let trace = trace::current().and_then(|trace| trace.parse().ok());
        if let Some(trace) = trace {
            request.metadata_mut().insert(trace::TRACEPARENT, trace);
        }
        if let Some(bearer) = &self.bearer {
            request
                .metadata_mut()
                .insert("authorization", bearer.clone());
        }
        request
    }

    /// Learns anew if a node contradicted what is known, or nodes to share work may have come.
    async fn learn_if_doubted(&self, plan: &Plan) {
        let known = self.routes.now();
        let old = match plan.place {
            Place::EachNode => known.taken.elapsed() > LAYOUT_AGE_MAX,
            Place::Tenant(_) | Place::Shard { .. } | Place::Named(_) => false,
        };
        if self.doubted.swap(false, Ordering::Relaxed) || old {
            // Should it fail, what is known serves on; the next answer tells if it is wrong.
            let _ = self.learn(known.generation, plan.deadline).await;
        }
    }

    async fn target(&self, plan: &Plan) -> Result<Target, Error> {
        let generation = self.routes.now().generation;
        if let Some(target) = self.known_target(&plan.place) {
            return Ok(target);
        }
        self.learn(generation, plan.deadline).await?;
        let nobody = || Error::Unavailable("no node is known to serve this".to_owned());
        self.known_target(&plan.place).ok_or_else(nobody)
    }

    fn known_target(&self, place: &Place) -> Option<Target> {
        let map = self.routes.now();
        let route = match place {
            Place::Tenant(hash) => map.of_hash(hash)?,
            Place::Shard { id, hash } => map.of_shard(id).or_else(|| map.of_hash(hash))?,
            Place::Named(id) => map.of_shard(id)?,
            Place::EachNode => {
                let address = self.routes.next_node()?;
                return Some(Target {
                    address,
                    shard: String::new(),
                });
            }
        };
        Some(Target {
            address: route.address.clone()?,
            shard: route.shard.clone(),
        })
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff::new(self.options.retry_initial, self.options.retry_max)
    }
}

/// Waits, or fails at once if no time for another try would be left before the deadline.
pub(crate) async fn pause(
    deadline: Instant,
    by: Duration,
    or: impl FnOnce() -> Error,
) -> Result<(), Error> {
    if deadline.saturating_duration_since(Instant::now()) <= by.saturating_add(TRY_MIN) {
        return Err(or());
    }
    sleep(by).await;
    Ok(())
}

/// What a status says, with what it came from if this side made it.
fn why(status: &Status) -> String {
    let said = status.message();
    match std::error::Error::source(status).map(chain) {
        Some(cause) if cause.contains(said) => cause,
        Some(cause) => format!("{said}: {cause}"),
        None => said.to_owned(),
    }
}

fn gave_up(perhaps_done: bool, status: &Status) -> Error {
    match Error::of_status(status) {
        refused @ Error::Refused(_) if !perhaps_done => refused,
        Error::Options(_)
        | Error::NotFound(_)
        | Error::AlreadyExists(_)
        | Error::Refused(_)
        | Error::Unavailable(_)
        | Error::OutcomeUnknown(_)
        | Error::Deadline => unmade(perhaps_done, why(status)),
    }
}

fn unmade(perhaps_done: bool, why: String) -> Error {
    if perhaps_done {
        Error::OutcomeUnknown(why)
    } else {
        Error::Unavailable(why)
    }
}
