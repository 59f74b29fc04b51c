//! What the tests of the executor share: a small model of storage, a world that drives a real stage
//! over it and checks what comes out, and random workloads.
// Each test binary uses a part of this.
#![allow(dead_code, unreachable_pub)]
// Numbers in tests are small, and an overflow is a failure like any other.
#![allow(clippy::arithmetic_side_effects)]

pub mod disk;
pub mod oracle;
pub mod rest;
pub mod say;
pub mod store;
pub mod watching;
pub mod workload;
pub mod world;
