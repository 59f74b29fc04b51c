//! How many jobs go through their whole life in a second, and that each does so once.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::bench::BenchError;
use crate::bench::args::{AmountArgs, LifecycleArgs, LoadArgs};
use crate::bench::crew::{Crew, Numbers, Shift, Wishes};
use crate::bench::enqueue::later;
use crate::bench::report::{Loop, Measured};
use crate::bench::site::Site;
use crate::bench::stop::Stop;

const TENANTS_DEFAULT: u32 = 16;
/// Jobs that have not ended: producers wait for workers beyond that, so that what is measured is
/// the whole life, and the end is near when producers stop.
const BACKLOG_MAX: usize = 20_000;

/// Runs the benchmark.
///
/// # Errors
/// If there is no server, or its metrics cannot be read.
pub(crate) async fn run(args: &LifecycleArgs, stop: &Stop) -> Result<Measured, BenchError> {
    let LifecycleArgs {
        amount,
        load,
        place,
    } = args;
    let bytes = load.payload.payload_bytes;
    let site = Site::open(place, bytes, TENANTS_DEFAULT, stop).await?;
    let tenants = place.tenant_count(TENANTS_DEFAULT);
    life("lifecycle", site, amount, load, tenants, stop).await
}

/// Jobs go through their lives on a server, which ends with them.
///
/// # Errors
/// If its metrics cannot be read.
pub(crate) async fn life(
    bench: &'static str,
    site: Site,
    amount: &AmountArgs,
    load: &LoadArgs,
    tenants: u64,
    stop: &Stop,
) -> Result<Measured, BenchError> {
    let LoadArgs {
        callers,
        workers,
        payload,
    } = load;
    let crew = Crew::new(&site.loader, stop);
    let room = Arc::new(Semaphore::new(BACKLOG_MAX));
    let meter = site.meter().await?;
    let shift = Shift {
        workers: workers.workers,
        tasks: workers.tasks,
        left: None,
        done: CancellationToken::new(),
        room: Some(Arc::clone(&room)),
        schedule: None,
    };
    let working = crew.work(&shift);
    let calling = crew.enqueue(&Wishes {
        callers: callers.callers,
        batch: amount.batch,
        numbers: Numbers::new(0..amount.jobs.unwrap_or(u64::MAX)),
        until: later(meter.began, amount.duration()),
        room: Some(room),
        turn: None,
    });
    crew.board.join(calling).await;
    crew.drained().await;
    let cost = site.cost(&meter).await?;
    shift.done.cancel();
    crew.board.join(working).await;
    audit(&crew).await;
    let parameters = [
        ("batch", u64::from(amount.batch)),
        ("callers", u64::from(callers.callers)),
        ("payload_bytes", u64::from(payload.payload_bytes)),
        ("tasks", u64::from(workers.tasks)),
        ("tenants", tenants),
        ("workers", u64::from(workers.workers)),
    ];
    let mut sheet = crew.board.sheet().clone();
    // Those that have ended, not those that were taken.
    sheet.jobs = crew.ledger.ended_so_far();
    let reason = stop.reason();
    let measured = Measured::new(bench, Loop::Closed, parameters, &cost, &sheet, reason);
    site.close().await;
    Ok(measured)
}

/// Compares what is known of every job with what the server says, once all is quiet.
pub(crate) async fn audit(crew: &Crew) {
    let totals = crew.loader.totals().await;
    let mut sheet = crew.board.sheet();
    match totals {
        Ok(totals) => crew.ledger.audit(totals, &mut sheet.faults),
        Err(fault) => {
            sheet.faults.add(&fault);
            crew.ledger.audit(None, &mut sheet.faults);
        }
    }
}
