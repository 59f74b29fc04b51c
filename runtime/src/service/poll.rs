//! `LeaseTasks`: tasks that are there, or the first that come while the call may wait.
//!
//! Nothing is asked again and again: a shard that gets work wakes whoever waits for it
//! ([`crate::executor::waiters`]). A call that waits gives back its place among the calls in flight
//! and the memory of its request, and holds none for its answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::executor::shard::Shard;
use crate::executor::waiters::{Waiter, Waiters};
use crate::service::delivery::Delivery;
use crate::service::denial::Denial;
use crate::service::gate::place::Place;
use crate::service::lease::{Gathered, Leased};
use crate::service::wait::WaitLimit;

/// When a shard did not answer, nobody is told of its work: it is asked again after so long.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// How long a call may wait, and what it waits for.
pub(crate) struct Wait<'a> {
    pub(crate) waiters: &'a Waiters,
    pub(crate) group: &'a silo_core::types::name::TaskGroup,
    /// The one shard that was named.
    pub(crate) shard: Option<uuid::Uuid>,
    /// Asked for; zero: answer at once.
    pub(crate) longest: Duration,
    /// The call's place, when it came through the gate.
    pub(crate) place: Option<Place>,
}

/// Tasks, what room was taken for them, and how long the call had waited when it asked for them.
pub(crate) struct Found<S> {
    pub(crate) tasks: Vec<Leased>,
    pub(crate) delivery: Delivery,
    pub(crate) room: S,
    pub(crate) waited: Duration,
}

impl Wait<'_> {
    /// Tries until there is a task or the time is over; the last try's answer counts.
    ///
    /// # Errors
    /// The [`Denial`] of a try in which no shard answered.
    pub(crate) async fn for_tasks<S, F>(
        self,
        mut attempt: impl FnMut(Delivery) -> F,
        shards: impl Fn() -> Vec<Arc<Shard>>,
    ) -> Result<Found<S>, Denial>
    where
        F: Future<Output = Result<(Gathered, S), Denial>>,
    {
        let limit = WaitLimit::begin(self.longest, self.place.clone());
        let waiter = self.line_up();
        loop {
            if let Some(waiter) = &waiter {
                waiter.tries();
            }
            let asked = Instant::now();
            let delivery = Delivery::default();
            let (gathered, room) = attempt(delivery.clone()).await?;
            let is_over = gathered.tasks.is_empty() && !limit.is_over();
            let Some(waiter) = waiter.as_ref().filter(|_| is_over) else {
                if let Some(waiter) = waiter {
                    let has_tasks = !gathered.tasks.is_empty();
                    self.leave(waiter, has_tasks, &shards());
                }
                return Ok(Found {
                    tasks: gathered.tasks,
                    delivery,
                    room,
                    waited: asked.saturating_duration_since(limit.began),
                });
            };
            drop((room, delivery));
            waiter.found_nothing();
            let retry = gathered.is_partial.then_some(RETRY_PAUSE);
            let retry = retry.and_then(|pause| Instant::now().checked_add(pause));
            limit.sleep(waiter.woken(), retry).await;
        }
    }

    fn line_up(&self) -> Option<Waiter> {
        if self.longest.is_zero() {
            return None;
        }
        self.waiters.line_up(self.group, self.shard)
    }

    /// Whoever had tasks tells others that there may be more.
    fn leave(&self, waiter: Waiter, has_tasks: bool, shards: &[Arc<Shard>]) {
        if has_tasks {
            let more = shards.iter().filter(|shard| shard.may_have(self.group));
            waiter.had_tasks(more.map(|shard| shard.entry().shard_id));
        }
    }
}
