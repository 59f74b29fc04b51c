//! The state row as format 1 wrote it: read for ever, never written.

use borsh::BorshDeserialize;

use crate::table::attempt::Attempt;
use crate::table::place::Place;
use crate::table::state::{EndCode, Ended, Lease, Position, Returned, StateRow};
use crate::table::tenant::Queue;
use crate::types::retention::Retention;
use crate::types::time::{Millis, Timestamp};

/// What a row said before jobs were removed at a time.
#[derive(BorshDeserialize)]
pub(crate) struct StateRowV1 {
    position: PositionV1,
    queue: Queue,
    changed_at: Timestamp,
    attempts_ended: u32,
    attempts_before: u32,
    retries_used: u32,
    retry_delay: Millis,
    crashes: u32,
    losses: u32,
    cancel_asked_at: Option<Timestamp>,
    last: Option<Attempt>,
    returned: Option<Returned>,
}

#[derive(BorshDeserialize)]
enum PositionV1 {
    Due(Place),
    Ready(Place),
    Leased(Lease),
    Ended {
        status: Ended,
        at: Timestamp,
        code: Option<EndCode>,
    },
    Quarantined {
        at: Timestamp,
    },
}

impl StateRowV1 {
    /// The same, as this release writes it. A job that had ended stays until it is deleted.
    pub(crate) fn upgraded(self) -> StateRow {
        let position = match self.position {
            PositionV1::Due(place) => Position::Due(place),
            PositionV1::Ready(place) => Position::Ready(place),
            PositionV1::Leased(lease) => Position::Leased(lease),
            PositionV1::Ended { status, at, code } => Position::Ended {
                status,
                at,
                code,
                expires: None,
            },
            PositionV1::Quarantined { at } => Position::Quarantined { at },
        };
        StateRow {
            position,
            queue: self.queue,
            changed_at: self.changed_at,
            attempts_ended: self.attempts_ended,
            attempts_before: self.attempts_before,
            attempts_from: 1,
            retries_used: self.retries_used,
            retry_delay: self.retry_delay,
            crashes: self.crashes,
            losses: self.losses,
            cancel_asked_at: self.cancel_asked_at,
            last: self.last,
            returned: self.returned,
            retention: Retention::FOREVER,
            // Not known: its removal takes away a row that may not be there.
            has_payload_row: true,
            slots: Vec::new(),
            waited: None,
        }
    }
}
