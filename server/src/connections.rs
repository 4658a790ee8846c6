//! Accepting connections and serving HTTP on them, with a limit on everything that a client can make us wait for.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::limits::{ACCEPT_PAUSE, HANDSHAKE_WITHIN, HEAD_BYTES_MAX, HEADERS_MAX};
use crate::shared::Shared;

/// A socket that listens.
pub(crate) struct Door {
    pub(crate) listener: TcpListener,
    pub(crate) tls: Option<TlsAcceptor>,
    /// Whether even without configured tokens only the local token is let in.
    pub(crate) is_local_only: bool,
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) is_local_only: bool,
    pub(crate) is_tls: bool,
}

/// Accepts connections until the server is to stop, and lets them end in time then. Returns how many had to be cut.
pub(crate) async fn serve(door: Door, router: Router, shared: Arc<Shared>, slots: Arc<Semaphore>) -> usize {
    let door = Arc::new(door);
    let mut stopping = shared.stopping.subscribe();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&door.listener, &slots) => accepted,
            Some(_) = connections.join_next() => continue,
            _ = stopping.wait_for(|stopping| *stopping) => break,
        };
        let Some((stream, address, slot)) = accepted else { continue };
        let connection = Connection {
            peer: Peer { address, is_local_only: door.is_local_only, is_tls: door.tls.is_some() },
            router: router.clone(),
            shared: Arc::clone(&shared),
            _slot: slot,
        };
        connections.spawn(connection.run(stream, Arc::clone(&door)));
    }
    // The address is free from here on.
    drop(door);
    let deadline = Instant::now() + shared.config.shutdown_within;
    while let Ok(Some(_)) = tokio::time::timeout_at(deadline, connections.join_next()).await {}
    let cut = connections.len();
    connections.shutdown().await;
    cut
}

/// Accepts one connection, once there is a slot for it.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, address)) => Some((stream, address, slot)),
        Err(cause) => {
            // Of one connection, or that there are no more descriptors: then others have to end first.
            warn!(%cause, "cannot accept a connection");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

struct Connection {
    peer: Peer,
    router: Router,
    shared: Arc<Shared>,
    _slot: OwnedSemaphorePermit,
}

impl Connection {
    async fn run(self, stream: TcpStream, door: Arc<Door>) {
        let gauge = self.shared.metrics.connections.clone();
        gauge.inc();
        let _open = OnDrop(move || {
            gauge.dec();
        });
        let _ = stream.set_nodelay(true);
        let mut stopping = self.shared.stopping.subscribe();
        let Some(acceptor) = door.tls.clone() else {
            drop(door);
            return self.http(stream, stopping).await;
        };
        drop(door);
        let handshake = tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(stream));
        let shaken = tokio::select! {
            shaken = handshake => shaken,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        match shaken {
            Ok(Ok(stream)) => self.http(stream, stopping).await,
            Ok(Err(cause)) => debug!(peer = %self.peer.address, %cause, "no TLS connection"),
            Err(_) => debug!(peer = %self.peer.address, "the TLS handshake took too long"),
        }
    }

    async fn http<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
        self,
        stream: S,
        mut stopping: watch::Receiver<bool>,
    ) {
        let http = &self.shared.config.http;
        let stream = Stalling::new(stream, http.stall_within);
        let service = WithPeer { router: TowerToHyperService::new(self.router.clone()), peer: self.peer };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(http.header_within)
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let served = tokio::select! {
            served = connection.as_mut() => Some(served),
            _ = stopping.wait_for(|stopping| *stopping) => None,
        };
        let served = match served {
            Some(served) => served,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(cause) = served {
            debug!(peer = %self.peer.address, %cause, "a connection broke");
        }
    }
}

/// Tells requests where they come from.
struct WithPeer {
    router: TowerToHyperService<Router>,
    peer: Peer,
}

impl hyper::service::Service<Request<Incoming>> for WithPeer {
    type Response = axum::response::Response;
    type Error = std::convert::Infallible;
    type Future = <TowerToHyperService<Router> as hyper::service::Service<Request<Incoming>>>::Future;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.peer);
        self.router.call(request)
    }
}

/// Does something when it is dropped.
pub(crate) struct OnDrop<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A stream that fails when the other side takes nothing for too long.
struct Stalling<S> {
    stream: S,
    within: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> Stalling<S> {
    fn new(stream: S, within: Duration) -> Self {
        Self { stream, within, deadline: None }
    }

    /// Passes on what a write gave; one that waits has to end before the deadline.
    fn watch<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.deadline = None;
            return polled;
        }
        let within = self.within;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(within)));
        match deadline.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalling<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalling<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
