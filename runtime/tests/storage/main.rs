//! Storage on real files and in memory: what survives, what is seen, and what is told.

mod catalog;
mod clock;
mod config;
mod fencing;
mod range;
mod shard;
mod support;
