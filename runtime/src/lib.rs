//! Silo.

pub mod storage;
