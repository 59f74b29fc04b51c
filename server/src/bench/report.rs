//! What was measured, as people and programs see it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::bench::faults::Faults;
use crate::bench::machine::{Machine, Setting, mebibytes};
use crate::bench::probe::Snapshot;
use crate::bench::stop::Reason;
use crate::bench::tally::{LatencySummary, Sheet, Timed};
use crate::output::Show;

/// Everything that one call of `silo bench` has measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    setting: Setting,
    results: Vec<Measured>,
    /// Whether nothing went wrong.
    is_good: bool,
}

/// How load comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Loop {
    /// The next call is made when the last one is answered: latencies say how a busy server feels,
    /// and a stall is one slow call.
    Closed,
    /// Calls are made when they are due, and times count from there.
    Open,
    /// There is no load.
    None,
}

/// What one benchmark has measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) bench: &'static str,
    #[serde(rename = "loop")]
    pub(crate) load: Loop,
    pub(crate) parameters: BTreeMap<&'static str, u64>,
    seconds: f64,
    jobs: u64,
    jobs_per_second: f64,
    /// In milliseconds.
    latency_ms: BTreeMap<Timed, LatencySummary>,
    /// What only this benchmark measures.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) figures: BTreeMap<&'static str, f64>,
    cpu: Cpu,
    /// None: nobody tells.
    store_requests: Option<StoreRequests>,
    /// Of the server, at the end. In process: the load included.
    resident_bytes: Option<u64>,
    pub(crate) faults: Faults,
    stopped_early: Option<Reason>,
}

/// CPU time. What is not known, or makes no sense, is absent.
#[derive(Clone, Debug, Default, Serialize)]
struct Cpu {
    server_us_per_job: Option<f64>,
    loader_us_per_job: Option<f64>,
    /// Of both, where they are one process.
    together_us_per_job: Option<f64>,
    server_ms_per_second: Option<f64>,
}

/// Requests of a server to its object stores.
#[derive(Clone, Debug, Serialize)]
struct StoreRequests {
    total: u64,
    per_job: Option<f64>,
    per_second: f64,
    by_kind: BTreeMap<String, StoreKind>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct StoreKind {
    count: u64,
    per_second: f64,
}

/// What things have cost.
#[derive(Clone, Debug)]
pub(crate) struct Cost {
    seconds: f64,
    /// Whether the server and its load are one process.
    is_here: bool,
    server: Option<Snapshot>,
    loader: Option<Duration>,
}

impl Cost {
    pub(crate) const fn new(
        seconds: f64,
        is_here: bool,
        server: Option<Snapshot>,
        loader: Option<Duration>,
    ) -> Self {
        Self {
            seconds,
            is_here,
            server,
            loader,
        }
    }

    fn cpu(&self, jobs: u64) -> Cpu {
        let server = self.server.as_ref().and_then(|server| server.cpu);
        let per_job = |cpu: Duration| ratio(cpu.as_secs_f64() * 1e6, count(jobs));
        let apart = |cpu: Option<Duration>| cpu.filter(|_| !self.is_here).and_then(per_job);
        Cpu {
            server_us_per_job: apart(server),
            loader_us_per_job: apart(self.loader),
            together_us_per_job: server.filter(|_| self.is_here).and_then(per_job),
            server_ms_per_second: server
                .and_then(|cpu| ratio(cpu.as_secs_f64() * 1e3, self.seconds)),
        }
    }

