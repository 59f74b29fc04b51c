//! The jobs of the demo: many that are alike, and a few with a part of their own.

use std::collections::BTreeMap;

use bytes::Bytes;
use silo_runtime::client::enqueue::Enqueue;
use silo_runtime::proto::RetryPolicy;

/// Whose jobs the demo has.
pub(crate) const TENANTS: [&str; 4] = ["acme", "birch", "cedar", "dune"];
/// The priorities they come in.
const PRIORITIES: [u32; 3] = [0, 10, 50];
/// The queue that the workers ask.
pub(crate) const GROUP: &str = "demo";
/// The code that failing jobs fail with.
pub(crate) const FAILURE_CODE: &str = "FLAKY";
/// The wait before the first retry; it doubles.
pub(crate) const BACKOFF_MS: i64 = 300;
/// How long the delayed job waits.
pub(crate) const DELAY_MS: i64 = 2_500;

/// A job, named by tenant and id.
pub(crate) type Key = (String, String);

/// What a job is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Succeeds at once.
    Plain,
    /// Not to start before its time.
    Delayed,
    /// Fails twice, then succeeds.
    Flaky,
    /// Fails whenever it runs; it has two retries.
    Broken,
    /// Cancelled before it may start.
    CancelledEarly,
    /// Cancelled while it runs.
    CancelledLate,
    /// Enqueued in the instant before the server is killed.
    LastWord,
}

impl Part {
    /// Those who have one, with whose job it is and its id.
    pub(crate) const ALL: [(Self, &str, &str); 6] = [
        (Self::Delayed, "birch", "starts-later"),
        (Self::Flaky, "acme", "fails-twice"),
        (Self::Broken, "dune", "never-works"),
        (Self::CancelledEarly, "cedar", "cancelled-before"),
        (Self::CancelledLate, "cedar", "cancelled-while-running"),
        (Self::LastWord, "acme", "last-word"),
    ];

    /// What the job with this id is there for.
    pub(crate) fn of(id: &str) -> Self {
        let part = Self::ALL.iter().find(|(_, _, named)| *named == id);
        part.map_or(Self::Plain, |(part, _, _)| *part)
    }

    /// The job, by tenant and id; `None` for those that are many.
    pub(crate) fn key(self) -> Option<Key> {
        let part = Self::ALL.iter().find(|(part, _, _)| *part == self)?;
        Some((part.1.to_owned(), part.2.to_owned()))
    }

    /// The job as it goes in at this time, in ms since the epoch.
    pub(crate) fn job(self, now_ms: i64) -> Enqueue {
        let mut job = Enqueue::new(GROUP, number(u32::MAX));
        job.id = self.key().map(|(_, id)| id);
        let retries = RetryPolicy {
            retry_count: 2,
            initial_interval_ms: BACKOFF_MS,
            backoff_factor: 2.0,
            ..RetryPolicy::default()
        };
        match self {
            Self::Plain | Self::CancelledLate | Self::LastWord => {}
            Self::Delayed => job.start_at_ms = now_ms.checked_add(DELAY_MS),
            Self::Flaky | Self::Broken => job.retry_policy = Some(retries),
            Self::CancelledEarly => job.start_at_ms = now_ms.checked_add(3_600_000),
        }
        job
    }
}

/// The `n`th of the jobs that are many, and whose it is.
pub(crate) fn plain(n: u32) -> (&'static str, Enqueue) {
    let tenants = u32::try_from(TENANTS.len()).unwrap_or(1);
    let mut job = Enqueue::new(GROUP, number(n));
    job.priority = pick(&PRIORITIES, n.checked_div(tenants).unwrap_or(0));
    job.metadata = BTreeMap::from([("number".to_owned(), n.to_string())]);
    (pick(&TENANTS, n), job)
}

/// MessagePack: a 32-bit unsigned integer.
fn number(n: u32) -> Bytes {
    let mut packed = vec![0xce];
    packed.extend_from_slice(&n.to_be_bytes());
    packed.into()
}

fn pick<T: Copy + Default>(from: &[T], n: u32) -> T {
    let count = u32::try_from(from.len()).unwrap_or(1);
    let index = usize::try_from(n.checked_rem(count).unwrap_or(0)).unwrap_or(0);
    from.get(index).copied().unwrap_or_default()
}
