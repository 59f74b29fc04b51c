//! The simulator: a shard's real machines with everything around them, in one thread, from one
//! seed. `docs/internals/verification.md` says how to use it.
//!
//! | module | what lives there |
//! |---|---|
//! | [`plan`] | seed → configuration → plan: everything that is done to a world |
//! | [`world`] | processes, storage, network, clients, workers, on one heap of events |
//! | [`check`] | what must be true, checked while it runs |
//! | [`cover`] | what must have been seen at least once |
//! | [`campaign`], [`shrink`] | many seeds; a smaller plan that fails the same way |
//! | [`trace`] | the hash over all events, and what happened for people |
//! | [`heap`], [`clock`], [`random`] | time and chance |
//! | [`models`] | small worlds, every interleaving of them |
//!
//! No hash map with a random seed, no clock and no thread is in a world: the same plan gives the
//! same hash on every machine.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a test: its numbers are its own, and small"
)]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "an answer that is not the one expected is wrong, whichever it is"
)]

pub mod campaign;
pub mod check;
pub mod cli;
pub mod clock;
pub mod cover;
pub mod heap;
pub mod models;
pub mod plan;
pub mod random;
pub mod shrink;
pub mod trace;
pub mod world;
