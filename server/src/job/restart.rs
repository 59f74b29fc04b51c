//! `silo job restart`.

use clap::Parser;
use silo_runtime::client::Client;

use crate::connect::Connect;
use crate::exit::Exit;
use crate::failure::CallFailed;
use crate::job::each::Ids;
use crate::output::Output;

/// Run jobs again that failed or were cancelled, or give back quarantined ones.
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
            let done = client.restart(id).await;
            Ok(done.map_err(CallFailed::of(format!("restart job {id}")))?)
        };
        self.ids.each_done(output, "restarted", act).await
    }
}
