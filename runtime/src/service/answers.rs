//! The memory that answers with job data take, from before they are made until they have left.
//!
//! How much a lease will take is not known before it is decided. So a call begins with a share of
//! what is free, which bounds how much its shards hand out, and settles for what its answer takes.
//! A share leaves enough for hundreds of calls at once.

use std::sync::Arc;

use tonic::Response;

use crate::service::denial::Denial;
use crate::service::gate::budget::{Budget, Reserved};

/// A call's first share: what is free by this.
const SHARE_PART: usize = 64;
/// Smallest share, in bytes. With less free than this there is nothing to begin with.
pub const SHARE_BYTES_MIN: usize = 16 << 10;

/// The memory for answers.
#[derive(Clone, Debug)]
pub struct Answers(Budget);

/// What an answer has taken, on its way out with it; given back when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Paid {
    _reserved: Arc<Reserved>,
}

impl Answers {
    /// So many bytes for all answers together.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self(Budget::new(bytes_max))
    }

    /// Begins an answer whose size is not known: takes a share, at most `wanted` bytes and at least
    /// [`SHARE_BYTES_MIN`].
    ///
    /// # Errors
    /// [`Denial::TooManyAnswerBytes`] when there is too little to begin with.
    pub fn share(&self, wanted: usize) -> Result<Reserved, Denial> {
        let share = self.0.free().checked_div(SHARE_PART).unwrap_or(0);
        let bytes = share.min(wanted).max(SHARE_BYTES_MIN);
        // Somebody may have been faster: the smallest share is tried in any case.
        self.0
            .reserve(bytes)
            .or_else(|| self.0.reserve(SHARE_BYTES_MIN))
            .ok_or_else(|| self.denial())
    }

    /// Settles a share for what the answer takes.
    ///
    /// # Errors
    /// [`Denial::TooManyAnswerBytes`] when that is more and there is not so much.
    pub fn settle(&self, mut share: Reserved, bytes: usize) -> Result<Paid, Denial> {
        share.shrink_to(bytes);
        if !share.grow_to(bytes) {
            return Err(self.denial());
        }
        let reserved = Arc::new(share);
        Ok(Paid {
            _reserved: reserved,
        })
    }

    /// Takes what an answer of known size takes.
    ///
    /// # Errors
    /// [`Denial::TooManyAnswerBytes`] when there is not so much.
    pub fn pay(&self, bytes: usize) -> Result<Paid, Denial> {
        let reserved = self.0.reserve(bytes).ok_or_else(|| self.denial())?;
        let reserved = Arc::new(reserved);
        Ok(Paid {
            _reserved: reserved,
        })
    }

    const fn denial(&self) -> Denial {
        Denial::TooManyAnswerBytes(self.0.bytes_max())
    }
}

/// An answer, and the memory that is given back once it has left.
pub(crate) fn sent_with<M>(message: M, paid: Paid) -> Response<M> {
    let mut response = Response::new(message);
    response.extensions_mut().insert(paid);
    response
}
