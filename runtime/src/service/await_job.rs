//! `AwaitJob`: how a job has ended, as soon as that is durable, or where it stands when the wait is
//! over.
//!
//! Nothing is asked again and again: the call has its shard look out for the job's end, asks once
//! for its result, and asks again when it is woken. A call that waits gives back its place among
//! the calls in flight and the memory of its request, and counts among those that wait
//! ([`crate::executor::waiters`]).

use std::sync::Arc;

use silo_core::shard::command::Command;
use silo_core::shard::refusal::Refusal;
use silo_core::shard::reply::{Reply, ResultView};
use silo_core::table::job::JobKey;
use silo_core::table::state::Status;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::executor::shard::Shard;
use crate::executor::waiters::Waiters;
use crate::service::bulk::STRANGE;
use crate::service::denial::Denial;
use crate::service::wait::WaitLimit;

/// Results read at once for calls that were woken: all who wait for one job are woken together, and
/// its result may be large.
const RESULTS_MAX: usize = 64;

/// What a call was told.
pub(crate) enum Told {
    /// The job has ended. The turn is to be kept until the answer's memory is accounted for.
    Ended(Box<ResultView>, Option<OwnedSemaphorePermit>),
    /// It stands there.
    NotYet(Status),
}

/// The turns of those who were woken.
#[derive(Debug)]
pub(crate) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(RESULTS_MAX)))
    }
}

/// Waits for the end of a job; `shard` says each time where it is.
///
/// # Errors
/// [`Denial`] when there is no such job any more, or its shard does not answer.
pub(crate) async fn await_job(
    key: &JobKey,
    shard: impl Fn() -> Result<Arc<Shard>, Denial>,
    limit: &WaitLimit,
    waiters: &Waiters,
    turns: &Turns,
) -> Result<Told, Denial> {
    let mut stay = None;
    let mut turn = None;
    loop {
        let shard = shard()?;
        let may_wait = !limit.is_over();
        stay = stay.or_else(|| may_wait.then(|| waiters.stay()).flatten());
        // First the watch, then the question: what happens in between is not lost.
        let over = match &stay {
            Some(_) if may_wait => Some(shard.watch(key.clone())?),
            Some(_) | None => None,
        };
        let reply = shard.call(Command::Result(key.clone())).await?;
        let Reply::Refused(refusal) = reply else {
            let Reply::Result(view) = reply else {
                return Err(STRANGE);
            };
            return Ok(Told::Ended(view, turn));
        };
        let Refusal::NotTerminal(_, status) = refusal else {
            return Err(refusal.into());
        };
        let Some(over) = over else {
            return Ok(Told::NotYet(status));
        };
        drop(turn);
        // An error says that the shard is no longer open: the next question tells more.
        let woken = async {
            let _ = over.await;
        };
        limit.sleep(woken, None).await;
        // Nobody closes the turns.
        turn = Arc::clone(&turns.0).acquire_owned().await.ok();
    }
}
