//! What callers and workers count: latencies and faults.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::bench::faults::{Fault, Faults};

/// Times of one kind, to three digits. Longer ones than [`LONGEST`] count as that.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Option<Histogram<u64>>);

const LONGEST: Duration = Duration::from_secs(3600);

impl Default for Latencies {
    fn default() -> Self {
        // The bounds are constants that are right: one microsecond to an hour, three digits.
        Self(Histogram::new_with_bounds(1, micros(LONGEST), 3).ok())
    }
}

impl Latencies {
    pub(crate) fn record(&mut self, time: Duration) {
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(micros(time));
        }
    }

    pub(crate) fn summary(&self) -> Option<LatencySummary> {
        let histogram = self.0.as_ref().filter(|histogram| !histogram.is_empty())?;
        let at = |part: f64| millis(histogram.value_at_quantile(part));
        Some(LatencySummary {
            count: histogram.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: millis(histogram.max()),
        })
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn millis(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64() * 1000.0
}

/// Times of one kind, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct LatencySummary {
    pub(crate) count: u64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

/// What is timed, in the order in which it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Timed {
    /// A call that enqueues, from its start: of one job, or of as many as are in a batch.
    Enqueue,
    /// A call that leases one task, from its start.
    Lease,
    /// How late the load itself was with a job.
    SentLate,
    /// Until a job was acknowledged, since it was to come.
    Acknowledged,
    /// Until a worker had it, since it was to come.
    Leased,
    /// Until its worker's report was acknowledged, since it was to come.
    Done,
    /// The same, of a tenant that is alone.
    DoneAlone,
    /// The same, beside a neighbour with a backlog.
    DoneBeside,
    /// A worker leases a job that has no limit, and reports it.
    CycleFree,
    /// A worker leases a job that has waited in line for the only slot, and reports it.
    CycleInLine,
    /// Until the next in line is leased, since the slot's last holder was done.
    NextInLine,
    /// A job joins the line, and nothing else happens: one durable write.
    Write,
    /// The slot's holder is reported while the next worker waits: until that is acknowledged.
    Reported,
    /// From the same moment until that worker has the next in line.
    HandOver,
    /// What is not timed.
    Skipped,
}

impl Timed {
    /// For people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Enqueue => "enqueue",
            Self::Lease => "lease",
            Self::SentLate => "sent late",
            Self::Acknowledged => "acknowledged",
            Self::Leased => "leased",
            Self::Done => "done",
            Self::DoneAlone => "done, alone",
            Self::DoneBeside => "done, beside",
            Self::CycleFree => "without a limit",
            Self::CycleInLine => "in line",
            Self::NextInLine => "next in line",
            Self::Write => "one write",
            Self::Reported => "reported",
            Self::HandOver => "handed over",
            Self::Skipped => "not timed",
        }
    }
}

/// What all callers and workers of a benchmark count, together.
#[derive(Debug, Default)]
pub(crate) struct Board {
    sheet: Mutex<Sheet>,
    failed: CancellationToken,
}

/// What was counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sheet {
    latencies: BTreeMap<Timed, Latencies>,
    /// Jobs that this is about: acknowledged, or ended, or leased.
    pub(crate) jobs: u64,
    pub(crate) faults: Faults,
}

impl Board {
    /// Notes a time.
    pub(crate) fn record(&self, what: Timed, time: Duration) {
        self.sheet().record(what, time);
    }

    /// Notes a job.
    pub(crate) fn job(&self) {
        let mut sheet = self.sheet();
        sheet.jobs = sheet.jobs.saturating_add(1);
    }

    /// Notes what went wrong.
    pub(crate) fn fault(&self, fault: &Fault) {
        let mut sheet = self.sheet();
        sheet.faults.add(fault);
        if sheet.faults.are_too_many() {
            self.failed.cancel();
        }
    }

    /// Whether so much went wrong that there is no point in going on.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.is_cancelled()
    }

    /// Waits until it has.
    pub(crate) async fn failed(&self) {
        self.failed.cancelled().await;
    }

    /// All of it at once.
    pub(crate) fn sheet(&self) -> MutexGuard<'_, Sheet> {
        // Every step leaves the sheet whole.
        self.sheet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for all of these.
    pub(crate) async fn join(&self, mut tasks: JoinSet<()>) {
        while let Some(joined) = tasks.join_next().await {
            if joined.is_err() {
                self.fault(&Fault::Panicked);
            }
        }
    }
}

impl Sheet {
    pub(crate) fn record(&mut self, what: Timed, time: Duration) {
        self.latencies.entry(what).or_default().record(time);
    }

    /// Takes over what another has recorded, as something else.
    pub(crate) fn take(&mut self, from: &Self, what: Timed, now: Timed) {
        if let Some(times) = from.latencies.get(&what) {
            self.latencies.insert(now, times.clone());
        }
    }

    /// How many times were recorded.
    pub(crate) fn count(&self, what: Timed) -> u64 {
        let times = self.latencies.get(&what);
        times.and_then(Latencies::summary).map_or(0, |s| s.count)
    }

    pub(crate) fn summaries(&self) -> BTreeMap<Timed, LatencySummary> {
        let summary = |(what, times): (&Timed, &Latencies)| Some((*what, times.summary()?));
        self.latencies.iter().filter_map(summary).collect()
    }
}
