//! Silo.

pub mod proto;
