//! How long it takes to lease one task behind many that are queued, and many that were consumed.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::bench::args::{ClaimArgs, TASKS, WORKERS};
use crate::bench::crew::{Crew, Numbers, Shift, Wishes};
use crate::bench::enqueue::later;
use crate::bench::faults::Fault;
use crate::bench::loader::Leased;
use crate::bench::report::{Loop, Measured};
use crate::bench::site::Site;
use crate::bench::stop::Stop;
use crate::bench::tally::Timed;
use crate::bench::{BenchError, work_off};

/// One queue that is deep, rather than many.
const TENANTS_DEFAULT: u32 = 1;
/// Jobs of each call that fills the queue.
const FILL_BATCH: u32 = 100;
/// Callers that fill the queue.
const FILL_CALLERS: u32 = 8;

/// Runs the benchmark.
///
/// # Errors
/// If there is no server, or its metrics cannot be read.
pub(crate) async fn run(args: &ClaimArgs, stop: &Stop) -> Result<Measured, BenchError> {
    let ClaimArgs {
        queue,
        payload,
        place,
    } = args;
    let site = Site::open(place, payload.payload_bytes, TENANTS_DEFAULT, stop).await?;
    let fill = Crew::new(&site.loader, stop);
    let wanted = queue.depth.saturating_add(queue.consumed);
    let until = later(Instant::now(), Duration::from_secs(queue.fill));
    let callers = fill.enqueue(&Wishes {
        callers: FILL_CALLERS,
        batch: FILL_BATCH,
        numbers: Numbers::new(0..wanted),
        until,
        room: None,
        turn: None,
    });
    fill.board.join(callers).await;
    let queued = fill.ledger.acknowledged_so_far();
    let consumed = consume(&fill, queued.min(queue.consumed), until).await;
    if !stop.is_over() && (queued < wanted || consumed < queue.consumed) {
        let reached = queued.min(queue.depth.saturating_add(consumed));
        fill.board.fault(&Fault::NotFilled { reached, wanted });
    }
    if let Err(fault) = site.loader.flush_tables().await {
        fill.board.fault(&fault);
    }

    let crew = Crew::new(&site.loader, stop);
    crew.board.sheet().faults = fill.board.sheet().faults.clone();
    let meter = site.meter().await?;
    let depth = queued.saturating_sub(consumed);
    let leased = claim(&crew, queue.samples.min(depth)).await;
    let cost = site.cost(&meter).await?;
    let parameters = [
        ("consumed", consumed),
        ("depth", depth),
        ("payload_bytes", u64::from(payload.payload_bytes)),
        ("tenants", place.tenant_count(TENANTS_DEFAULT)),
    ];
    let sheet = crew.board.sheet().clone();
    let measured = Measured::new(
        "claim",
        Loop::Closed,
        parameters,
        &cost,
        &sheet,
        stop.reason(),
    );
    if site.is_elsewhere() {
        report(&fill, &leased).await;
        work_off(&site, &fill).await;
    }
    site.close().await;
    Ok(measured)
}

/// Lets workers consume the head of the queue; tells how much of it.
async fn consume(fill: &Crew, tasks: u64, until: Instant) -> u64 {
    let shift = Shift {
        workers: WORKERS,
        tasks: TASKS,
        left: Some(Arc::new(AtomicU64::new(tasks))),
        done: CancellationToken::new(),
        room: None,
        schedule: None,
    };
    let workers = fill.work(&shift);
    let until = tokio::time::Instant::from_std(until);
    tokio::select! {
        () = fill.ledger.drained(tasks) => {}
        () = fill.stop.over() => {}
        () = tokio::time::sleep_until(until) => {}
    }
    shift.done.cancel();
    fill.board.join(workers).await;
    fill.ledger.ended_so_far()
}

/// Leases one task after the other.
async fn claim(crew: &Crew, samples: u64) -> Vec<Leased> {
    let mut leased = Vec::new();
    for _ in 0..samples {
        if crew.stop.is_over() || crew.board.has_failed() {
            break;
        }
        let began = Instant::now();
        let answer = crew.loader.lease(0, 1, Duration::ZERO).await;
        let took = began.elapsed();
        match answer {
            Ok(tasks) if tasks.is_empty() => crew.board.fault(&Fault::NoTask),
            Ok(tasks) => {
                crew.board.record(Timed::Lease, took);
                crew.board.job();
                leased.extend(tasks);
            }
            Err(fault) => crew.board.fault(&fault),
        }
    }
    leased
}

/// Ends what was leased.
async fn report(crew: &Crew, leased: &[Leased]) {
    let reported = crew.loader.report(0, leased).await;
    for (task, result) in leased.iter().zip(reported) {
        match (task.number, result) {
            (Some(number), Ok(())) => crew.ledger.ended(number),
            (None, _) => crew.board.fault(&Fault::STRANGE_PAYLOAD),
            (_, Err(fault)) => crew.board.fault(&fault),
        }
    }
}
