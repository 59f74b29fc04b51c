//! What the tests of the executor share: a small model of storage, a world that drives a real stage
//! over it and checks what comes out, and random workloads.
// Each test binary uses a part of this.
#![allow(dead_code, unreachable_pub)]

pub mod oracle;
pub mod say;
pub mod store;
pub mod workload;
pub mod world;
