//! A request's body, whose messages are paid for before they are received.
//!
//! tonic allocates a message's whole length when it has read the five bytes in front of it (a flag
//! and the length), before any handler runs. So these five bytes are read here first: a message
//! that is too large, or for which there is no room now, is refused before a byte of it is kept.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

use crate::service::denial::Denial;
use crate::service::gate::budget::{Budget, Reserved};

/// The flag and the length in front of each message.
const HEADER_BYTES: usize = 5;

/// What one request has taken from the budget; given back when the last clone is dropped.
#[derive(Clone, Debug, Default)]
pub struct Held(Arc<Mutex<Vec<Reserved>>>);

/// A request's body that takes from a budget what it announces.
#[derive(Debug)]
pub struct Metered {
    inner: Body,
    budget: Budget,
    message_bytes_max: usize,
    held: Held,
    header: Vec<u8>,
    /// Bytes of the message at hand that are still to come.
    rest: usize,
}

impl Metered {
    /// Wraps a body; what it takes goes into `held`.
    #[must_use]
    pub const fn new(inner: Body, budget: Budget, message_bytes_max: usize, held: Held) -> Self {
        Self {
            inner,
            budget,
            message_bytes_max,
            held,
            header: Vec::new(),
            rest: 0,
        }
    }

    fn pass(&mut self, data: &Bytes) -> Result<(), Denial> {
        let mut data = data.clone();
        while data.has_remaining() {
            if self.rest > 0 {
                let step = self.rest.min(data.len());
                data.advance(step);
                self.rest = self.rest.saturating_sub(step);
                continue;
            }
            self.header.push(data.get_u8());
            if self.header.len() == HEADER_BYTES {
                let length = length(&self.header);
                self.header.clear();
                self.announce(length)?;
                self.rest = length;
            }
        }
        Ok(())
    }

    fn announce(&self, bytes: usize) -> Result<(), Denial> {
        if bytes > self.message_bytes_max {
            let bytes_max = self.message_bytes_max;
            return Err(Denial::RequestTooLarge { bytes, bytes_max });
        }
        let reserved = self
            .budget
            .reserve(bytes)
            .ok_or(Denial::TooManyBytes(self.budget.bytes_max()))?;
        let mut held = self.held.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.push(reserved);
        Ok(())
    }
}

fn length(header: &[u8]) -> usize {
    let bytes = header.iter().skip(1);
    bytes.fold(0, |sum: usize, byte| {
        sum.saturating_mul(256).saturating_add(usize::from(*byte))
    })
}

impl http_body::Body for Metered {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
            && let Err(denial) = self.pass(data)
        {
            return Poll::Ready(Some(Err(denial.into())));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
