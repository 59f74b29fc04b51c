//! `silo limit clear`, `pause` and `resume`: what is said of one limit in a word.

use clap::Parser;
use silo_runtime::client::Client;
use silo_runtime::client::limits::LimitChange;

use crate::connect::Connect;
use crate::exit::Exit;
use crate::limit::change;
use crate::output::Output;

/// Which limit.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Args {
    /// The limit's key.
    #[arg(value_name = "KEY")]
    key: String,

    #[command(flatten)]
    connect: Connect,
}

impl Args {
    /// Says it: the change, the verb for it, and what has been done then.
    pub(crate) fn run(
        &self,
        output: Output,
        said: (LimitChange, &str, &'static str),
    ) -> miette::Result<Exit> {
        let said = async |client: Client| change(&client, output, &self.key, said).await;
        self.connect.run(said)
    }
}
