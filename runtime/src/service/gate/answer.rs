//! A response's body, which knows whether it was taken to the end, and when it has to end.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;
use tonic::body::Body;

use crate::service::answers::Paid;
use crate::service::delivery::Delivery;
use crate::service::denial::Denial;

/// A response's body.
pub struct Answer {
    inner: Body,
    /// Given back when the body is gone.
    pub(crate) permit: Option<OwnedSemaphorePermit>,
    /// Confirmed when the body was taken to its end.
    pub(crate) delivery: Option<Delivery>,
    /// The memory it takes; given back when the body is gone.
    pub(crate) paid: Option<Paid>,
    /// Ends a stream that would go on.
    pub(crate) until: Option<BoxFuture<'static, ()>>,
}

impl Answer {
    pub(crate) const fn new(inner: Body) -> Self {
        Self {
            inner,
            permit: None,
            delivery: None,
            paid: None,
            until: None,
        }
    }

    fn taken(&self) {
        if let Some(delivery) = &self.delivery {
            delivery.confirm();
        }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Ready(None) => {
                self.taken();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Ok(frame))) => {
                if frame.is_trailers() || self.inner.is_end_stream() {
                    self.taken();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(status))) => Poll::Ready(Some(Err(status))),
            Poll::Pending => {
                let Some(until) = &mut self.until else {
                    return Poll::Pending;
                };
                if until.poll_unpin(context).is_pending() {
                    return Poll::Pending;
                }
                self.until = None;
                self.inner = Body::empty();
                Poll::Ready(Some(Ok(Frame::trailers(end_of_stream()))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn end_of_stream() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    // Nobody has asked a stream to do anything that could be done twice.
    let status = Status::unavailable(Denial::ShuttingDown.to_string());
    if status.add_header(&mut trailers).is_err() {
        trailers.clear();
    }
    trailers
}
