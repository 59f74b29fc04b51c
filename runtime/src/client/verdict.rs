//! What to do about an answer that is not the one hoped for.

use std::time::Duration;

use tonic::{Code, Status};

use crate::client::address::Address;
use crate::client::error::Error;

/// Whether a call may be sent again when its connection broke before the answer came, so that it
/// may have been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Doing it twice is the same as doing it once.
    Safe,
    /// The caller has to decide.
    Unsafe,
}

/// What to do next.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The node does not serve the shard; perhaps it knows who does.
    Moved(Option<Address>),
    /// Nothing was done: try again, after this pause if the server named one.
    Retry(Option<Duration>),
    /// The connection broke: it may have been done, and may be done again.
    Broken,
    /// Tell the caller.
    End(Error),
}

/// Judges a failed try.
pub(crate) fn judge(status: &Status, repeat: Repeat) -> Verdict {
    let pushback = Pushback::read(status);
    // Only what this side made itself carries a source.
    let broken = std::error::Error::source(status).is_some();
    match (status.code(), pushback) {
        (_, Pushback::Stop) => Verdict::End(Error::of_status(status)),
        (Code::NotFound, _) if status.message().contains("shard not found") => {
            Verdict::Moved(owner(status))
        }
        (Code::Unavailable, Pushback::None) => Verdict::Retry(None),
        (Code::Unavailable | Code::ResourceExhausted, Pushback::After(pause)) => {
            Verdict::Retry(Some(pause))
        }
        (Code::Cancelled, _) if status.message() == "Timeout expired" => {
            Verdict::End(Error::Deadline)
        }
        (Code::Unknown | Code::Cancelled | Code::Internal, _) if broken => match repeat {
            Repeat::Safe => Verdict::Broken,
            Repeat::Unsafe => Verdict::End(Error::OutcomeUnknown(status.message().to_owned())),
        },
        _ => Verdict::End(Error::of_status(status)),
    }
}

/// The node that the answer names instead of the asked one.
fn owner(status: &Status) -> Option<Address> {
    let text = status
        .metadata()
        .get("x-silo-shard-owner-addr")?
        .to_str()
        .ok()?;
    Address::parse(text)
        .inspect_err(|error| tracing::warn!(%error, "a node named an owner nobody can connect to"))
        .ok()
}

/// What the server says about trying again.
enum Pushback {
    None,
    After(Duration),
    /// Do not.
    Stop,
}

impl Pushback {
    fn read(status: &Status) -> Self {
        let Some(value) = status.metadata().get("grpc-retry-pushback-ms") else {
            return Self::None;
        };
        match value.to_str().ok().and_then(|text| text.parse().ok()) {
            Some(ms) => Self::After(Duration::from_millis(ms)),
            None => Self::Stop,
        }
    }
}
