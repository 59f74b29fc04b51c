//! `silo limit recount`.

use clap::Parser;
use serde::Serialize;
use silo_runtime::client::Client;

use crate::connect::Connect;
use crate::exit::Exit;
use crate::failure::CallFailed;
use crate::output::{Output, Show};

/// Count anew what jobs hold of each limit, and say how many limits had counted otherwise: none,
/// unless something was damaged.
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
            0 => "no limit differed".to_owned(),
            1 => "1 limit differed and is right now".to_owned(),
            more => format!("{more} limits differed and are right now"),
        }
    }
}
