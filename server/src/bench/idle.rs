//! What a server costs that has nothing to do.

use std::time::Duration;

use tokio::time::sleep;

use crate::bench::BenchError;
use crate::bench::args::IdleArgs;
use crate::bench::report::{Loop, Measured};
use crate::bench::site::Site;
use crate::bench::stop::Stop;
use crate::bench::tally::Sheet;

const TENANTS_DEFAULT: u32 = 16;
/// A server that was just started still has to do with that.
const SETTLE: Duration = Duration::from_secs(2);

/// Runs the benchmark.
///
/// # Errors
/// If there is no server, or its metrics cannot be read.
pub(crate) async fn run(args: &IdleArgs, stop: &Stop) -> Result<Measured, BenchError> {
    let site = Site::open(&args.place, 16, TENANTS_DEFAULT, stop).await?;
    wait(SETTLE, stop).await;
    let meter = site.meter().await?;
    wait(Duration::from_secs(args.duration), stop).await;
    let cost = site.cost(&meter).await?;
    let sheet = Sheet::default();
    let tenants = args.place.tenant_count(TENANTS_DEFAULT);
    let parameters = [("tenants", tenants)];
    let measured = Measured::new("idle", Loop::None, parameters, &cost, &sheet, stop.reason());
    site.close().await;
    Ok(measured)
}

async fn wait(time: Duration, stop: &Stop) {
    tokio::select! {
        () = stop.over() => {}
        () = sleep(time) => {}
    }
}
