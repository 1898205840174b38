//! The life of the server: connections are accepted until a drain has ended, and the drain has a deadline.
//!
//! axum's own `serve` waits without limit for a client that keeps a stream open, and limits neither connections nor headers. So the
//! loop is written out here, on hyper.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::app::App;
use super::router;
use crate::config::HttpOptions;

/// Asks a server to stop: the first message begins the drain, the second cuts its grace short.
pub type Shutdown = mpsc::Receiver<()>;

/// The time that ended streams have to send their last event, and connections to close in order.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How often the memory of sessions that have expired is freed.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The size of hyper's read buffer, unless the limit for headers is larger.
const READ_BUFFER_BYTES_MAX: usize = 256 << 10;

/// Serves until `shutdown`, then drains.
///
/// The server stops being ready and refuses new requests at once, while probes are still answered. Open requests have
/// `--shutdown-grace`. Then every job is told to end, which ends streams with an event. What is still open after
/// [`LAST_WORDS`] is cut off. Idle connections delay nothing.
pub async fn serve(listener: TcpListener, app: Arc<App>, shutdown: Shutdown) {
    let routes = router(app.clone());
    Server { listener, routes, app, last_words: LAST_WORDS }.run(shutdown).await;
}

/// A server that does not run yet.
struct Server {
    listener: TcpListener,
    routes: Router,
    app: Arc<App>,
    last_words: Duration,
}

impl Server {
    async fn run(self, shutdown: Shutdown) {
        let Self { mut listener, routes, app, last_words } = self;
        let closing = watch::Sender::new(false);
        let mut connections = Connections::new(routes, &app.config.http, closing.subscribe());
        tokio::select! {
            () = drain(&app, last_words, shutdown) => {}
            never = connections.accept(&mut listener) => match never {},
            never = sweep(&app) => match never {},
        }
        drop(listener);
        closing.send_replace(true);
        connections.close(last_words).await;
    }
}

/// Frees the memory of sessions that have expired, in pieces, so that no request waits for all of it.
async fn sweep(app: &App) -> Infallible {
    let mut ticks = tokio::time::interval(SWEEP_EVERY);
    loop {
        ticks.tick().await;
        let Ok(service) = app.service() else { continue };
        while service.sessions().expire() {
            tokio::task::yield_now().await;
        }
    }
}

/// Returns when the server may close: nothing is open any more, or the time is up.
async fn drain(app: &App, last_words: Duration, mut shutdown: Shutdown) {
    if shutdown.recv().await.is_none() {
        // Nobody is left who could ask, so it serves until the process ends.
        return std::future::pending().await;
    }
    app.drain();
    let grace = app.config.http.shutdown_grace;
    tracing::info!(open = app.open(), ?grace, "draining");
    let in_time = tokio::select! {
        () = app.idle() => true,
        () = tokio::time::sleep(grace) => false,
        Some(()) = shutdown.recv() => false,
    };
    if !in_time {
        tracing::warn!(open = app.open(), "ending requests that are still open");
        if let Ok(service) = app.service() {
            service.stop();
        }
        let _ = timeout(last_words, app.idle()).await;
    }
}

/// The open connections.
struct Connections {
    router: Router,
    http: http1::Builder,
    closing: watch::Receiver<bool>,
    free: Arc<Semaphore>,
    open: JoinSet<()>,
}

impl Connections {
    fn new(router: Router, options: &HttpOptions, closing: watch::Receiver<bool>) -> Self {
        Self {
            router,
            http: protocol(options),
            closing,
            free: Arc::new(Semaphore::new(options.max_connections.min(Semaphore::MAX_PERMITS))),
            open: JoinSet::new(),
        }
    }

    /// Accepts connections while there are fewer than `--max-connections`.
    async fn accept(&mut self, listener: &mut TcpListener) -> Infallible {
        loop {
            let permit = self.free.clone().acquire_owned().await.expect("bug: the semaphore is never closed");
            // axum's accept waits and tries again when the process is out of file descriptors.
            let (stream, _) = Listener::accept(listener).await;
            // A token is a small packet: Nagle's algorithm would hold it back.
            let _ = stream.set_nodelay(true);
            self.open.spawn(self.connection(stream, permit));
            while self.open.try_join_next().is_some() {}
        }
    }

    fn connection(
        &self,
        stream: TcpStream,
        permit: OwnedSemaphorePermit,
    ) -> impl Future<Output = ()> + use<> {
        let service = TowerToHyperService::new(self.router.clone());
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        let mut closing = self.closing.clone();
        async move {
            let _permit = permit;
            let mut connection = pin!(connection);
            // `map(drop)`, because the guard that `wait_for` returns must not be held while the connection ends.
            let closing = async { closing.wait_for(|closing| *closing).await.map(drop) };
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                _ = closing => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                // The client closed the connection or did not speak HTTP: there is nothing to do here.
                tracing::debug!(%error, "connection failed");
            }
        }
    }

    /// Waits for connections to end, at most `last_words`, then cuts them off.
    async fn close(mut self, last_words: Duration) {
        let ended = timeout(last_words, async { while self.open.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            tracing::warn!(connections = self.open.len(), "cutting off connections");
            self.open.shutdown().await;
        }
    }
}

fn protocol(options: &HttpOptions) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_header_size(options.max_header.0)
        .max_buf_size(READ_BUFFER_BYTES_MAX.max(options.max_header.0));
    http
}

#[cfg(test)]
mod tests;
