//! Durable bytes: where a node's shards live and how one shard's database is used.
//!
//! This module knows keys, values and sequence numbers; it knows nothing of jobs. Top down:
//!
//! * [`config`]: what an operator can set, in bytes and milliseconds, with defaults;
//!   [`cloud_config`] for stores in the cloud, [`slatedb_overrides`] for SlateDB itself.
//! * [`stores`]: object stores, opened, and what they can do. Those in the cloud are opened in a
//!   crate of their own, `silo-cloud`; `files` is the local one.
//! * [`backend`]: [`backend::Storage`], the opened stores with the block cache that all shards
//!   share; [`layout`] says where in them each shard lies.
//! * [`catalog`]: [`catalog::ShardCatalog`], the fixed set of shards of a node without
//!   coordination, kept with the data.
//! * [`shard`]: [`shard::ShardStore`], one open SlateDB database; [`batch`] is what is written to
//!   it, [`read`] what is read from it, [`durable`] tells how far it is durable and when it ended.
//! * [`compaction`]: what an operator may ask of an open shard's files.
//! * [`ownership`]: what a process knows of its ownership of a shard, so that it never wins back
//!   what it has lost; `marks` remembers beside the data that a database was created or deleted.
//! * [`range`]: [`range::HashRange`], the part of the tenant-hash space that a shard owns.
//! * [`clock`]: the wall clock that is injected, and its adaption to what SlateDB insists on.
//! * [`error`]: what went wrong, by what the caller should do about it.
//! * `open`: opening a database on a clock that it accepts; `settings`: how SlateDB is set up.

pub mod backend;
pub mod batch;
pub mod catalog;
mod catalog_format;
pub mod clock;
pub mod cloud_config;
pub mod compaction;
pub mod config;
pub mod durable;
pub mod error;
mod files;
pub mod layout;
mod log_store;
pub(crate) mod marks;
mod open;
pub mod ownership;
pub mod range;
pub mod read;
mod settings;
pub mod shard;
pub mod slatedb_overrides;
pub mod stores;
