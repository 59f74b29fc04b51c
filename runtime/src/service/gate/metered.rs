//! A request's body, which is paid for as it arrives, and has to arrive in time.
//!
//! tonic allocates a message's whole length when it has read the five bytes in front of it (a flag
//! and the length), before any handler runs. So these five bytes are read here first: a message
//! that is too large, or for which there is no room now, is refused before a byte of it is kept.
//!
//! Memory that is allocated and not written takes addresses only. So an announcement alone costs a
//! part of its length, and the rest is paid for as it comes: who announces much and sends nothing
//! does not keep others out, and address space stays bounded as well.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http_body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use tonic::Status;
use tonic::body::Body;

use crate::service::denial::Denial;
use crate::service::gate::budget::{Budget, Reserved};

/// The flag and the length in front of each message.
const HEADER_BYTES: usize = 5;
/// What an announcement costs: its length by this.
const ANNOUNCED_PART: usize = 16;

/// What one request has taken from the budget; given back when the last clone is dropped.
#[derive(Clone, Debug, Default)]
pub struct Held(Arc<Mutex<Option<Reserved>>>);

impl Held {
    /// Gives it back before that, when the request has been read and let go of.
    pub fn give_back(&self) {
        let reserved = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(reserved);
    }
}

/// What a request's body must keep to.
#[derive(Clone, Debug)]
pub struct RequestRules {
    /// Most bytes of one request. It holds for all messages of a call together: no method takes
    /// more than one.
    pub bytes_max: usize,
    /// How long the whole request may take to arrive.
    pub arrival_max: Duration,
    /// What all requests may take.
    pub budget: Budget,
}

/// A request's body that takes from a budget what it announces and sends.
#[derive(Debug)]
pub struct Metered {
    inner: Body,
    rules: RequestRules,
    held: Held,
    header: Vec<u8>,
    /// Bytes of the message at hand that are still to come.
    rest: usize,
    /// Lengths of all messages so far.
    announced: usize,
    /// Bytes of messages that have come.
    arrived: usize,
    late: Pin<Box<Sleep>>,
}

impl Metered {
    /// Wraps a body that begins to arrive now; what it takes goes into `held`.
    #[must_use]
    pub fn new(inner: Body, rules: RequestRules, held: Held) -> Self {
        Self {
            inner,
            held,
            header: Vec::new(),
            rest: 0,
            announced: 0,
            arrived: 0,
            late: Box::pin(sleep(rules.arrival_max)),
            rules,
        }
    }

    fn pass(&mut self, data: &Bytes) -> Result<(), Denial> {
        let mut data = data.clone();
        while data.has_remaining() {
            if self.rest > 0 {
                let step = self.rest.min(data.len());
                data.advance(step);
                self.rest = self.rest.saturating_sub(step);
                self.arrived = self.arrived.saturating_add(step);
                continue;
            }
            self.header.push(data.get_u8());
            if self.header.len() == HEADER_BYTES {
                self.rest = length(&self.header);
                self.header.clear();
                self.announce()?;
            }
        }
        self.pay()
    }

    fn announce(&mut self) -> Result<(), Denial> {
        self.announced = self.announced.saturating_add(self.rest);
        let (bytes, bytes_max) = (self.announced, self.rules.bytes_max);
        if bytes > bytes_max {
            return Err(Denial::RequestTooLarge { bytes, bytes_max });
        }
        self.pay()
    }

    /// Takes what the request is worth by now.
    fn pay(&self) -> Result<(), Denial> {
        let bytes = self.arrived.max(self.announced.div_ceil(ANNOUNCED_PART));
        let mut held = self.held.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_paid = match held.as_mut() {
            Some(reserved) => reserved.grow_to(bytes),
            None => {
                *held = self.rules.budget.reserve(bytes);
                held.is_some()
            }
        };
        if is_paid {
            Ok(())
        } else {
            Err(Denial::TooManyBytes(self.rules.budget.bytes_max()))
        }
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
        if polled.is_pending() && self.late.as_mut().poll(context).is_ready() {
            let denial = Denial::RequestTooSlow(self.rules.arrival_max);
            return Poll::Ready(Some(Err(denial.into())));
        }
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
