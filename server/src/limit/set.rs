//! `silo limit set`.

use clap::Parser;
use silo_runtime::client::Client;
use silo_runtime::client::limits::LimitChange;

use crate::connect::Connect;
use crate::exit::Exit;
use crate::limit::change;
use crate::output::Output;

/// Say how many slots a limit has, whatever enqueues say, until it is cleared.
///
/// What is lowered is taken from nobody: fewer get a slot from now on. 0 gives nobody one.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Args {
    /// The limit's key. It need not be in use.
    #[arg(value_name = "KEY")]
    key: String,

    /// How many slots.
    #[arg(value_name = "N")]
    slots: u32,

    #[command(flatten)]
    pub(crate) connect: Connect,
}

impl Args {
    pub(crate) async fn run(self, client: Client, output: Output) -> miette::Result<Exit> {
        let said = (LimitChange::Maximum(self.slots), "set", "set");
        change(&client, output, &self.key, said).await
    }
}
