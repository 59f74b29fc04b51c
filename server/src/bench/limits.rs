//! What limits cost: jobs of which each carries three, or many that wait in line for one slot.

use std::time::{Duration, Instant};

use crate::bench::BenchError;
use crate::bench::args::{LimitsArgs, WAITERS_DURATION_PARTS};
use crate::bench::crew::{Crew, Numbers, Wishes};
use crate::bench::enqueue::later;
use crate::bench::faults::Fault;
use crate::bench::handover::{figures, hand_over, held, report};
use crate::bench::lifecycle::life;
use crate::bench::loader::limits::Limits;
use crate::bench::report::{Loop, Measured};
use crate::bench::site::{Site, Special};
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
/// Jobs that are handed over, at most.
const HAND_OVERS_MAX: u64 = 100_000;
/// How long a worker waits for whoever is next in line.
pub(crate) const NEXT_WAIT: Duration = Duration::from_secs(5);

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
        delays: _,
    } = args;
    let bytes = load.payload.payload_bytes;
    let special = special(args, Limits::Three);
    let site = Site::open_with(place, bytes, TENANTS_DEFAULT, special, stop).await?;
    let tenants = place.tenant_count(TENANTS_DEFAULT);
    life("limits", site, amount, load, tenants, stop).await
}

fn special(args: &LimitsArgs, limits: Limits) -> Special {
    Special {
        limits,
        delays: Some(args.delays).filter(|delays| !delays.are_none()),
    }
}

/// One job ends after the other: first jobs without a limit, then as many that wait for one slot,
/// where each becomes ready when the one before it ends; while a worker waits for it, and by one
/// worker that asks for it then.
async fn line(args: &LimitsArgs, waiters: u64, stop: &Stop) -> Result<Measured, BenchError> {
    let LimitsArgs {
        amount,
        load,
        place,
        waiters: _,
        delays,
    } = args;
    let bytes = load.payload.payload_bytes;
    let free = waiters.min(FREE_MAX);
    let special = special(args, Limits::OneFrom(free));
    let site = Site::open_with(place, bytes, TENANTS_DEFAULT, special, stop).await?;
    let crew = Crew::new(&site.loader, stop);
    let part = amount.duration().checked_div(WAITERS_DURATION_PARTS);
    let part = part.unwrap_or_default();

    fill(&crew, Numbers::new(0..free), free).await;
    let free_jobs = one_by_one(&crew, Timed::CycleFree, free, part).await;
    // What is left of them goes, so that the line is all there is.
    let rest = free.saturating_sub(free_jobs);
    one_by_one(&crew, Timed::Skipped, rest, FILL_MAX).await;

    let all = free.saturating_add(waiters);
    fill(&crew, Numbers::new(free..all), all).await;
    // What is not in memory is read from the store then, as after a while.
    if let Err(fault) = crew.loader.flush_tables().await {
        crew.board.fault(&fault);
    }
    let more = all..all.saturating_add(waiters.min(HAND_OVERS_MAX));
    hand_over(&crew, more, part).await;
    let meter = site.meter().await?;
    let jobs = one_by_one(&crew, Timed::CycleInLine, waiters, part).await;
    let cost = site.cost(&meter).await?;
    let parameters = [
        ("payload_bytes", u64::from(bytes)),
        ("read_delay_ms", delays.read_delay),
        ("tenants", place.tenant_count(TENANTS_DEFAULT)),
        ("waiters", waiters),
        ("write_delay_ms", delays.write_delay),
    ];
    let mut sheet = crew.board.sheet().clone();
    sheet.jobs = jobs;
    let reason = stop.reason();
    let mut measured = Measured::new("limits", Loop::Closed, parameters, &cost, &sheet, reason);
    measured.figures = figures(&sheet);
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
        let leased = crew.loader.lease(0, 1, NEXT_WAIT).await;
        let Some(leased) = held(crew, leased) else {
            continue;
        };
        if what == Timed::CycleInLine && done > 0 {
            crew.board.record(Timed::NextInLine, began.elapsed());
        }
        report(crew, 0, &leased).await;
        if what != Timed::Skipped {
            crew.board.record(what, began.elapsed());
        }
        done = done.saturating_add(1);
    }
    done
}
