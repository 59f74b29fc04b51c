//! Drivers of Silo's pure machines, and the ways to reach them.
//!
//! | module | what lives there |
//! |---|---|
//! | [`executor`] | one owner per shard: the stage without I/O, and the task that drives it |
//! | [`storage`] | shard databases on SlateDB, and the catalog of a node's shards |
//! | [`node`] | the shards of one process: opened, routed to, closed |
//! | [`service`] | the gRPC service: requests parsed, replies and refusals written |
//! | [`metrics`] | what a node counts, for whoever scrapes it |
//! | [`clock`] | the time that commands are stamped with |
//! | [`client`], [`worker`] | the Rust client, and a worker on top of it |
//! | [`trace`] | whose span a call, or a job, belongs to (W3C Trace Context) |
//! | [`pem`] | certificates and keys as server and client read them |
//! | [`proto`] | what is generated from `proto/silo.proto` |

pub mod client;
pub mod clock;
pub mod executor;
pub mod metrics;
pub mod node;
pub mod pem;
pub mod proto;
pub mod service;
pub mod storage;
pub mod trace;
pub mod worker;
