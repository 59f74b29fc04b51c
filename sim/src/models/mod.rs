//! Small worlds whose every interleaving is looked at, breadth first, with stateright. They call
//! the core's own `decide` and `fold`.
//!
//! * [`life`]: the life cycle of jobs: leases, reports late and twice, expiry, cancel, restart,
//!   delete, crashes that take back what was not durable
//! * [`jobs`]: what is asked for
//! * [`form`]: what states must share to be the same
//!
//! Each `always` has a `sometimes` beside it that shows that the danger was reached, and a variant
//! that is wrong and must fail.

pub mod form;
pub mod jobs;
pub mod life;

use stateright::{Checker, HasDiscoveries, Model, Property};

/// What an exploration has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explored {
    /// States that differ.
    pub unique: usize,
    /// The longest path.
    pub depth: usize,
    /// Properties that do not hold: an `always` with a counterexample, a `sometimes` without an
    /// example.
    pub wrong: Vec<&'static str>,
    /// What happened on the way to the first counterexample.
    pub path: Option<String>,
    /// Whether every state within the bounds was looked at.
    pub is_exhaustive: bool,
}

/// Looks at every state of a model, at most so many; stops at the first counterexample.
pub fn explore<M>(model: M, states_max: usize, threads: usize) -> Explored
where
    M: Model + Send + Sync + 'static,
    M::State: std::hash::Hash + Send + Sync + Clone + std::fmt::Debug + PartialEq + 'static,
    M::Action: Send + Sync + Clone + std::fmt::Debug + PartialEq + 'static,
{
    let properties = model.properties();
    let checker = model
        .checker()
        .threads(threads)
        .target_state_count(states_max)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let found = checker.discoveries();
    let is_wrong = |property: &&Property<M>| {
        found.contains_key(property.name) == property.expectation.discovery_is_failure()
    };
    let wrong: Vec<&'static str> = properties.iter().filter(is_wrong).map(|p| p.name).collect();
    let path = wrong.iter().find_map(|name| found.get(name));
    let path = path.map(|path| format!("{:?}", path.clone().into_actions()));
    Explored {
        path,
        unique: checker.unique_state_count(),
        depth: checker.max_depth(),
        wrong,
        is_exhaustive: checker.is_done() && checker.state_count() < states_max,
    }
}
