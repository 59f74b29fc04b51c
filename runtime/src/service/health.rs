//! What the health service says: serving from when every shard answers until shutdown begins, or
//! until a shard is lost for good.

use std::sync::Arc;

use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tracing::{error, info};

use crate::node::Node;

/// The services whose health is told: the server as a whole, and the one that matters.
const SERVICES: [&str; 2] = ["", "silo.v1.Silo"];

/// Sets the health of both services.
pub(crate) async fn set(reporter: &HealthReporter, status: ServingStatus) {
    for service in SERVICES {
        reporter.set_service_status(service, status).await;
    }
}

/// Follows the node's shards.
pub(crate) async fn follow(node: Arc<Node>, reporter: HealthReporter) {
    tokio::select! {
        opened = node.opened() => match opened {
            Ok(()) => {
                info!("serving");
                set(&reporter, ServingStatus::Serving).await;
            }
            Err(lost) => return error!(%lost, "not serving"),
        },
        lost = node.lost() => return error!(%lost, "not serving"),
    }
    let lost = node.lost().await;
    error!(%lost, "no longer serving");
    set(&reporter, ServingStatus::NotServing).await;
}
