//! What can go wrong, and with which requests.

use std::io;
use std::time::Duration;

use object_store::Error;
use object_store::path::Path;

/// What is done to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not done, and an error is reported.
    Fails(Trouble),
    /// It is done, and an error is reported.
    LosesAnswer(Trouble),
    /// It is not done, and never answered, also not when the fault is over: a packet was lost.
    Hangs,
    /// It is done once the fault is over.
    Waits,
    /// It is done after so long.
    Delays(Duration),
}

/// Which error is reported, as the stores word it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Something went wrong on the other side.
    Generic,
    /// S3 asks to slow down, and `object_store` has given up repeating the request.
    Throttled,
    /// The credentials do not allow it (any more).
    Denied,
    /// No answer within the time limit of one request.
    TimedOut,
    /// Local files: no space is left on the device.
    DiskFull,
}

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// An object is written, whole or in parts.
    Put,
    /// An object, or a part of it, or what is known about it, is read.
    Get,
    /// Objects are listed.
    List,
    /// An object is deleted.
    Delete,
    /// An object is copied.
    Copy,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Put, Self::Get, Self::List, Self::Delete, Self::Copy];
}

/// Which requests a fault strikes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requests {
    operations: Vec<Operation>,
    within: String,
    times_max: u64,
    per_mille: u32,
}

impl Requests {
    /// Every request.
    #[must_use]
    pub fn all() -> Self {
        Self::of(Operation::ALL)
    }

    /// Every request of these kinds.
    #[must_use]
    pub fn of(operations: impl IntoIterator<Item = Operation>) -> Self {
        Self {
            operations: operations.into_iter().collect(),
            within: String::new(),
            times_max: u64::MAX,
            per_mille: 1000,
        }
    }

    /// Of these, only those whose path has this part.
    #[must_use]
    pub fn within(self, part: &str) -> Self {
        Self {
            within: part.to_owned(),
            ..self
        }
    }

    /// Of these, only the first so many.
    #[must_use]
    pub fn times(self, times_max: u64) -> Self {
        Self { times_max, ..self }
    }

    /// Of these, only so many of a thousand, by chance; the same ones in each run, as far as the
    /// requests are the same.
    #[must_use]
    pub fn per_mille(self, per_mille: u32) -> Self {
        Self { per_mille, ..self }
    }

    pub(crate) fn times_max(&self) -> u64 {
        self.times_max
    }

    pub(crate) fn chance(&self) -> u32 {
        self.per_mille
    }

    pub(crate) fn include(&self, operation: Operation, location: &Path) -> bool {
        self.operations.contains(&operation) && location.as_ref().contains(&self.within)
    }
}

impl Trouble {
    pub(crate) fn error(self, location: &Path) -> Error {
        let path = location.to_string();
        match self {
            Self::Generic => generic("faulty", io::Error::other("it fails on purpose")),
            Self::Throttled => generic(
                "S3",
                io::Error::other(format!(
                    "Error performing request {path} in 5.1s, after 3 retries - Server returned \
                     error response: 503 Service Unavailable: <Error><Code>SlowDown</Code>\
                     <Message>Please reduce your request rate.</Message></Error>"
                )),
            ),
            Self::Denied => Error::PermissionDenied {
                path,
                source: "403 Forbidden: AccessDenied".into(),
            },
            Self::TimedOut => generic("S3", io::ErrorKind::TimedOut.into()),
            Self::DiskFull => generic("LocalFileSystem", io::ErrorKind::StorageFull.into()),
        }
    }
}

fn generic(store: &'static str, source: io::Error) -> Error {
    Error::Generic {
        store,
        source: Box::new(source),
    }
}
