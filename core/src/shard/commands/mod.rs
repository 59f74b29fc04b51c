//! The commands, one per file: what it asks, and what it decides.

pub mod cancel;
pub mod enqueue;
pub mod heartbeat;
pub mod inspect;
pub mod lease;
pub mod lease_job;
pub mod quarantine;
pub mod report;
pub mod tick;
