//! Every bound of a stage, and its policies.

use silo_core::types::retention::Retention;
use silo_core::types::time::Millis;

use crate::executor::flushing::FlushPolicy;

/// Every bound of a stage, and its policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageLimits {
    /// Commands queued or waiting for rows.
    pub commands_max: usize,
    /// Bytes of those commands.
    pub command_bytes_max: usize,
    /// Commands decided in one round.
    pub round_commands_max: usize,
    /// Bytes of a round's batch; the round that reaches this takes no further command.
    pub batch_bytes_max: usize,
    /// Bytes written and not durable; beyond this only commands that have waited for rows go on.
    pub unflushed_bytes_max: u64,
    /// Bytes of the working set.
    pub cache_bytes_max: usize,
    /// Rows of a range that are loaded at the least.
    pub read_ahead_rows: usize,
    /// A proof of ownership is good for so long: a third of a lease.
    pub proof_window: Millis,
    /// When to flush.
    pub flush: FlushPolicy,
    /// When a leased task is handed over.
    pub dispatch: Dispatch,
    /// How long jobs are kept once they have ended, unless they say so themselves.
    pub retention: Retention,
}

/// When a leased task is handed to its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispatch {
    /// Once its lease is durable.
    Durable,
    /// At once. A crash before the lease is durable can run that attempt twice.
    Speculative,
}

impl Default for StageLimits {
    fn default() -> Self {
        Self {
            commands_max: 16_384,
            command_bytes_max: 64 << 20,
            round_commands_max: 1024,
            batch_bytes_max: 8 << 20,
            unflushed_bytes_max: 64 << 20,
            cache_bytes_max: 64 << 20,
            read_ahead_rows: 64,
            proof_window: Millis::new(3_333),
            flush: FlushPolicy {
                interval: Millis::ZERO,
                bytes: 4 << 20,
            },
            dispatch: Dispatch::Durable,
            retention: Retention::FOREVER,
        }
    }
}
