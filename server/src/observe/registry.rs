//! Everything that is counted in this process, to be written out.

use std::sync::Arc;

use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use silo_runtime::metrics::now::NodeCollector;
use silo_runtime::node::Node;
use tokio::runtime::Handle;

use crate::observe::memory::MemoryCollector;
use crate::observe::process::ProcessCollector;
use crate::observe::runtime::RuntimeCollector;

/// A registry of what a node, this process, and the runtime that it runs on, count.
pub(crate) fn registry(node: &Arc<Node>, runtime: Handle) -> Registry {
    let mut registry = Registry::default();
    let profile = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    let build = [("version", env!("CARGO_PKG_VERSION")), ("profile", profile)];
    registry.register("silo_build", "What is running", Info::new(build.to_vec()));
    node.metrics().register(&mut registry);
    registry.register_collector(Box::new(NodeCollector::new(node)));
    registry.register_collector(Box::new(RuntimeCollector::new(runtime)));
    registry.register_collector(Box::new(MemoryCollector));
    registry.register_collector(Box::new(ProcessCollector));
    registry
}
