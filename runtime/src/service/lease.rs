//! Tasks from several shards of the node, in fair shares.
//!
//! Only shards that may have ready work of the group are asked, at once, beginning with another one
//! each time. A shard that gave its whole share may be asked for more when others gave less. One
//! shard's error drops only its share, and so does its slowness: once one shard has handed tasks
//! out, their leases run, and the others have only a moment left to answer. What a shard leases
//! after that finds nobody waiting, and its driver takes it back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use silo_core::shard::command::Command;
use silo_core::shard::commands::lease::{Lease, TASKS_MAX};
use silo_core::shard::reply::{Reply, Task};
use tokio::time::{Instant, timeout_at};

use crate::executor::shard::Shard;
use crate::service::delivery::Delivery;
use crate::service::denial::Denial;
use crate::service::parse::worker::LeaseTasks;

/// Shards asked at once.
const SHARDS_AT_ONCE: usize = 16;
/// How long the first tasks wait for those of other shards: twice as long as they took themselves,
/// so that shards on equally slow storage get their turn, and within these bounds.
const PATIENCE_MIN: Duration = Duration::from_millis(50);
const PATIENCE_MAX: Duration = Duration::from_secs(1);

/// A task, and the shard it comes from.
#[derive(Debug)]
pub(crate) struct Leased {
    pub(crate) shard: Arc<Shard>,
    pub(crate) task: Task,
}

/// What shards had.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) tasks: Vec<Leased>,
    /// Whether a shard did not answer, and may have more.
    pub(crate) is_partial: bool,
}

/// Leases tasks from `shards`, in this order. `bytes_max` bounds payloads and metadata together; a
/// single larger task still goes out alone. Whatever is leased is in `delivery`.
///
/// # Errors
/// The first shard's [`Denial`] when no shard had an answer.
pub(crate) async fn gather(
    shards: Vec<Arc<Shard>>,
    request: &LeaseTasks,
    bytes_max: u64,
    delivery: &Delivery,
) -> Result<Gathered, Denial> {
    let tasks_max = usize::try_from(request.tasks_max.min(TASKS_MAX)).unwrap_or(usize::MAX);
    let mut basket = Basket::new(tasks_max, bytes_max);
    let mut asked = VecDeque::from(shards);
    let mut denied: Option<Denial> = None;
    let mut is_answered = asked.is_empty() || tasks_max == 0;
    let mut patience = Patience::new();
    while basket.has_room() && !asked.is_empty() && !patience.is_over() {
        let count = asked.len().min(basket.tasks_left()).min(SHARDS_AT_ONCE);
        let wave: Vec<_> = asked.drain(..count).collect();
        let shares = shares(basket.tasks_left(), count);
        let bytes = basket
            .bytes_left()
            .checked_div(u64::try_from(count).unwrap_or(u64::MAX));
        let bytes = bytes.unwrap_or(0).max(1);
        let mut answers: FuturesUnordered<_> = wave
            .into_iter()
            .zip(shares)
            .map(|(shard, share)| async move {
                let answer = ask(&shard, request, share, bytes, delivery).await;
                (shard, share, answer)
            })
            .collect();
        while let Some((shard, share, answer)) = patience.next(&mut answers).await {
            match answer {
                Ok(tasks) => {
                    is_answered = true;
                    let is_whole = tasks.len() == share;
                    if !tasks.is_empty() {
                        patience.first_tasks();
                    }
                    basket.add(&shard, tasks, delivery);
                    if is_whole {
                        asked.push_back(shard);
                    }
                }
                Err(denial) => {
                    denied.get_or_insert(denial);
                }
            }
        }
    }
    match denied {
        Some(denial) if !is_answered => Err(denial),
        denied => Ok(Gathered {
            tasks: basket.tasks,
            is_partial: denied.is_some(),
        }),
    }
}

/// How long a call waits for shards: for ever without tasks, and for a moment with some.
struct Patience {
    since: Instant,
    until: Option<Instant>,
}

