//! `silo job get`.

use clap::Parser;
use clap::builder::BoolishValueParser;
use silo_runtime::client::Client;

use crate::connect::Connect;
use crate::exit::Exit;
use crate::failure::CallFailed;
use crate::job::each::Ids;
use crate::job::view::JobView;
use crate::output::{Output, say};

/// Show jobs as they stand, with their attempts.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Args {
    #[command(flatten)]
    ids: Ids,

    /// Leave the attempts out.
    #[arg(long, env = "SILO_GET_NO_ATTEMPTS", value_parser = BoolishValueParser::new())]
    no_attempts: bool,

    #[command(flatten)]
    pub(crate) connect: Connect,
}

impl Args {
    pub(crate) async fn run(self, client: Client, output: Output) -> miette::Result<Exit> {
        let with_attempts = !self.no_attempts;
        let act = async |id: &str| {
            let job = client.job(id, with_attempts).await;
            let job = job.map_err(CallFailed::of(format!("get job {id}")))?;
            Ok(JobView::new(job, with_attempts))
        };
        let is_first = std::cell::Cell::new(true);
        let show = |job: JobView, output: Output| {
            if !is_first.replace(false) && output == Output::Text {
                say("")?;
            }
            output.show(&job)?;
            Ok(Exit::Done)
        };
        self.ids.each(output, act, show).await
    }
}
