//! A smaller plan that fails the same way: steps are left out, by halves, then quarters, down to
//! single ones, for as long as the same promise is broken.

use crate::check::Promise;
use crate::plan::{Plan, Step};
use crate::trace::Trace;
use crate::world::World;

/// What came of shrinking.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest plan found.
    pub plan: Plan,
    /// Which promise it breaks; none if the plan given breaks none.
    pub promise: Option<Promise>,
    /// How many plans were run.
    pub runs: u32,
}

/// Shrinks a plan, in at most so many runs.
pub fn shrink(plan: &Plan, runs_max: u32) -> Shrunk {
    let mut shrunk = Shrunk {
        plan: plan.clone(),
        promise: broken(plan),
        runs: 1,
    };
    if shrunk.promise.is_none() {
        return shrunk;
    }
    let mut size = plan.steps.len().div_ceil(2).max(1);
    while shrunk.runs < runs_max {
        let mut has_shrunk = false;
        let mut start = 0;
        while start < shrunk.plan.steps.len() && shrunk.runs < runs_max {
            let mut fewer = shrunk.plan.clone();
            let end = (start + size).min(fewer.steps.len());
            let _gone: Vec<Step> = fewer.steps.drain(start..end).collect();
            shrunk.runs += 1;
            if broken(&fewer) == shrunk.promise {
                shrunk.plan = fewer;
                has_shrunk = true;
            } else {
                start = end;
            }
        }
        if size == 1 && !has_shrunk {
            break;
        }
        size = size.div_ceil(2).max(1);
    }
    shrunk
}

/// The promise that a plan breaks, if it does.
pub fn broken(plan: &Plan) -> Option<Promise> {
    let (ran, _) = World::new(plan, Trace::default()).run();
    ran.violation.map(|violation| violation.promise)
}
