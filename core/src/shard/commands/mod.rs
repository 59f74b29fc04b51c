//! The commands, one per file: what it asks, and what it decides.

pub mod cancel;
pub mod delete;
pub mod enqueue;
pub mod expedite;
pub mod explain;
pub mod heartbeat;
pub mod import;
pub mod inspect;
pub mod lease;
pub mod lease_job;
pub mod list;
pub mod list_limits;
pub mod pause;
pub mod quarantine;
pub mod recount;
pub mod report;
pub mod restart;
pub mod set_limit;
pub mod show_limit;
pub mod tenant;
pub mod tick;
