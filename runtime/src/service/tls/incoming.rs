//! Handshakes, many at once and none for long.
//!
//! Each is a task of its own, so that a caller that says nothing, or a signature that takes long,
//! holds up neither the next connection nor those that are open.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, Stream};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, info, warn};

use crate::service::tls::Tls;

/// How long to wait when the system has no more connections to give, for want of file
/// descriptors or memory.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// Connections whose handshake is done. Never ends; dropping it closes the listener and whatever
/// is not done.
pub(crate) fn incoming(
    listener: TcpListener,
    tls: Arc<Tls>,
) -> impl Stream<Item = io::Result<TlsStream<TcpStream>>> {
    let handshakes = Handshakes {
        listener,
        tls,
        running: JoinSet::new(),
    };
    stream::unfold(handshakes, |mut handshakes| async {
        let done = handshakes.next().await;
        Some((Ok(done), handshakes))
    })
}

struct Handshakes {
    listener: TcpListener,
    tls: Arc<Tls>,
    running: JoinSet<Option<TlsStream<TcpStream>>>,
}

impl Handshakes {
    async fn next(&mut self) -> TlsStream<TcpStream> {
        loop {
            // At least one, or nobody ever came in.
            let room = self.tls.limits().handshakes_max.max(1);
            let has_room = self.running.len() < room;
            tokio::select! {
                Some(ended) = self.running.join_next() => match ended {
                    Ok(Some(done)) => return done,
                    Ok(None) => {}
                    Err(error) => warn!(%error, "a TLS handshake panicked"),
                },
                accepted = self.listener.accept(), if has_room => match accepted {
                    Ok((socket, peer)) => self.begin(socket, peer),
                    Err(error) if is_of_one_connection(&error) => {
                        debug!(%error, "a connection broke before it was accepted");
                    }
                    Err(error) => {
                        warn!(%error, "cannot accept connections");
                        sleep(ACCEPT_AGAIN).await;
                    }
                },
            }
        }
    }

    fn begin(&mut self, socket: TcpStream, peer: SocketAddr) {
        let acceptor = TlsAcceptor::from(self.tls.config());
        let limit = self.tls.limits().handshake_max;
        self.running.spawn(async move {
            match timeout(limit, shake(acceptor, socket)).await {
                Ok(Ok(done)) => Some(done),
                // What the other side said is wrong: an operator may have to look there.
                Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                    info!(%peer, %error, "a TLS handshake failed");
                    None
                }
                // Probes of load balancers do so all the time.
                Ok(Err(error)) => {
                    debug!(%peer, %error, "a connection broke in its TLS handshake");
                    None
                }
                Err(_) => {
                    debug!(%peer, ?limit, "a TLS handshake took too long");
                    None
                }
            }
        });
    }
}

async fn shake(acceptor: TlsAcceptor, socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    socket.set_nodelay(true)?;
    acceptor.accept(socket).await
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}
