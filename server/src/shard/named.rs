//! Which shards a command is about.

use clap::Args;
use miette::{Diagnostic, Report};
use serde::Serialize;
use silo_runtime::client::Client;
use silo_runtime::client::error::Error as ClientError;
use silo_runtime::proto::ShardOwner;
use thiserror::Error;

use crate::exit::Exit;
use crate::failure::{About, CallFailed};
use crate::output::{Output, Show};

/// Which shards.
#[derive(Clone, Debug, Args)]
pub(crate) struct Shards {
    /// Ids of shards, or as much of each as no other begins with. Without any: all shards.
    #[arg(value_name = "SHARD")]
    shards: Vec<String>,
}

/// Why a shard that was named cannot be asked.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum ShardError {
    #[error("there is no shard {0}")]
    #[diagnostic(
        code(silo::shard::unknown),
        help("`silo shard list` shows the shards that are there")
    )]
    Unknown(String),
    #[error("several shards begin with {0}")]
    #[diagnostic(
        code(silo::shard::ambiguous),
        help("`silo shard list` shows them; write more of the id")
    )]
    Ambiguous(String),
}

/// What became of something that was asked of a shard.
#[derive(Serialize)]
struct Done {
    shard: String,
    status: String,
}

impl Show for Done {
    fn text(&self) -> String {
        format!("{}: {}", self.shard, self.status)
    }
}

impl Shards {
    /// Does it for each, one after the other. One that fails does not keep the others from being
    /// done.
    ///
    /// # Errors
    ///
    /// If a shard is not there or standard output is gone.
    pub(crate) async fn each<D>(
        &self,
        client: &Client,
        output: Output,
        act: D,
    ) -> miette::Result<Exit>
    where
        D: AsyncFn(&ShardOwner) -> Result<(), Report>,
    {
        let mut exit = Exit::Done;
        for shard in self.owners(client).await? {
            if let Err(report) = act(&shard).await {
                let id = Some(shard.shard_id);
                exit = exit.and(output.tell(&report, &About { id, line: None }));
            }
        }
        Ok(exit)
    }

    /// Asks something of each, and shows what it says became of that. `verb` is what is asked, as
    /// it goes on after "cannot".
    ///
    /// # Errors
    ///
    /// As [`Shards::each`].
    pub(crate) async fn each_status<D>(
        &self,
        client: &Client,
        output: Output,
        verb: &str,
        act: D,
    ) -> miette::Result<Exit>
    where
        D: AsyncFn(&str) -> Result<String, ClientError>,
    {
        let act = &act;
        let act = async |owner: &ShardOwner| {
            let shard = owner.shard_id.clone();
            let status = act(&shard).await;
            let status = status.map_err(CallFailed::of(format!("{verb} shard {shard}")))?;
            Ok(output.show(&Done { shard, status })?)
        };
        self.each(client, output, act).await
    }

    /// The shards that are meant.
    ///
    /// # Errors
    ///
    /// If one is not there, or the cluster's layout cannot be learnt.
    pub(crate) async fn owners(&self, client: &Client) -> miette::Result<Vec<ShardOwner>> {
        let info = client.cluster_info().await;
        let all = info
            .map_err(CallFailed::of("list the shards"))?
            .shard_owners;
        if self.shards.is_empty() {
            return Ok(all);
        }
        let mut meant = Vec::new();
        for name in &self.shards {
            meant.push(find(&all, name)?.clone());
        }
        Ok(meant)
    }
}

/// The one shard whose id begins so.
///
/// # Errors
///
/// If there is none, or there are several.
pub(crate) fn find<'a>(all: &'a [ShardOwner], name: &str) -> Result<&'a ShardOwner, ShardError> {
    let mut found = all.iter().filter(|shard| shard.shard_id.starts_with(name));
    match (found.next(), found.next()) {
        (Some(shard), None) => Ok(shard),
        (Some(_), Some(_)) => Err(ShardError::Ambiguous(name.to_owned())),
        (None, _) => Err(ShardError::Unknown(name.to_owned())),
    }
}
