//! `serve`: runs the server from its configuration to its end.

use std::convert::Infallible;
use std::future::pending;
use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::failure::{Failure, Outcome};
use crate::clock::Clock;
use crate::config::Config;
use crate::http::{self, App, Shutdown};
use crate::service::Service;
use crate::telemetry;

pub(super) fn run(config: Config) -> Outcome {
    let config = config.probed()?;
    // Dropped last: what ends the process is logged too.
    let _log = telemetry::init(config.log, config.log_buffer.0)?;
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(serve(config));
    // A signal may have come while models were being loaded: the process does not wait for them.
    runtime.shutdown_background();
    outcome
}

async fn serve(config: Config) -> Outcome {
    let shutdown = signals()?;
    let listener = bind(config.listen).await?;
    let address = listener.local_addr()?;
    let probes = match config.http.metrics_listen {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let app = App::new(config, Clock::system());
    // Probes are answered from the start, everything else once the models are loaded.
    let outcome = tokio::select! {
        failed = load(app.clone(), address) => failed.map(|never| match never {}),
        () = http::serve(listener, app.clone(), shutdown) => Ok(()),
        never = serve_probes(probes, app.clone()) => match never {},
    };
    close(&app).await;
    outcome
}

/// Lets the sessions be stored, if they are and the store answers in time.
async fn close(app: &App) {
    let Ok(service) = app.service().cloned() else { return };
    if timeout(CLOSE_TIME, spawn_blocking(move || service.close())).await.is_err() {
        tracing::error!(waited = ?CLOSE_TIME, "the session store does not answer; the last changes may be lost");
    }
}

/// How long the process waits for its store before it ends.
const CLOSE_TIME: Duration = Duration::from_secs(10);

async fn bind(address: SocketAddr) -> Outcome<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| Failure::Failed(format!("cannot listen on `{address}`: {error}")))
}

async fn serve_probes(listener: Option<TcpListener>, app: Arc<App>) -> Infallible {
    match listener {
        Some(listener) => http::serve_probes(listener, app).await,
        None => pending().await,
    }
}

/// Loads the models and makes the server ready. Only ever returns a failure.
async fn load(app: Arc<App>, address: SocketAddr) -> Outcome<Infallible> {
    let loading = app.clone();
    let load = move || Service::load(&loading.config, &loading.metrics, loading.clock.clone());
    let service = spawn_blocking(load).await.map_err(|error| {
        Failure::Failed(format!("internal error: loading the models panicked: {error}"))
    })??;
    app.ready(service);
    // A server whose output was closed still serves.
    let _ = writeln!(stdout(), "listening on http://{address}").and_then(|()| stdout().flush());
    pending().await
}

/// SIGTERM and SIGINT, each as a message.
fn signals() -> Outcome<Shutdown> {
    let (sender, shutdown) = mpsc::channel(2);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            // The channel holds two; more signals are ignored.
            let _ = sender.try_send(());
        }
    });
    Ok(shutdown)
}
