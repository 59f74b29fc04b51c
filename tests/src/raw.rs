//! A gRPC call by hand, on bare HTTP/2: for what a proper client would not send.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{PingPong, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::TcpStream;
use tonic::Status;

use crate::server::Trouble;

/// A connection.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Bytes>,
    /// Pings the server.
    pub ping: PingPong,
}

/// A call whose request is still being sent.
#[derive(Debug)]
pub struct Call {
    sending: SendStream<Bytes>,
    response: ResponseFuture,
}

/// An answer that has begun and is not taken.
#[derive(Debug)]
pub struct Untaken {
    /// Set when there is nothing to take.
    pub refused: Option<Status>,
    _open: (SendStream<Bytes>, Response<RecvStream>),
}

/// What a call was answered with.
#[derive(Debug)]
pub struct Answered {
    /// The messages, as they came.
    pub body: Vec<u8>,
    /// How it went.
    pub status: Status,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens, or what listens speaks no HTTP/2.
    pub async fn open(address: SocketAddr) -> Result<Self, Trouble> {
        Self::open_with_window(address, 65_535).await
    }

    /// Connects. The server may send so many bytes of each answer before it must wait.
    ///
    /// # Errors
    /// When nobody listens, or what listens speaks no HTTP/2.
    pub async fn open_with_window(address: SocketAddr, window: u32) -> Result<Self, Trouble> {
        let socket = TcpStream::connect(address).await?;
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(window);
        let (sender, mut connection) = builder.handshake(socket).await?;
        let ping = connection.ping_pong().ok_or("no pings")?;
        tokio::spawn(connection);
        let sender = sender.ready().await?;
        Ok(Self { sender, ping })
    }

    /// How many calls the server takes at once on this connection.
    #[must_use]
    pub fn streams_max(&self) -> usize {
        self.sender.current_max_send_streams()
    }

    /// Begins a call, with these headers besides the usual ones.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn call(&self, path: &str, headers: &[(&str, &str)]) -> Result<Call, Trouble> {
        let mut request = Request::post(format!("http://localhost{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut sender = self.sender.clone().ready().await?;
        let (response, sending) = sender.send_request(request.body(())?, false)?;
        Ok(Call { sending, response })
    }
}

impl Call {
    /// Sends bytes of the request as they are.
    ///
    /// # Errors
    /// When the call is over.
    pub fn send(&mut self, bytes: impl Into<Bytes>, is_last: bool) -> Result<(), Trouble> {
        Ok(self.sending.send_data(bytes.into(), is_last)?)
    }

    /// Waits until the server has begun to answer, and leaves.
    ///
    /// # Errors
    /// When the call was broken off.
    pub async fn leave_when_answered(self) -> Result<(), Trouble> {
        let Self { sending, response } = self;
        let response = response.await?;
        drop((sending, response));
        Ok(())
    }

    /// Waits until the server has begun to answer, and takes none of it.
    ///
    /// # Errors
    /// When the call was broken off.
    pub async fn begun(self) -> Result<Untaken, Trouble> {
        let Self { sending, response } = self;
        let response = response.await?;
        let refused = Status::from_header_map(response.headers());
        Ok(Untaken {
            refused,
            _open: (sending, response),
        })
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// When the call was broken off.
    pub async fn answer(self) -> Result<Answered, Trouble> {
        let response = self.response.await?;
        if let Some(status) = Status::from_header_map(response.headers()) {
            let body = Vec::new();
            return Ok(Answered { body, status });
        }
        let mut receiving = response.into_body();
        let mut body = Vec::new();
        while let Some(data) = receiving.data().await {
            let data = data?;
            receiving.flow_control().release_capacity(data.len())?;
            body.extend_from_slice(&data);
        }
        let trailers: HeaderMap = receiving.trailers().await?.unwrap_or_default();
        let status = Status::from_header_map(&trailers).ok_or("no status")?;
        Ok(Answered { body, status })
    }
}

/// A message with what stands in front of it: a flag and the length.
#[must_use]
pub fn framed(message: &[u8]) -> Vec<u8> {
    let mut bytes = header(u32::try_from(message.len()).unwrap_or(u32::MAX));
    bytes.extend_from_slice(message);
    bytes
}

/// What stands in front of a message of this length.
#[must_use]
pub fn header(length: u32) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes
}
