//! What a tenant gets while a neighbour has a long backlog, beside what it gets alone.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::bench::args::NoisyArgs;
use crate::bench::crew::{Crew, Numbers, Schedule, Shift, Wishes};
use crate::bench::enqueue::later;
use crate::bench::faults::Fault;
use crate::bench::latency::{LEAD, arrivals, send_all};
use crate::bench::report::{Loop, Measured, count};
use crate::bench::site::Site;
use crate::bench::stop::Stop;
use crate::bench::tally::{Board, Timed};
use crate::bench::{BenchError, work_off};

/// The quiet one and its neighbour. With fewer they are one: what there is without turns.
const TENANTS: u32 = 2;
const QUIET: u64 = 0;
const NOISY: u64 = 1;
/// How long workers have for what they have leased.
const LAST_TASKS: Duration = Duration::from_secs(1);
/// Jobs of each call that makes the backlog.
const FILL_BATCH: u32 = 100;
/// Callers that make the backlog.
const FILL_CALLERS: u32 = 8;

/// Runs the benchmark.
///
/// # Errors
/// If there is no server, or its metrics cannot be read.
pub(crate) async fn run(args: &NoisyArgs, stop: &Stop) -> Result<Measured, BenchError> {
    let NoisyArgs {
        pace,
        workers,
        backlog,
        fill,
        payload,
        place,
    } = args;
    let site = Site::open(place, payload.payload_bytes, TENANTS, stop).await?;
    let crew = Crew::new(&site.loader, stop);
    let jobs = u64::from(pace.rate).saturating_mul(pace.duration);
    let shift = Shift {
        workers: workers.workers,
        tasks: workers.tasks,
        left: None,
        done: CancellationToken::new(),
        room: None,
        schedule: None,
    };

    let first = |first| Schedule {
        began: later(Instant::now(), LEAD),
        rate: pace.rate,
        first,
        jobs,
    };
    let alone = phase(&crew, &shift, first(0)).await;

    let from = jobs.saturating_mul(2);
    let wanted = backlog.saturating_add(jobs);
    let callers = crew.enqueue(&Wishes {
        callers: FILL_CALLERS,
        batch: FILL_BATCH,
        numbers: Numbers::new(from..from.saturating_add(*backlog)),
        until: later(Instant::now(), Duration::from_secs(*fill)),
        room: None,
        turn: Some(NOISY),
    });
    crew.board.join(callers).await;
    let reached = crew.ledger.acknowledged_so_far();
    if reached < wanted && !stop.is_over() {
        crew.board.fault(&Fault::NotFilled { reached, wanted });
    }

    let meter = site.meter().await?;
    let ended = crew.ledger.ended_so_far();
    let beside = phase(&crew, &shift, first(jobs)).await;
    let ended = crew.ledger.ended_so_far().saturating_sub(ended);
    let cost = site.cost(&meter).await?;

    let mut sheet = crew.board.sheet().clone();
    sheet.jobs = ended;
    for (part, what) in [(&alone, Timed::DoneAlone), (&beside, Timed::DoneBeside)] {
        sheet.take(&part.board.sheet(), Timed::Done, what);
    }
    let parameters = [
        ("backlog", *backlog),
        ("payload_bytes", u64::from(payload.payload_bytes)),
        ("rate", u64::from(pace.rate)),
        ("tasks", u64::from(workers.tasks)),
        ("tenants", place.tenant_count(TENANTS)),
        ("workers", u64::from(workers.workers)),
    ];
    let reason = stop.reason();
    let mut measured = Measured::new("noisy", Loop::Open, parameters, &cost, &sheet, reason);
    measured.figures = [
        ("quiet_alone_per_second", alone.per_second),
        ("quiet_beside_per_second", beside.per_second),
        (
            "quiet_keeps_percent",
            100.0 * beside.per_second / alone.per_second.max(f64::MIN_POSITIVE),
        ),
    ]
    .into();
    work_off(&site, &crew).await;
    site.close().await;
    Ok(measured)
}

/// What the quiet tenant got.
struct Got {
    board: Arc<Board>,
    per_second: f64,
}

/// The quiet tenant's jobs come by their schedule while workers take whatever there is.
async fn phase(crew: &Crew, shift: &Shift, schedule: Schedule) -> Got {
    let part = Crew {
        board: Arc::default(),
        ..crew.clone()
    };
    let left = Arc::new(AtomicU64::new(u64::MAX));
    let shift = Shift {
        done: CancellationToken::new(),
        left: Some(Arc::clone(&left)),
        schedule: Some(schedule),
        ..shift.clone()
    };
    let working = part.work(&shift);
    let arrivals = arrivals(schedule, &part.stop);
    send_all(&part, schedule, arrivals, Some(QUIET)).await;
    // What is on its way when the last job is acknowledged is on its way in both phases.
    let done = count(part.board.sheet().count(Timed::Done));
    let seconds = schedule.began.elapsed().as_secs_f64();
    // The last ones are waited for: nothing may be lost. Not those of the neighbour.
    let lost = part.ledger.drained_of(schedule.numbers()).await;
    if lost > 0 && !part.stop.is_over() {
        part.board.fault(&Fault::Lost(lost));
    }
    // Whoever has tasks ends them and takes no more; whoever waits for some is sent away.
    left.store(0, Ordering::Relaxed);
    let mut joining = pin!(part.board.join(working));
    if timeout(LAST_TASKS, &mut joining).await.is_err() {
        shift.done.cancel();
        joining.await;
    }
    crew.board
        .sheet()
        .faults
        .add_all(&part.board.sheet().faults);
    Got {
        board: Arc::clone(&part.board),
        per_second: done / seconds.max(f64::MIN_POSITIVE),
    }
}
