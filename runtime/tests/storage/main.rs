//! Storage on real files and in memory: what survives, what is seen, and what is told.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets the unexpected should stop there, in helpers too"
)]

mod catalog;
mod clock;
mod compaction;
mod config;
mod fencing;
mod files;
mod layout;
mod probe;
mod range;
mod separate_log;
mod shard;
mod slatedb_overrides;
mod support;
