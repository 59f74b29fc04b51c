//! `silo limit pause`.

use clap::Parser;
use silo_runtime::client::Client;
use silo_runtime::client::limits::LimitChange;

use crate::connect::Connect;
use crate::exit::Exit;
use crate::limit::change;
use crate::output::Output;

/// Give nobody a slot of a limit until it is resumed; what holds one goes on.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Args {
    /// The limit's key.
    #[arg(value_name = "KEY")]
    key: String,

    #[command(flatten)]
    pub(crate) connect: Connect,
}

impl Args {
    pub(crate) async fn run(self, client: Client, output: Output) -> miette::Result<Exit> {
        let said = (LimitChange::Pause, "pause", "paused");
        change(&client, output, &self.key, said).await
    }
}
