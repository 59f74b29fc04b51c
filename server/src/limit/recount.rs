//! `silo limit recount`.

use clap::Parser;
use serde::Serialize;
use silo_runtime::client::Client;

use crate::connect::Connect;
use crate::exit::Exit;
use crate::failure::CallFailed;
use crate::output::{Output, Show};

/// Count anew what jobs hold of each limit and who waits for it, and say how many limits and lines
/// of waiting jobs differed: none, unless something was damaged.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) connect: Connect,
}

#[derive(Serialize)]
struct Recounted {
    differed: u64,
}

impl Args {
    pub(crate) async fn run(self, client: Client, output: Output) -> miette::Result<Exit> {
        let differed = client.recount_limits().await;
        let differed = differed.map_err(CallFailed::of("count the limits anew"))?;
        output.show(&Recounted { differed })?;
        Ok(Exit::Done)
    }
}

impl Show for Recounted {
    fn text(&self) -> String {
        match self.differed {
            0 => "nothing differed".to_owned(),
            1 => "1 limit or line of jobs differed and is right now".to_owned(),
            more => format!("{more} limits or lines of jobs differed and are right now"),
        }
    }
}
