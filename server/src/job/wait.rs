//! `silo job wait`.

use std::time::Duration;

use clap::Parser;
use silo_runtime::client::Client;
use silo_runtime::client::await_job::Awaited;

use crate::connect::Connect;
use crate::exit::Exit;
use crate::failure::CallFailed;
use crate::job::each::Ids;
use crate::job::view::{EndView, NotWell};
use crate::output::Output;

/// Wait until jobs have ended, and print their results.
///
/// Ends as `silo job result` does, or with 11 for a job that has not ended in time.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Args {
    #[command(flatten)]
    ids: Ids,

    /// Wait no longer than this for each job, like 30s or 5m. Without it: until the end.
    #[arg(long, value_name = "TIME", env = "SILO_WAIT_TIMEOUT",
          value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,

    #[command(flatten)]
    pub(crate) connect: Connect,
}

impl Args {
    pub(crate) async fn run(self, client: Client, output: Output) -> miette::Result<Exit> {
        let patience = self.timeout.unwrap_or(Duration::MAX);
        let act = async |id: &str| for_end(&client, id, patience).await;
        self.ids.each(output, act, EndView::show).await
    }
}

/// How a job ends.
///
/// # Errors
///
/// If it has not ended in time, or the call fails.
pub(crate) async fn for_end(
    client: &Client,
    id: &str,
    patience: Duration,
) -> miette::Result<EndView> {
    let awaited = client.await_job(id, patience).await;
    match awaited.map_err(CallFailed::of(format!("wait for job {id}")))? {
        Awaited::Ended(end) => Ok(EndView::new(end)),
        Awaited::NotYet(status) => {
            let id = id.to_owned();
            let status = status.into();
            Err(NotWell::NotYet { id, status }.into())
        }
    }
}
