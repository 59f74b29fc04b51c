//! Small worlds whose every interleaving is looked at, breadth first, with stateright. They call
//! the core's own `decide` and `fold`.
//!
//! * [`life`]: the life cycle of jobs: leases, reports late and twice, expiry, cancel, restart,
//!   delete, crashes that take back what was not durable
//! * [`limits`]: who waits for slots, who is served, who is next
//! * [`catalog`]: every model by its name, and how many states it has
//! * [`jobs`]: what is asked for
//! * [`alike`]: whether states that are taken for one are
//! * [`shard`]: a stage and its storage, one owner or two
//! * [`form`]: what states must share to be the same
//!
//! Each `always` has a `sometimes` beside it that shows that the danger was reached, and a variant
//! that is wrong and must fail.

pub(crate) mod alike;
pub mod catalog;
pub mod form;
pub mod jobs;
pub mod life;
pub mod limits;
pub mod shard;

use stateright::{Checker, HasDiscoveries, Model, Property};

/// What an exploration has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explored {
    /// States that differ.
    pub unique: usize,
    /// States, those that were met again among them.
    pub states: usize,
    /// The longest path, when one thread looks at the nearest states first.
    pub depth: usize,
    /// Properties that do not hold: an `always` with a counterexample, a `sometimes` without an
    /// example.
    pub wrong: Vec<&'static str>,
    /// What happened on the way to the first counterexample.
    pub path: Option<String>,
    /// Where it led.
    pub end: Option<String>,
    /// Whether every state within the bounds was looked at.
    pub is_exhaustive: bool,
}

/// In which order states are looked at. Every state is looked at in each, as often as it has no
/// equal: counts that differ show a form that takes states for equal that are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// Nearest first: short paths, much memory.
    Breadth,
    /// Furthest first.
    Depth,
}

/// Looks at every state of a model, at most so many; stops at the first counterexample.
pub fn explore<M>(model: M, search: Search, states_max: usize, threads: usize) -> Explored
where
    M: Model + Send + Sync + 'static,
    M::State: std::hash::Hash + Send + Sync + Clone + std::fmt::Debug + PartialEq + 'static,
    M::Action: Send + Sync + Clone + std::fmt::Debug + PartialEq + 'static,
{
    let checker = model
        .checker()
        .threads(threads)
        .target_state_count(states_max)
        .finish_when(HasDiscoveries::AnyFailures);
    match search {
        Search::Breadth => explored(&checker.spawn_bfs().join(), states_max),
        Search::Depth => explored(&checker.spawn_dfs().join(), states_max),
    }
}

fn explored<M>(checker: &impl Checker<M>, states_max: usize) -> Explored
where
    M: Model,
    M::State: std::hash::Hash + Clone + std::fmt::Debug + PartialEq,
    M::Action: Clone + std::fmt::Debug + PartialEq,
{
    let found = checker.discoveries();
    let is_wrong = |property: &Property<M>| {
        found.contains_key(property.name) == property.expectation.discovery_is_failure()
    };
    let properties = checker.model().properties();
    let wrong = properties.iter().filter(|property| is_wrong(property));
    let wrong: Vec<&'static str> = wrong.map(|property| property.name).collect();
    let path = wrong.iter().find_map(|name| found.get(name));
    let end = path.map(|path| format!("{:?}", path.last_state()));
    let path = path.map(|path| format!("{:?}", path.clone().into_actions()));
    Explored {
        path,
        end,
        states: checker.state_count(),
        unique: checker.unique_state_count(),
        depth: checker.max_depth(),
        wrong,
        is_exhaustive: checker.is_done() && checker.state_count() < states_max,
    }
}
