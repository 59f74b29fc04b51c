//! How long a job takes when jobs come at a given rate. An open loop: jobs come by a schedule,
//! whatever became of those before, and times count from when a job was to come. So a server that
//! stalls shows in every job that was due meanwhile, and a loader that is late does too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::bench::BenchError;
use crate::bench::args::LatencyArgs;
use crate::bench::crew::{Crew, Schedule, Shift};
use crate::bench::faults::Fault;
use crate::bench::lifecycle::audit;
use crate::bench::report::{Loop, Measured};
use crate::bench::site::Site;
use crate::bench::stop::Stop;
use crate::bench::tally::Timed;

const TENANTS_DEFAULT: u32 = 16;
/// Calls that wait for their answers. A job that comes then is not sent, which is an error.
const IN_FLIGHT_MAX: u64 = 20_000;
/// From now to the first job: so that the schedule does not begin late.
pub(crate) const LEAD: Duration = Duration::from_millis(50);

/// Runs the benchmark.
///
/// # Errors
/// If there is no server, or its metrics cannot be read.
pub(crate) async fn run(args: &LatencyArgs, stop: &Stop) -> Result<Measured, BenchError> {
    let LatencyArgs {
        pace,
        workers,
        payload,
        place,
    } = args;
    let site = Site::open(place, payload.payload_bytes, TENANTS_DEFAULT, stop).await?;
    let crew = Crew::new(&site.loader, stop);
    let meter = site.meter().await?;
    let schedule = Schedule {
        began: Instant::now().checked_add(LEAD).unwrap_or(meter.began),
        rate: pace.rate,
        first: 0,
        jobs: u64::from(pace.rate).saturating_mul(pace.duration),
    };
    let shift = Shift {
        workers: workers.workers,
        tasks: workers.tasks,
        left: None,
        done: CancellationToken::new(),
        room: None,
        schedule: Some(schedule),
    };
    let working = crew.work(&shift);
    let arrivals = arrivals(schedule, stop);
    send_all(&crew, schedule, arrivals, None).await;
    crew.drained().await;
    let cost = site.cost(&meter).await?;
    shift.done.cancel();
    crew.board.join(working).await;
    audit(&crew).await;
    let parameters = [
        ("payload_bytes", u64::from(payload.payload_bytes)),
        ("rate", u64::from(pace.rate)),
        ("tasks", u64::from(workers.tasks)),
        ("tenants", place.tenant_count(TENANTS_DEFAULT)),
        ("workers", u64::from(workers.workers)),
    ];
    let mut sheet = crew.board.sheet().clone();
    sheet.jobs = crew.ledger.ended_so_far();
    let measured = Measured::new(
        "latency",
        Loop::Open,
        parameters,
        &cost,
        &sheet,
        stop.reason(),
    );
    site.close().await;
    Ok(measured)
}

/// Job numbers, each when it is due. A thread of its own keeps the time: tokio's timers are right
/// to a millisecond, which is as much as a job takes.
pub(crate) fn arrivals(schedule: Schedule, stop: &Stop) -> mpsc::UnboundedReceiver<u64> {
    let (sender, arrivals) = mpsc::unbounded_channel();
    let stop = stop.clone();
    std::thread::spawn(move || {
        for number in schedule.numbers() {
            let due = schedule.at(number);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if stop.is_over() || sender.send(number).is_err() {
                return;
            }
        }
    });
    arrivals
}

/// Sends jobs as they come, and waits for all answers. All are of the tenant whose turn it is, or
/// tenants take turns.
pub(crate) async fn send_all(
    crew: &Crew,
    schedule: Schedule,
    mut arrivals: mpsc::UnboundedReceiver<u64>,
    turn: Option<u64>,
) {
    let in_flight = Arc::new(AtomicU64::new(0));
    let mut calls = JoinSet::new();
    while let Some(number) = arrivals.recv().await {
        // Forgets those that have ended, or there would be one for every job.
        while let Some(ended) = calls.try_join_next() {
            if ended.is_err() {
                crew.board.fault(&Fault::Panicked);
            }
        }
        if in_flight.load(Ordering::Relaxed) >= IN_FLIGHT_MAX {
            crew.board.fault(&Fault::NotSent);
        } else {
            let (crew, in_flight) = (crew.clone(), Arc::clone(&in_flight));
            in_flight.fetch_add(1, Ordering::Relaxed);
            calls.spawn(async move {
                send(&crew, schedule, number, turn.unwrap_or(number)).await;
                in_flight.fetch_sub(1, Ordering::Relaxed);
            });
        }
        if crew.board.has_failed() {
            break;
        }
    }
    crew.board.join(calls).await;
}

async fn send(crew: &Crew, schedule: Schedule, number: u64, turn: u64) {
    let due = schedule.at(number);
    crew.board.record(Timed::SentLate, due.elapsed());
    let end = number.saturating_add(1);
    for result in crew.loader.enqueue(turn, number..end).await {
        match result {
            Ok(()) => {
                crew.board.record(Timed::Acknowledged, due.elapsed());
                crew.ledger.acknowledged(number);
            }
            Err(fault) => crew.board.fault(&fault),
        }
    }
}
