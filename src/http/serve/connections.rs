//! The open connections: accepted one after the other, each served by a task of its own.

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use tower::ServiceExt;

use super::activity::Activity;
use super::refusals::Refusals;
use super::seats::{Seat, SeatLimits, Seats, Unseated};
use super::socket::{Socket, Terms, TimeLimits};
use crate::config::HttpOptions;
use crate::http::app::App;
use crate::http::held::hold;

/// The size of hyper's read buffer, unless the limit for headers is larger.
const READ_BUFFER_BYTES_MAX: usize = 256 << 10;

/// The time before the next try when no connection can be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The part of the last words for which a connection without a request is kept open: a proxy may have sent one that is on its way, and
/// could not tell a reset from an answer that was lost.
const LINGER_PART: u32 = 20;

/// The open connections of one listener.
pub(super) struct Connections {
    listener: TcpListener,
    router: Router,
    http: http1::Builder,
    limits: TimeLimits,
    refusals: Refusals,
    seats: Arc<Seats>,
    /// Set when the server closes: how long connections without a request are kept open then.
    closing: watch::Sender<Option<Duration>>,
    open: JoinSet<()>,
}

/// A new connection.
struct Arrival {
    stream: TcpStream,
    address: IpAddr,
}

impl Connections {
    pub(super) fn new(listener: TcpListener, router: Router, app: &App) -> Self {
        let options = &app.config.http;
        Self {
            listener,
            router,
            http: protocol(options),
            limits: options.into(),
            refusals: Refusals::new(app.metrics.clone(), options.clone()),
            seats: Seats::new(SeatLimits {
                all: options.max_connections,
                peer: options.peer_connections_max(),
            }),
            closing: watch::Sender::new(None),
            open: JoinSet::new(),
        }
    }

    /// Accepts connections.
    pub(super) async fn accept(&mut self) -> Infallible {
        loop {
            let Arrival { stream, address } = self.next().await;
            // A token is a small packet: Nagle's algorithm would hold it back.
            let _ = stream.set_nodelay(true);
            match self.seat(address).await {
                Some(seat) => drop(self.open.spawn(self.connection(stream, seat))),
                None => self.refuse(stream),
            }
            while self.open.try_join_next().is_some() {}
        }
    }

    async fn next(&self) -> Arrival {
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => return Arrival { stream, address: address.ip() },
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => {
                    let evicted = self.seats.evict();
                    tracing::error!(
                        %error, evicted, connections = self.open.len(),
                        "cannot accept a connection; compare `ulimit -n` with `--max-connections`"
                    );
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// A seat for a client at `address`, after the wait for one if every connection is served. None if the address has too many.
    async fn seat(&self, address: IpAddr) -> Option<Seat> {
        loop {
            match self.seats.take(address) {
                Ok(seat) => return Some(seat),
                Err(Unseated::PeerFull) => return None,
                Err(Unseated::Full) => self.seats.changed().await,
            }
        }
    }

    fn refuse(&self, stream: TcpStream) {
        let answer = self.refusals.too_many();
        // The socket does not block, and its buffer is empty. If it cannot take the answer at once, the client gets none.
        let _ = stream.into_std().and_then(|mut stream| stream.write(&answer));
    }

    fn connection(&self, stream: TcpStream, seat: Seat) -> impl Future<Output = ()> + use<> {
        let activity = Activity::new(seat);
        let terms =
            Terms { activity: activity.clone(), limits: self.limits, refusals: self.refusals.clone() };
        let router = self.router.clone();
        let serving = activity.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let answering = serving.begin();
            let request = request.map(|body| Body::new(serving.watch(body)));
            let response = router.clone().oneshot(request);
            async move { response.await.map(|response| hold(response, answering)) }
        });
        let mut closing = self.closing.subscribe();
        let mut is_closing = closing.borrow().is_some();
        let mut http = self.http.clone();
        let connection =
            http.keep_alive(!is_closing).serve_connection(TokioIo::new(Socket::new(stream, terms)), service);
        async move {
            let mut connection = pin!(connection);
            let ended = loop {
                tokio::select! {
                    ended = connection.as_mut() => break ended,
                    () = closed(&mut closing, &activity), if !is_closing => {
                        is_closing = true;
                        connection.as_mut().graceful_shutdown();
                    }
                    // The socket says so when the connection reads from it, in the next round.
                    () = activity.seat().evicted() => {}
                }
            };
            if let Err(error) = ended {
                // The client closed the connection, was too slow or did not speak HTTP: there is nothing to do here.
                tracing::debug!(%error, "connection failed");
            }
        }
    }

    /// Accepts everything that has connected by the system's account, of which the runtime may not have heard yet.
    fn accept_rest(&mut self) -> io::Result<()> {
        let listener = std::net::TcpListener::from(self.listener.as_fd().try_clone_to_owned()?);
        loop {
            match listener.accept() {
                Ok((stream, address)) => {
                    stream.set_nonblocking(true)?;
                    let stream = TcpStream::from_std(stream)?;
                    if let Ok(seat) = self.seats.take(address.ip()) {
                        self.open.spawn(self.connection(stream, seat));
                    }
                }
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for connections to end, at most `last_words`, then cuts them off. Who connects in the meantime gets one answer, which says
    /// that the server is shutting down: a listener that is closed resets connections that it has not accepted.
    pub(super) async fn close(mut self, last_words: Duration) {
        let deadline = Instant::now() + last_words;
        self.closing.send_replace(Some(last_words / LINGER_PART));
        let mut before = std::mem::take(&mut self.open);
        let all_ended = async {
            tokio::select! {
                () = ended(&mut before) => {}
                never = self.accept() => match never {},
            }
        };
        let is_in_time = timeout_at(deadline, all_ended).await.is_ok();
        let _ = self.accept_rest();
        drop(self.listener);
        let is_in_time = timeout_at(deadline, ended(&mut self.open)).await.is_ok() && is_in_time;
        if !is_in_time {
            tracing::warn!(connections = before.len() + self.open.len(), "cutting off connections");
            before.shutdown().await;
            self.open.shutdown().await;
        }
    }
}

/// Returns when a connection must accept no further request: when the server closes, and a little later if it waits for a request.
async fn closed(closing: &mut watch::Receiver<Option<Duration>>, activity: &Activity) {
    // The guard that `wait_for` returns must not be held while the connection ends.
    let linger = closing.wait_for(Option::is_some).await.ok().and_then(|linger| *linger);
    if activity.awaited().is_some() {
        sleep(linger.unwrap_or_default()).await;
    }
}

/// Returns when all connections have ended.
async fn ended(connections: &mut JoinSet<()>) {
    while connections.join_next().await.is_some() {}
}

fn protocol(options: &HttpOptions) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        // The socket has limits of its own for headers and for idleness.
        .header_read_timeout(None)
        .max_header_size(options.max_header.0)
        .max_buf_size(READ_BUFFER_BYTES_MAX.max(options.max_header.0));
    http
}

/// Whether the client was gone before its connection was accepted.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
