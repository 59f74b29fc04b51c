//! Silo's pure state machines: every decision the server takes, as a function of rows and a
//! command.
//!
//! Nothing here does I/O, reads a clock, draws randomness or starts a thread: time, entropy and
//! identity come in with each command's [`shard::command::Stamp`]. The executor and the tests, and
//! simulator, model checker and fuzzer to come, all call the same [`shard::decide`] and
//! [`shard::fold`].
//!
//! | module | what lives there |
//! |---|---|
//! | [`types`] | the words of the domain as types: tenant, job id, task id, times, retry policy |
//! | [`table`] | the tables of a shard: key order, row codecs with versions |
//! | [`shard`] | the shard machine: commands, `decide`, `fold`, soft state |
//! | [`invariants`] | what is always true of a shard's rows, each with its sigil |

pub mod invariants;
pub mod shard;
pub mod table;
pub mod types;