impl Patience {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            until: None,
        }
    }

    /// Tasks have come; only the first ones count.
    fn first_tasks(&mut self) {
        let now = Instant::now();
        let taken = now.saturating_duration_since(self.since);
        let patience = taken.saturating_mul(2).clamp(PATIENCE_MIN, PATIENCE_MAX);
        self.until = self.until.or_else(|| now.checked_add(patience));
    }

    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// The next answer. None when there is none to wait for, or not any longer.
    async fn next<F: Future>(&self, answers: &mut FuturesUnordered<F>) -> Option<F::Output> {
        match self.until {
            Some(until) => timeout_at(until, answers.next()).await.ok().flatten(),
            None => answers.next().await,
        }
    }
}

async fn ask(
    shard: &Arc<Shard>,
    request: &LeaseTasks,
    share: usize,
    bytes_max: u64,
    delivery: &Delivery,
) -> Result<Vec<Task>, Denial> {
    let command = Command::Lease(Lease {
        group: request.group.clone(),
        grantee: request.grantee.clone(),
        tasks_max: u32::try_from(share).unwrap_or(u32::MAX),
        bytes_max,
        weights: request.weights.clone(),
    });
    let tasks = leased(shard.call(command).await?)?;
    for task in &tasks {
        delivery.add(shard, task.id.clone());
    }
    Ok(tasks)
}

/// The tasks of a reply to a lease.
pub(crate) fn leased(reply: Reply) -> Result<Vec<Task>, Denial> {
    if let Reply::Refused(refusal) = reply {
        return Err(refusal.into());
    }
    let Reply::Leased(tasks) = reply else {
        return Err(Denial::Bug("a lease was answered with something else"));
    };
    Ok(tasks)
}

/// What has been gathered, within bounds.
struct Basket {
    tasks: Vec<Leased>,
    bytes: u64,
    tasks_max: usize,
    bytes_max: u64,
    is_full: bool,
}

impl Basket {
    const fn new(tasks_max: usize, bytes_max: u64) -> Self {
        Self {
            tasks: Vec::new(),
            bytes: 0,
            tasks_max,
            bytes_max,
            is_full: false,
        }
    }

    fn tasks_left(&self) -> usize {
        self.tasks_max.saturating_sub(self.tasks.len())
    }

    const fn bytes_left(&self) -> u64 {
        self.bytes_max.saturating_sub(self.bytes)
    }

    fn has_room(&self) -> bool {
        !self.is_full && self.tasks_left() > 0 && self.bytes_left() > 0
    }

    /// Takes tasks. Each shard may hand out one task larger than its share of the bytes; together
    /// they may not fit, and what does not goes back.
    fn add(&mut self, shard: &Arc<Shard>, tasks: Vec<Task>, delivery: &Delivery) {
        for task in tasks {
            let bytes = self.bytes.saturating_add(size(&task));
            if !self.tasks.is_empty() && bytes > self.bytes_max {
                self.is_full = true;
                delivery.return_one(&task.id);
                continue;
            }
            self.bytes = bytes;
            let shard = Arc::clone(shard);
            self.tasks.push(Leased { shard, task });
        }
    }
}

/// As the core counts a task's bytes.
fn size(task: &Task) -> u64 {
    task.metadata
        .iter()
        .fold(task.payload.len(), |sum, (key, value)| {
            let pair = key.len().saturating_add(value.len());
            sum.saturating_add(u64::try_from(pair).unwrap_or(u64::MAX))
        })
}

/// `total` in `count` parts that differ by one at most.
fn shares(total: usize, count: usize) -> impl Iterator<Item = usize> {
    let count = count.max(1);
    let (part, larger) = (
        total.checked_div(count).unwrap_or(0),
        total.checked_rem(count).unwrap_or(0),
    );
    (0..count).map(move |index| part.saturating_add(usize::from(index < larger)))
}
