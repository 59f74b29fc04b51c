//! `silo job cancel`.

use clap::Parser;
use silo_runtime::client::Client;

use crate::connect::Connect;
use crate::exit::Exit;
use crate::failure::CallFailed;
use crate::job::each::Ids;
use crate::output::Output;

/// Cancel jobs: queued ones at once; the workers of running ones are told.
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
            let done = client.cancel(id).await;
            Ok(done.map_err(CallFailed::of(format!("cancel job {id}")))?)
        };
        self.ids.each_done(output, "cancelled", act).await
    }
}
