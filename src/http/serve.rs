//! The life of the server: connections are accepted until a drain has ended, and the drain has a deadline.
//!
//! axum's own `serve` waits without limit for a client that keeps a stream open, and limits neither connections nor what they keep
//! waiting for. So the loop is written out here, on hyper.

mod activity;
mod connections;
mod refusals;
mod seats;
mod socket;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use connections::Connections;

use super::app::App;
use super::routes::{probes, router};

/// Asks a server to stop: the first message begins the drain, the second cuts its grace short.
pub type Shutdown = mpsc::Receiver<()>;

/// The time that ended streams have to send their last event, and connections to close in order.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How often the memory of sessions that have expired is freed.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Serves until `shutdown`, then drains.
///
/// The server stops being ready and refuses new requests at once, while probes are still answered. Open requests have
/// `--shutdown-grace`. Then every job is told to end, which ends streams with an event. What is still open after
/// [`LAST_WORDS`] is cut off. Idle connections are kept open for a moment, so that a request
/// that is on its way is answered.
pub async fn serve(listener: TcpListener, app: Arc<App>, shutdown: Shutdown) {
    let routes = router(app.clone());
    Server { listener, routes, app, last_words: LAST_WORDS }.run(shutdown).await;
}

/// Answers probes and metrics on a listener of their own, whatever happens on the other. It ends with its caller.
pub async fn serve_probes(listener: TcpListener, app: Arc<App>) -> Infallible {
    Connections::new(listener, probes(&app), &app).accept().await
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
        let Self { listener, routes, app, last_words } = self;
        let mut connections = Connections::new(listener, routes, &app);
        tokio::select! {
            () = drain(&app, last_words, shutdown) => {}
            never = connections.accept() => match never {},
            never = sweep(&app) => match never {},
        }
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

#[cfg(test)]
mod tests;
