//! What the health service says: serving while every shard of the node is open, for as long as the
//! node is there.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::select_all;
use tokio::sync::watch;
use tokio::time::sleep;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tracing::{info, warn};

use crate::executor::shard::ShardState;
use crate::node::Node;

/// The services whose health is told: the server as a whole, and the one that matters.
const SERVICES: [&str; 2] = ["", "silo.v1.Silo"];
/// How often a node is asked for its shards while it has none, or some that have come to an end:
/// nobody tells when it gets others.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Sets the health of both services.
pub(crate) async fn set(reporter: &HealthReporter, status: ServingStatus) {
    for service in SERVICES {
        reporter.set_service_status(service, status).await;
    }
}

/// Follows the node's shards, also when they are replaced. Begins with what is said before any
/// shard is open: not serving.
pub(crate) async fn follow(node: Arc<Node>, reporter: HealthReporter) -> Infallible {
    let mut was_serving = false;
    loop {
        let shards = node.shards();
        let mut states: Vec<_> = shards.iter().map(|shard| shard.state()).collect();
        let outlooks: Vec<_> = states.iter_mut().map(Outlook::of).collect();
        let is_serving = !outlooks.is_empty() && outlooks.iter().all(|it| *it == Outlook::Open);
        if is_serving != was_serving {
            say(&reporter, is_serving).await;
            was_serving = is_serving;
        }
        if outlooks.is_empty() || outlooks.contains(&Outlook::Over) {
            sleep(LOOK_AGAIN).await;
        } else {
            // A shard that is replaced is closed first.
            let changes = states.iter_mut().map(|state| state.changed().boxed());
            let (_is_there, ..) = select_all(changes).await;
        }
    }
}

async fn say(reporter: &HealthReporter, is_serving: bool) {
    if is_serving {
        info!("serving");
        set(reporter, ServingStatus::Serving).await;
    } else {
        warn!("no longer serving: not every shard is open");
        set(reporter, ServingStatus::NotServing).await;
    }
}

/// What a shard's state means for health.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outlook {
    /// It answers.
    Open,
    /// It may answer later.
    Opening,
    /// It will not answer any more.
    Over,
}

impl Outlook {
    fn of(state: &mut watch::Receiver<ShardState>) -> Self {
        // Nobody is there to keep it.
        if state.has_changed().is_err() {
            return Self::Over;
        }
        match &*state.borrow_and_update() {
            ShardState::Open => Self::Open,
            ShardState::Opening => Self::Opening,
            ShardState::Closed | ShardState::Fenced(_) | ShardState::Broken(_) => Self::Over,
        }
    }
}
