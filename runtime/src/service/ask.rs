//! Asking a shard.

use silo_core::shard::command::Command;
use silo_core::shard::reply::Reply;

use crate::executor::shard::Shard;
use crate::service::denial::Denial;

/// Asks a shard; a refusal is a denial.
pub(crate) async fn ask(shard: &Shard, command: Command) -> Result<Reply, Denial> {
    let reply = shard.call(command).await?;
    if let Reply::Refused(refusal) = reply {
        Err(refusal.into())
    } else {
        Ok(reply)
    }
}
