//! How many jobs are taken in a second, by callers in a closed loop.

use std::time::{Duration, Instant};

use crate::bench::args::EnqueueArgs;
use crate::bench::crew::{Crew, Numbers, Wishes};
use crate::bench::report::{Loop, Measured};
use crate::bench::site::Site;
use crate::bench::stop::Stop;
use crate::bench::{BenchError, work_off};

const TENANTS_DEFAULT: u32 = 16;

/// Runs the benchmark.
///
/// # Errors
/// If there is no server, or its metrics cannot be read.
pub(crate) async fn run(args: &EnqueueArgs, stop: &Stop) -> Result<Measured, BenchError> {
    let EnqueueArgs {
        amount,
        callers,
        payload,
        place,
    } = args;
    let site = Site::open(place, payload.payload_bytes, TENANTS_DEFAULT, stop).await?;
    let crew = Crew::new(&site.loader, stop);
    let meter = site.meter().await?;
    let calling = crew.enqueue(&Wishes {
        callers: callers.callers,
        batch: amount.batch,
        numbers: Numbers::new(0..amount.jobs.unwrap_or(u64::MAX)),
        until: later(meter.began, amount.duration()),
        room: None,
        turn: None,
    });
    crew.board.join(calling).await;
    let cost = site.cost(&meter).await?;
    let parameters = [
        ("batch", u64::from(amount.batch)),
        ("callers", u64::from(callers.callers)),
        ("payload_bytes", u64::from(payload.payload_bytes)),
        ("tenants", place.tenant_count(TENANTS_DEFAULT)),
    ];
    let sheet = crew.board.sheet().clone();
    let measured = Measured::new(
        "enqueue",
        Loop::Closed,
        parameters,
        &cost,
        &sheet,
        stop.reason(),
    );
    work_off(&site, &crew).await;
    site.close().await;
    Ok(measured)
}

/// So much later; without an end if that is not a time.
pub(crate) fn later(began: Instant, after: Duration) -> Instant {
    began.checked_add(after).unwrap_or(began)
}
