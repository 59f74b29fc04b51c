//! Silo.

pub mod client;
pub mod proto;
pub mod worker;
