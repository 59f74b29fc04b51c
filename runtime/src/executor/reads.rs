//! Reading rows for a stage, and the large data of replies.

use std::num::NonZeroUsize;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt as _};
use silo_core::shard::commands::quarantine::SetAside;
use silo_core::shard::refusal::Refusal;
use silo_core::shard::reply::{Content, Reply, Task};
use silo_core::shard::view::NeedItem;
use silo_core::types::task::TaskId;
use tokio::time::sleep;
use tracing::error;

use crate::executor::output::Loaded;
use crate::executor::replies::{Answer, Failure};
use crate::storage::error::StorageError;
use crate::storage::read::RangeLimit;
use crate::storage::shard::ShardStore;

/// Most bytes of large data that are read for one reply, unless it hands out tasks: those have a
/// budget already. Of a larger reply no large data is read, and whoever writes it sees that.
pub const REPLY_BYTES_MAX: u64 = 128 << 20;
/// Payloads of one reply that are read at once.
const READS_MAX: usize = 16;
/// Pause before a row that seems to be damaged is read once more: compaction may have moved it.
const DAMAGE_PAUSE: Duration = Duration::from_millis(500);

/// Tasks that do not reach their worker.
#[derive(Default)]
pub(crate) struct Undelivered {
    /// Their data could not be read for now: they go back.
    pub(crate) back: Vec<TaskId>,
    /// Their data is not there, or damaged: whoever leases them next fares no better.
    pub(crate) aside: Vec<SetAside>,
}

/// Reads; what seems to be damaged is looked at once more before anybody acts on it.
pub(crate) async fn load_twice(store: &ShardStore, item: NeedItem) -> Result<Loaded, StorageError> {
    match load(store, item.clone()).await {
        Err(StorageError::Invalid { .. }) => {
            sleep(DAMAGE_PAUSE).await;
            load(store, item).await
        }
        read => read,
    }
}

async fn load(store: &ShardStore, item: NeedItem) -> Result<Loaded, StorageError> {
    match item {
        NeedItem::Row(key) => Ok(Loaded::Row(store.get(&key).await?)),
        NeedItem::Range { start, end, limit } => {
            let limit = RangeLimit::rows(NonZeroUsize::new(limit).unwrap_or(NonZeroUsize::MIN));
            let rows = store.range(&start, &end, limit).await?;
            Ok(Loaded::Range {
                rows: rows.rows,
                is_complete: rows.complete,
            })
        }
    }
}

/// Reads the large data of a reply. Tasks whose payload cannot be read are taken out; any other
/// reply is all or nothing.
pub(crate) async fn complete(store: &ShardStore, mut reply: Reply) -> (Answer, Undelivered) {
    let stored = reply.stored();
    let bytes = stored
        .iter()
        .map(|content| content.len())
        .fold(0, u64::saturating_add);
    let is_lease = matches!(reply, Reply::Leased(_));
    if bytes > REPLY_BYTES_MAX && !is_lease {
        return (Answer::Reply(reply), Undelivered::default());
    }
    let mut reads: Vec<BoxFuture<'_, Result<(), Missing>>> = Vec::new();
    for content in reply.stored() {
        reads.push(read_content(store, content).boxed());
    }
    let read: Vec<Result<(), Missing>> = stream::iter(reads).buffered(READS_MAX).collect().await;
    if let Reply::Leased(tasks) = reply {
        let (whole, undelivered) = deliverable(tasks, read);
        return (Answer::Reply(Reply::Leased(whole)), undelivered);
    }
    let answer = match read.into_iter().filter_map(Result::err).max() {
        None => Answer::Reply(reply),
        Some(Missing::ForNow) => Answer::Failed(Failure::Unreadable),
        Some(Missing::ForGood(reason)) => damaged(&reply, &reason),
    };
    (answer, Undelivered::default())
}

/// Data of a job that will never be read: whoever asks again fares no better.
fn damaged(reply: &Reply, reason: &str) -> Answer {
    let key = if let Reply::Job(job) = reply {
        Some(&job.key)
    } else if let Reply::Result(result) = reply {
        Some(&result.key)
    } else {
        None
    };
    let Some(key) = key else {
        return Answer::Failed(Failure::Unreadable);
    };
    error!(tenant = %key.tenant, job = %key.job, reason, "a job could not be shown");
    Answer::Reply(Reply::Refused(Refusal::Quarantined(key.clone())))
}

/// Parts tasks by whether their payload, where it had to be read, was.
fn deliverable(tasks: Vec<Task>, read: Vec<Result<(), Missing>>) -> (Vec<Task>, Undelivered) {
    let mut failures = read.into_iter().filter_map(Result::err);
    let mut whole = Vec::with_capacity(tasks.len());
    let mut undelivered = Undelivered::default();
    for task in tasks {
        if matches!(task.payload, Content::Inline(_)) {
            whole.push(task);
            continue;
        }
        match failures.next() {
            Some(Missing::ForGood(reason)) => {
                let task = task.id;
                undelivered.aside.push(SetAside { task, reason });
            }
            Some(Missing::ForNow) | None => undelivered.back.push(task.id),
        }
    }
    (whole, undelivered)
}

/// Why data could not be read; the worst is last.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Missing {
    /// Storage did not answer.
    ForNow,
    /// It is not there, or damaged; in a sentence.
    ForGood(String),
}

async fn read_content(store: &ShardStore, content: &mut Content) -> Result<(), Missing> {
    let Content::Stored { key, .. } = content else {
        return Ok(());
    };
    match store.get(key).await {
        Ok(Some(bytes)) => {
            *content = Content::Inline(bytes);
            Ok(())
        }
        Ok(None) => Err(Missing::ForGood("its payload is missing".to_owned())),
        Err(cause @ StorageError::Invalid { .. }) => Err(Missing::ForGood(format!(
            "its payload cannot be read: {cause}"
        ))),
        Err(
            cause @ (StorageError::Unavailable { .. }
            | StorageError::Fenced { .. }
            | StorageError::Closed { .. }
            | StorageError::NewerFormat { .. }),
        ) => {
            error!(%cause, "a payload could not be read");
            Err(Missing::ForNow)
        }
    }
}
