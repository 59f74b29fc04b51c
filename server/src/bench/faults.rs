//! What went wrong, counted by kind.

use std::collections::BTreeMap;

use serde::Serialize;
use silo_core::shard::refusal::Refusal;
use silo_runtime::client::error::Error as ClientError;
use silo_runtime::executor::replies::Failure;
use thiserror::Error;

/// A benchmark that met so many ends early.
pub(crate) const FAULTS_MAX: u64 = 1000;

/// Something that went wrong.
#[derive(Clone, Debug, Error)]
pub(crate) enum Fault {
    /// A call over gRPC.
    #[error(transparent)]
    Call(#[from] ClientError),
    /// A command in this process.
    #[error(transparent)]
    Command(#[from] Failure),
    /// A command that was refused.
    #[error("{0}")]
    Refused(Refusal),
    /// An answer that makes no sense.
    #[error("{0}")]
    Strange(&'static str),
    /// A job that was acknowledged and did not end.
    #[error("{0} jobs were acknowledged and did not end")]
    Lost(u64),
    /// A job that was leased or that ended more than once.
    #[error("{0} jobs were leased or ended more than once")]
    Doubled(u64),
    /// The server counts its jobs in another way.
    #[error("the server counts {total} jobs and {ended} ended ones, but there are {expected}")]
    Miscounted {
        total: u64,
        ended: u64,
        expected: u64,
    },
    /// An arrival found too many calls waiting.
    #[error("too many calls wait for their answers: this job was not sent")]
    NotSent,
    /// Tasks that should be there were not.
    #[error("a lease found no task though jobs are queued")]
    NoTask,
    /// A queue that could not be made as it was asked for.
    #[error("the queue was not full in time: {reached} of {wanted} jobs")]
    NotFilled { reached: u64, wanted: u64 },
    /// A bug in the benchmark.
    #[error("a task of the benchmark panicked")]
    Panicked,
}

impl Fault {
    pub(crate) const STRANGE_PAYLOAD: Self = Self::Strange("a payload is not what was sent");

    fn kind(&self) -> &'static str {
        match self {
            Self::Call(error) => match error {
                ClientError::Options(_) => "options",
                ClientError::NotFound(_) => "not_found",
                ClientError::AlreadyExists(_) => "already_exists",
                ClientError::Refused(_) => "refused",
                ClientError::Unavailable(_) => "unavailable",
                ClientError::OutcomeUnknown(_) => "outcome_unknown",
                ClientError::Deadline => "deadline",
            },
            Self::Command(failure) => match failure {
                Failure::Unavailable
                | Failure::Unreadable
                | Failure::Unproven
                | Failure::Opening
                | Failure::Closing => "unavailable",
                Failure::Overloaded => "overloaded",
                Failure::OutcomeUnknown => "outcome_unknown",
            },
            Self::Refused(_) => "refused",
            Self::Strange(_) => "strange",
            Self::Lost(_) => "lost",
            Self::Doubled(_) => "doubled",
            Self::Miscounted { .. } => "miscounted",
            Self::NotSent => "not_sent",
            Self::NoTask => "no_task",
            Self::NotFilled { .. } => "not_filled",
            Self::Panicked => "panicked",
        }
    }

    /// How many this stands for.
    const fn weight(&self) -> u64 {
        match self {
            Self::Lost(jobs) | Self::Doubled(jobs) => *jobs,
            Self::Call(_)
            | Self::Command(_)
            | Self::Refused(_)
            | Self::Strange(_)
            | Self::Miscounted { .. }
            | Self::NotSent
            | Self::NoTask
            | Self::NotFilled { .. }
            | Self::Panicked => 1,
        }
    }
}

/// How much went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Faults {
    pub(crate) total: u64,
    by_kind: BTreeMap<&'static str, u64>,
    /// The first of each kind, for people.
    first: BTreeMap<&'static str, String>,
}

impl Faults {
    pub(crate) fn add(&mut self, fault: &Fault) {
        let (kind, weight) = (fault.kind(), fault.weight());
        self.total = self.total.saturating_add(weight);
        let count = self.by_kind.entry(kind).or_default();
        *count = count.saturating_add(weight);
        self.first.entry(kind).or_insert_with(|| fault.to_string());
    }

    /// What went wrong elsewhere, too.
    pub(crate) fn add_all(&mut self, other: &Self) {
        self.total = self.total.saturating_add(other.total);
        for (kind, weight) in &other.by_kind {
            let count = self.by_kind.entry(kind).or_default();
            *count = count.saturating_add(*weight);
        }
        for (kind, first) in &other.first {
            self.first.entry(kind).or_insert_with(|| first.clone());
        }
    }

    pub(crate) const fn are_too_many(&self) -> bool {
        self.total >= FAULTS_MAX
    }

    /// One line for each kind.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.by_kind.iter().map(|(kind, count)| {
            let first = self.first.get(kind).map_or("", String::as_str);
            format!("{count} × {kind}: {first}")
        })
    }
}
