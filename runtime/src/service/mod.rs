//! The gRPC service: requests parsed, commands asked for, replies and refusals written.
//!
//! A call's way: [`gate`] (token, bounds on memory and time) → [`calls`] → [`parse`] (a message
//! becomes a core command, or is refused) → [`route`] (which shard) → the shard → [`write`] (a
//! reply becomes a message) or [`status`] (whatever was denied becomes a gRPC status).
//!
//! * [`serve`]: the server: sockets, health, reflection, draining
//! * [`options`]: its bounds
//! * [`gate`]: what every call passes before its message is read, and after
//! * [`calls`]: one method per RPC
//! * [`parse`], [`write`]: messages to commands, replies to messages
//! * [`route`]: which shard a call is for
//! * [`lease`]: tasks from several shards in fair shares
//! * [`delivery`]: tasks on their way to a worker, handed back when they do not get there
//! * [`cluster`]: what a node tells about itself
//! * [`denial`], [`status`]: every way to say no, and the one table of codes, reasons and texts

pub mod calls;
pub mod cluster;
pub mod delivery;
pub mod denial;
pub mod gate;
mod health;
mod lease;
pub mod options;
pub mod parse;
pub mod route;
pub mod serve;
pub mod status;
pub mod write;
