//! `silo job delete`.

use clap::Parser;
use silo_runtime::client::Client;

use crate::connect::Connect;
use crate::exit::Exit;
use crate::failure::CallFailed;
use crate::job::each::Ids;
use crate::output::Output;

/// Remove jobs that do not run, with all that they left. Unknown ones are no error.
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
            let done = client.delete(id).await;
            Ok(done.map_err(CallFailed::of(format!("delete job {id}")))?)
        };
        self.ids.each_done(output, "deleted", act).await
    }
}
