//! `silo job result`.

use clap::Parser;
use silo_runtime::client::Client;

use crate::connect::Connect;
use crate::exit::Exit;
use crate::failure::CallFailed;
use crate::job::each::Ids;
use crate::job::view::EndView;
use crate::output::Output;

/// Print the results of jobs that have ended.
///
/// As text: the result's JSON alone; what failed is told on standard error. The exit code is 8 for
/// a job that failed, and 9 for one that was cancelled.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Args {
    #[command(flatten)]
    ids: Ids,

    #[command(flatten)]
    pub(crate) connect: Connect,
}

impl Args {
    pub(crate) async fn run(self, client: Client, output: Output) -> miette::Result<Exit> {
        let act = async |id: &str| {
            let end = client.result(id).await;
            let end = end.map_err(CallFailed::of(format!("get the result of job {id}")))?;
            Ok(EndView::new(end))
        };
        self.ids.each(output, act, EndView::show).await
    }
}
