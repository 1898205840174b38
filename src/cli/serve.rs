//! `serve`: runs the server from its configuration to its end.

use std::convert::Infallible;
use std::future::pending;
use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::failure::{Failure, Outcome};
use super::{allocator, open_files};
use crate::clock::Clock;
use crate::config::Config;
use crate::http::{self, App, Shutdown};
use crate::keys::Keys;
use crate::service::{self, Service};
use crate::telemetry;

pub(super) fn run(config: Config) -> Outcome {
    allocator::give_back();
    let mut config = config.probed()?;
    // Dropped last: what ends the process is logged too.
    let _log = telemetry::init(config.log, config.log_buffer.0)?;
    config.http.max_connections = open_files::allow(config.http.max_connections);
    let runtime =
        Builder::new_multi_thread().worker_threads(config.http.network_threads).enable_all().build()?;
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
    let clock = Clock::system();
    let keys = service::keys(&config, clock.clone())?;
    let watched = watch_keys(keys.clone(), &config)?;
    let hangups = signal(SignalKind::hangup())?;
    let app = App::with_keys(config, clock, keys);
    // Probes are answered from the start, everything else once the models are loaded.
    let outcome = tokio::select! {
        failed = load(app.clone(), address) => failed.map(|never| match never {}),
        () = http::serve(listener, app.clone(), shutdown) => Ok(()),
        never = serve_probes(probes, app.clone()) => match never {},
        never = watched => match never {},
        never = watch_models(hangups, app.clone()) => match never {},
    };
    close(&app).await;
    outcome
}

/// Lets the last traces be sent, and the sessions be stored, if they are and the store answers in time.
async fn close(app: &Arc<App>) {
    let traced = app.clone();
    // A panic was logged.
    let _ = spawn_blocking(move || traced.traces.close()).await;
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

/// Reads the keys again on SIGHUP, and when their file has changed.
fn watch_keys(keys: Option<Arc<Keys>>, config: &Config) -> Outcome<impl Future<Output = Infallible> + use<>> {
    let watched = keys.map(|keys| signal(SignalKind::hangup()).map(|hangups| (keys, hangups))).transpose()?;
    let mut looks = interval(config.keys.api_keys_poll);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Ok(async move {
        let Some((keys, mut hangups)) = watched else { return pending().await };
        loop {
            let asked = tokio::select! {
                _ = hangups.recv() => true,
                _ = looks.tick() => false,
            };
            let keys = keys.clone();
            // A file may lie on a disk that is slow, or away. A panic was logged, and the keys stay.
            let _ = spawn_blocking(move || if asked { keys.reload() } else { keys.refresh() }).await;
        }
    })
}

/// Looks at the folder of models again on SIGHUP.
async fn watch_models(mut hangups: Signal, app: Arc<App>) -> Infallible {
    while hangups.recv().await.is_some() {
        let Ok(service) = app.service().cloned() else {
            tracing::warn!(
                "SIGHUP came while the models are being loaded; the folder of models is not looked at again"
            );
            continue;
        };
        // A panic was logged, and the models stay.
        let _ = spawn_blocking(move || service.refresh_models()).await;
    }
    pending().await
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