    fn store_requests(&self, jobs: u64) -> Option<StoreRequests> {
        let server = self.server.as_ref()?;
        let total = server.store.values().copied().fold(0, u64::saturating_add);
        let per_second = |requests: u64| ratio(count(requests), self.seconds).unwrap_or(0.0);
        let kind = |(kind, requests): (&String, &u64)| {
            let found = StoreKind {
                count: *requests,
                per_second: per_second(*requests),
            };
            (kind.clone(), found)
        };
        Some(StoreRequests {
            total,
            per_job: ratio(count(total), count(jobs)),
            per_second: per_second(total),
            by_kind: server.store.iter().map(kind).collect(),
        })
    }
}

impl Measured {
    pub(crate) fn new(
        bench: &'static str,
        load: Loop,
        parameters: impl IntoIterator<Item = (&'static str, u64)>,
        cost: &Cost,
        sheet: &Sheet,
        stopped_early: Option<Reason>,
    ) -> Self {
        let faults = sheet.faults.clone();
        let too_many = faults.are_too_many().then_some(Reason::Faults);
        Self {
            bench,
            load,
            parameters: parameters.into_iter().collect(),
            seconds: cost.seconds,
            jobs: sheet.jobs,
            jobs_per_second: ratio(count(sheet.jobs), cost.seconds).unwrap_or(0.0),
            latency_ms: sheet.summaries(),
            figures: BTreeMap::new(),
            cpu: cost.cpu(sheet.jobs),
            store_requests: cost.store_requests(sheet.jobs),
            resident_bytes: cost.server.as_ref().and_then(|s| s.resident_bytes),
            faults,
            stopped_early: stopped_early.or(too_many),
        }
    }

    fn table(&self) -> String {
        let mut text = String::new();
        let parameters = self.parameters.iter();
        let parameters: Vec<_> = parameters
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        let load = match self.load {
            Loop::Closed => "closed loop",
            Loop::Open => "open loop: times count from when each job was scheduled",
            Loop::None => "no load",
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{} ({load})", self.bench);
        if !parameters.is_empty() {
            let _ = writeln!(text, "  with      {}", parameters.join(", "));
        }
        if self.load == Loop::None {
            let _ = writeln!(text, "  for       {:.1} s", self.seconds);
        } else {
            let _ = writeln!(
                text,
                "  jobs      {} in {:.1} s: {:.0} a second",
                self.jobs, self.seconds, self.jobs_per_second
            );
        }
        for (name, figure) in &self.figures {
            let _ = writeln!(text, "  {figure:<9.2} {name}");
        }
        self.write_latencies(&mut text);
        self.write_costs(&mut text);
        for line in self.faults.lines() {
            let _ = writeln!(text, "  ERRORS    {line}");
        }
        if let Some(reason) = self.stopped_early {
            let why = match reason {
                Reason::Interrupted => "interrupted",
                Reason::Time => "all together took too long",
                Reason::Faults => "too many errors",
            };
            let _ = writeln!(text, "  STOPPED   before its end: {why}");
        }
        text
    }

    fn write_latencies(&self, text: &mut String) {
        if self.latency_ms.is_empty() {
            return;
        }
        let _ = writeln!(
            text,
            "  {:<18} {:>9} {:>10} {:>10} {:>10} {:>10}",
            "latency, ms", "count", "p50", "p90", "p99", "max"
        );
        for (what, times) in &self.latency_ms {
            let _ = writeln!(
                text,
                "    {:<16} {:>9} {:>10.3} {:>10.3} {:>10.3} {:>10.3}",
                what.name(),
                times.count,
                times.p50,
                times.p90,
                times.p99,
                times.max
            );
        }
    }

    fn write_costs(&self, text: &mut String) {
        let parts = [
            (self.cpu.server_us_per_job, "server"),
            (self.cpu.loader_us_per_job, "load"),
            (self.cpu.together_us_per_job, "server and load"),
        ];
        let part = |(time, who): (Option<f64>, _)| Some(format!("{who} {:.1} µs", time?));
        let mut parts: Vec<_> = parts.into_iter().filter_map(part).collect();
        if !parts.is_empty() {
            parts = vec![format!("{} a job", parts.join(", "))];
        }
        let busy = self.cpu.server_ms_per_second;
        parts.extend(busy.map(|busy| format!("{busy:.1} ms a second")));
        if !parts.is_empty() {
            let _ = writeln!(text, "  CPU       {}", parts.join("; "));
        }
        if let Some(store) = &self.store_requests {
            let per_job = store.per_job.map(|per_job| format!("{per_job:.3} a job, "));
            let kinds = store.by_kind.iter();
            let kinds: Vec<_> = kinds
                .map(|(kind, found)| format!("{kind} {:.2}", found.per_second))
                .collect();
            let _ = writeln!(
                text,
                "  store     {}{:.2} requests a second ({})",
                per_job.unwrap_or_default(),
                store.per_second,
                kinds.join(", ")
            );
        }
        if let Some(bytes) = self.resident_bytes {
            let _ = writeln!(text, "  memory    {:.0} MiB resident", mebibytes(bytes));
        }
    }
}

impl Report {
    pub(crate) fn new(machine: Machine, setting: Setting, results: Vec<Measured>) -> Self {
        Self {
            machine,
            setting,
            is_good: results.iter().all(|measured| measured.faults.total == 0),
            results,
        }
    }

    /// Whether nothing went wrong.
    pub(crate) const fn is_good(&self) -> bool {
        self.is_good
    }
}

impl Show for Report {
    fn text(&self) -> String {
        let mut text = format!("{}\n{}\n", self.machine.text(), self.setting.text());
        for measured in &self.results {
            let _ = write!(text, "\n{}", measured.table());
        }
        let end = if self.is_good {
            "\nNothing went wrong."
        } else {
            "\nThere were errors: the figures above do not count."
        };
        text.push_str(end);
        text
    }
}

/// None when there is nothing to divide by.
fn ratio(what: f64, by: f64) -> Option<f64> {
    (by > 0.0).then_some(what / by)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts to be shown, far below 2^53"
)]
pub(crate) const fn count(number: u64) -> f64 {
    number as f64
}
