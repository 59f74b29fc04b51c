//! What limits cost: jobs of which each carries three, or many that wait in line for one slot.

use std::time::{Duration, Instant};

use crate::bench::BenchError;
use crate::bench::args::{LimitsArgs, WAITERS_DURATION_PARTS};
use crate::bench::crew::{Crew, Numbers, Wishes};
use crate::bench::enqueue::later;
use crate::bench::faults::Fault;
use crate::bench::lifecycle::life;
use crate::bench::loader::limits::Limits;
use crate::bench::report::{Loop, Measured};
use crate::bench::site::Site;
use crate::bench::stop::Stop;
use crate::bench::tally::Timed;
use crate::bench::work_off;

/// Limits are a tenant's own: with one tenant all jobs want the same 24.
const TENANTS_DEFAULT: u32 = 1;
/// Jobs of each call that makes the line.
const FILL_BATCH: u32 = 100;
/// Callers that make the line.
const FILL_CALLERS: u32 = 8;
/// Making the line is given up after so long.
const FILL_MAX: Duration = Duration::from_secs(300);
/// Jobs without a limit that are worked on first, at most.
const FREE_MAX: u64 = 100_000;
/// How long a worker waits for whoever is next in line.
const NEXT_WAIT: Duration = Duration::from_secs(5);

/// Runs the benchmark.
///
/// # Errors
/// If there is no server, or its metrics cannot be read.
pub(crate) async fn run(args: &LimitsArgs, stop: &Stop) -> Result<Measured, BenchError> {
    match args.waiters {
        None => three(args, stop).await,
        Some(waiters) => line(args, waiters, stop).await,
    }
}

/// Whole lives of jobs that want three limits each.
async fn three(args: &LimitsArgs, stop: &Stop) -> Result<Measured, BenchError> {
    let LimitsArgs {
        amount,
        load,
        place,
        waiters: _,
    } = args;
    let bytes = load.payload.payload_bytes;
    let site = Site::open_with(place, bytes, TENANTS_DEFAULT, Limits::Three, stop).await?;
    let tenants = place.tenant_count(TENANTS_DEFAULT);
    life("limits", site, amount, load, tenants, stop).await
}

/// One worker that ends one job after the other: first jobs without a limit, then as many that wait
/// for one slot, where each becomes ready when the one before it ends.
async fn line(args: &LimitsArgs, waiters: u64, stop: &Stop) -> Result<Measured, BenchError> {
    let LimitsArgs {
        amount,
        load,
        place,
        waiters: _,
    } = args;
    let bytes = load.payload.payload_bytes;
    let free = waiters.min(FREE_MAX);
    let limits = Limits::OneFrom(free);
    let site = Site::open_with(place, bytes, TENANTS_DEFAULT, limits, stop).await?;
    let crew = Crew::new(&site.loader, stop);
    let half = amount.duration().checked_div(WAITERS_DURATION_PARTS);
    let half = half.unwrap_or_default();

    fill(&crew, Numbers::new(0..free), free).await;
    let free_jobs = one_by_one(&crew, Timed::CycleFree, free, half).await;
    // What is left of them goes, so that the line is all there is.
    let rest = free.saturating_sub(free_jobs);
    one_by_one(&crew, Timed::Skipped, rest, FILL_MAX).await;

    let all = free.saturating_add(waiters);
    fill(&crew, Numbers::new(free..all), all).await;
    let meter = site.meter().await?;
    let jobs = one_by_one(&crew, Timed::CycleInLine, waiters, half).await;
    let cost = site.cost(&meter).await?;
    let parameters = [
        ("payload_bytes", u64::from(bytes)),
        ("tenants", place.tenant_count(TENANTS_DEFAULT)),
        ("waiters", waiters),
    ];
    let mut sheet = crew.board.sheet().clone();
    sheet.jobs = jobs;
    let reason = stop.reason();
    let measured = Measured::new("limits", Loop::Closed, parameters, &cost, &sheet, reason);
    work_off(&site, &crew).await;
    site.close().await;
    Ok(measured)
}

async fn fill(crew: &Crew, numbers: std::sync::Arc<Numbers>, wanted: u64) {
    let callers = crew.enqueue(&Wishes {
        callers: FILL_CALLERS,
        batch: FILL_BATCH,
        numbers,
        until: later(Instant::now(), FILL_MAX),
        room: None,
        turn: None,
    });
    crew.board.join(callers).await;
    let reached = crew.ledger.acknowledged_so_far();
    if reached < wanted && !crew.stop.is_over() {
        crew.board.fault(&Fault::NotFilled { reached, wanted });
    }
}

/// Leases and reports so many jobs, one after the other, for so long; tells how many it were.
async fn one_by_one(crew: &Crew, what: Timed, jobs: u64, during: Duration) -> u64 {
    let until = later(Instant::now(), during);
    let mut done: u64 = 0;
    while done < jobs && Instant::now() < until && !crew.stop.is_over() && !crew.board.has_failed()
    {
        let began = Instant::now();
        let leased = match crew.loader.lease(0, 1, NEXT_WAIT).await {
            Ok(leased) if leased.is_empty() => {
                crew.board.fault(&Fault::NoTask);
                continue;
            }
            Ok(leased) => leased,
            Err(fault) => {
                crew.board.fault(&fault);
                continue;
            }
        };
        if what == Timed::CycleInLine && done > 0 {
            crew.board.record(Timed::NextInLine, began.elapsed());
        }
        for number in leased.iter().filter_map(|task| task.number) {
            crew.ledger.leased(number);
        }
        let results = crew.loader.report(0, &leased).await;
        if what != Timed::Skipped {
            crew.board.record(what, began.elapsed());
        }
        for (task, result) in leased.iter().zip(results) {
            match (task.number, result) {
                (Some(number), Ok(())) => crew.ledger.ended(number),
                (None, _) => crew.board.fault(&Fault::STRANGE_PAYLOAD),
                (_, Err(fault)) => crew.board.fault(&fault),
            }
        }
        done = done.saturating_add(1);
    }
    done
}
