//! Reporting outcomes until they are taken.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tonic::Code;

use crate::client::Client;
use crate::client::error::Error;
use crate::client::payload;
use crate::client::task::Outcome;
use crate::client::time::later;
use crate::worker::lease::Lease;

/// How many lengths of a lease after its end an outcome is still worth reporting: the server
/// accepts it until it has recorded the end, and a shard that moved gives every lease its full
/// length anew.
const HOPE_LEASES: u32 = 5;
/// The pause between two reports.
const PAUSE: Duration = Duration::from_millis(50);
/// The code of an attempt whose outcome the server would not take.
const OUTCOME_REFUSED: &str = "OUTCOME_REFUSED";

/// Reports until the server has taken or definitely refused it, or there is no hope any more.
pub(crate) async fn report(client: &Client, lease: &Lease, mut outcome: Outcome) {
    let task = &lease.task;
    loop {
        let Err(error) = client.report(task, outcome.clone()).await else {
            return;
        };
        if let Some(smaller) = in_place_of(&outcome, &error) {
            tracing::warn!(task = %task.id, %error, "outcome refused: failing the task");
            outcome = smaller;
            continue;
        }
        if is_final(&error) {
            tracing::warn!(task = %task.id, %error, "an outcome was refused");
            return;
        }
        if Instant::now() >= hope_ends(lease) {
            tracing::warn!(task = %task.id, %error, "an outcome could not be reported");
            return;
        }
        sleep(PAUSE).await;
    }
}

fn hope_ends(lease: &Lease) -> Instant {
    later(lease.end(), lease.length.saturating_mul(HOPE_LEASES))
}

/// A result that the server does not accept, as one that is too large, must not make the task run
/// again and again until its crashes are used up.
fn in_place_of(outcome: &Outcome, error: &Error) -> Option<Outcome> {
    let refusal = error
        .refusal()
        .filter(|it| it.code == Code::InvalidArgument)?;
    match outcome {
        Outcome::Failure { code, .. } if code == OUTCOME_REFUSED => None,
        Outcome::Success(_) => Some(Outcome::failure(
            OUTCOME_REFUSED,
            payload::message(&refusal.message),
        )),
        // When it is to run again is still what its handler said.
        Outcome::Failure { retry, .. } => Some(Outcome::Failure {
            code: OUTCOME_REFUSED.to_owned(),
            data: payload::message(&refusal.message),
            retry: *retry,
        }),
        Outcome::Cancelled | Outcome::Release | Outcome::Snooze(_) => None,
    }
}

fn is_final(error: &Error) -> bool {
    match error {
        Error::Unavailable(_) | Error::OutcomeUnknown(_) | Error::Deadline => false,
        Error::Options(_) | Error::NotFound(_) | Error::AlreadyExists(_) => true,
        // These may be of the moment.
        Error::Refused(refusal) => !matches!(
            refusal.code,
            Code::Internal | Code::Unknown | Code::Cancelled | Code::ResourceExhausted
        ),
    }
}
