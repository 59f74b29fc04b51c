//! SlateDB's own metrics, over all shards of a node: counters and histograms are sums over all
//! databases that were ever open, gauges over those that are open now.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use slatedb_common::metrics::{CounterFn, GaugeFn, HistogramFn, MetricsRecorder, UpDownCounterFn};

/// SlateDB's own metrics. Clones are the same numbers.
#[derive(Clone, Default)]
pub struct SlateDbMetrics(Arc<Mutex<BTreeMap<String, Family>>>);

/// All series of one name.
struct Family {
    help: String,
    kind: MetricType,
    series: BTreeMap<Labels, Series>,
}

type Labels = Vec<(String, String)>;

enum Series {
    Counter(Counter),
    /// One for each database that is open.
    Gauge(Vec<Weak<Cell>>),
    Histogram(Used),
}

/// A histogram, and whether it was ever told anything.
#[derive(Clone)]
struct Used {
    histogram: Histogram,
    is_used: Arc<AtomicBool>,
}

/// Labels whose values come from no closed set: series that differ in them only are one.
const OPEN_LABELS: [&str; 1] = ["worker_id"];
/// Gauges whose sum over databases would say nothing: the largest is served.
const LARGEST: [&str; 4] = [
    "slatedb_compactor_epoch",
    "slatedb_compactor_last_compaction_timestamp_sec",
    "slatedb_compactor_worker_last_heartbeat_ms",
    "slatedb_db_segment_max_l0_sst_count",
];

#[derive(Debug, Default)]
struct Cell(AtomicI64);

impl GaugeFn for Cell {
    fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

impl UpDownCounterFn for Cell {
    fn increment(&self, value: i64) {
        self.0.fetch_add(value, Ordering::Relaxed);
    }
}

struct Counted(Counter);

impl CounterFn for Counted {
    fn increment(&self, value: u64) {
        self.0.inc_by(value);
    }
}

impl HistogramFn for Used {
    fn record(&self, value: f64) {
        self.histogram.observe(value);
        self.is_used.store(true, Ordering::Relaxed);
    }
}

impl SlateDbMetrics {
    fn families(&self) -> MutexGuard<'_, BTreeMap<String, Family>> {
        // Every step leaves the families whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The series of this name and these labels, made if there is none, given to `take`.
    fn series<T>(
        &self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        empty: Series,
        take: impl FnOnce(&mut Series) -> T,
    ) -> T {
        let kind = match &empty {
            Series::Counter(_) => MetricType::Counter,
            Series::Gauge(_) => MetricType::Gauge,
            Series::Histogram(_) => MetricType::Histogram,
        };
        let is_closed = |label: &&(&str, &str)| !OPEN_LABELS.contains(&label.0);
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let mut labels: Labels = labels.iter().filter(is_closed).map(owned).collect();
        labels.sort();
        let name = name.replace('.', "_");
        let help = match help {
            "" => format!("SlateDB's {name}."),
            help => format!("SlateDB: {help}"),
        };
        let mut families = self.families();
        let family = families.entry(name).or_insert_with(|| Family {
            help,
            kind,
            series: BTreeMap::new(),
        });
        take(family.series.entry(labels).or_insert(empty))
    }

    fn cell(&self, name: &str, help: &str, labels: &[(&str, &str)]) -> Arc<Cell> {
        let cell = Arc::new(Cell::default());
        let weak = Arc::downgrade(&cell);
        self.series(name, help, labels, Series::Gauge(Vec::new()), |series| {
            if let Series::Gauge(cells) = series {
                cells.retain(|cell| cell.strong_count() > 0);
                cells.push(weak);
            }
        });
        cell
    }
}

impl MetricsRecorder for SlateDbMetrics {
    fn register_counter(
        &self,
        name: &str,
        description: &str,
        labels: &[(&str, &str)],
    ) -> Arc<dyn CounterFn> {
        let empty = Series::Counter(Counter::default());
        let counter = self.series(name, description, labels, empty, |series| match series {
            Series::Counter(counter) => counter.clone(),
            Series::Gauge(_) | Series::Histogram(_) => Counter::default(),
        });
        Arc::new(Counted(counter))
    }

    fn register_gauge(
        &self,
        name: &str,
        description: &str,
        labels: &[(&str, &str)],
    ) -> Arc<dyn GaugeFn> {
        self.cell(name, description, labels)
    }

    fn register_up_down_counter(
        &self,
        name: &str,
        description: &str,
        labels: &[(&str, &str)],
    ) -> Arc<dyn UpDownCounterFn> {
        self.cell(name, description, labels)
    }

    fn register_histogram(
        &self,
        name: &str,
        description: &str,
        labels: &[(&str, &str)],
        boundaries: &[f64],
    ) -> Arc<dyn HistogramFn> {
        let new = || Used {
            histogram: Histogram::new(boundaries.iter().copied()),
            is_used: Arc::default(),
        };
        let empty = Series::Histogram(new());
        let used = self.series(name, description, labels, empty, |series| match series {
            Series::Histogram(used) => used.clone(),
            Series::Counter(_) | Series::Gauge(_) => new(),
        });
        Arc::new(used)
    }
}

impl Collector for SlateDbMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (name, family) in self.families().iter() {
            let mut encoder = encoder.encode_descriptor(name, &family.help, None, family.kind)?;
            let is_largest = LARGEST.contains(&name.as_str());
            if let Some(only) = family.series.get(&Labels::new())
                && family.series.len() == 1
            {
                only.encode(is_largest, encoder)?;
                continue;
            }
            for (labels, series) in &family.series {
                if !series.is_unused() {
                    series.encode(is_largest, encoder.encode_family(labels)?)?;
                }
            }
        }
        Ok(())
    }
}

impl Series {
    /// Histograms that were never told anything are left out: there are very many of them.
    fn is_unused(&self) -> bool {
        matches!(self, Self::Histogram(used) if !used.is_used.load(Ordering::Relaxed))
    }

    fn encode(&self, is_largest: bool, encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        match self {
            Self::Counter(counter) => counter.encode(encoder),
            Self::Histogram(used) => used.histogram.encode(encoder),
            Self::Gauge(cells) => {
                let open = cells.iter().filter_map(Weak::upgrade);
                let values = open.map(|cell| cell.0.load(Ordering::Relaxed));
                let value = if is_largest {
                    values.max().unwrap_or(0)
                } else {
                    values.fold(0, i64::saturating_add)
                };
                ConstGauge::new(value).encode(encoder)
            }
        }
    }
}

impl fmt::Debug for SlateDbMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlateDbMetrics").finish_non_exhaustive()
    }
}
