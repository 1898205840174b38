//! What every handler is given, and the phases of the server's life.

use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use tokio::sync::watch;

use super::error::{ApiError, ApiResult};
use crate::api::error::ErrorCode;
use crate::clock::Clock;
use crate::config::Config;
use crate::keys::Keys;
use crate::service::Service;
use crate::telemetry::{Metrics, Rejected, Traces};

/// The state of the router.
pub struct App {
    /// Every limit.
    pub config: Config,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// What requests are timed with.
    pub clock: Clock,
    /// Who may use the server; everybody may if there are none.
    pub keys: Option<Arc<Keys>>,
    /// Where the spans of requests go.
    pub traces: Traces,
    service: OnceLock<Arc<Service>>,
    document: Bytes,
    phase: watch::Sender<Phase>,
    open: watch::Sender<usize>,
}

/// The phases of the server's life, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Models are being loaded.
    Loading,
    /// Requests are answered.
    Ready,
    /// New requests are refused, open ones continue.
    Draining,
}

impl App {
    /// A server that is still loading, and requires no key.
    pub fn new(config: Config, clock: Clock) -> Arc<Self> {
        assert!(config.keys.api_keys.is_none(), "bug: the keys of the configuration are not read");
        Self::with_keys(config, clock, None)
    }

    /// A server that is still loading, with the keys of its configuration.
    pub fn with_keys(config: Config, clock: Clock, keys: Option<Arc<Keys>>) -> Arc<Self> {
        let document = super::document(&config).to_string().into();
        let phase = watch::Sender::new(Phase::Loading);
        let open = watch::Sender::new(0);
        let traces = Traces::start(&config.observing, &clock);
        Arc::new(Self {
            config,
            metrics: Arc::default(),
            clock,
            keys,
            traces,
            service: OnceLock::new(),
            document,
            phase,
            open,
        })
    }

    /// Requests are answered from now on, unless the server is already shutting down.
    pub fn ready(&self, service: Arc<Service>) {
        assert!(self.service.set(service).is_ok(), "bug: a server becomes ready twice");
        self.enter(Phase::Ready);
    }

    /// New requests are refused from now on.
    pub fn drain(&self) {
        self.enter(Phase::Draining);
    }

    /// The current phase.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// The phase, to wait for.
    pub fn phase_watch(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// The use cases. Fails while models are being loaded.
    pub fn service(&self) -> ApiResult<&Arc<Service>> {
        self.service.get().ok_or_else(|| refusal(Phase::Loading))
    }

    /// The OpenAPI document, as JSON.
    pub fn document(&self) -> Bytes {
        self.document.clone()
    }

    /// Counts one request as open until the returned value is dropped, or refuses it.
    pub fn admit(self: &Arc<Self>) -> ApiResult<Admitted> {
        // Counted before the phase is read: otherwise a drain that begins in between would not wait for the request.
        self.open.send_modify(|open| *open += 1);
        let admitted = Admitted(self.clone());
        match self.phase() {
            Phase::Ready => Ok(admitted),
            phase => {
                let reason = if phase == Phase::Loading { Rejected::Loading } else { Rejected::Draining };
                self.metrics.rejected(reason);
                Err(refusal(phase))
            }
        }
    }

    /// The number of requests that are open.
    pub fn open(&self) -> usize {
        *self.open.borrow()
    }

    /// Returns when no request is open.
    pub async fn idle(&self) {
        // The wait cannot fail, because `self` holds the sender.
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }

    fn enter(&self, next: Phase) {
        self.phase.send_if_modified(|phase| {
            let later = *phase < next;
            *phase = next.max(*phase);
            later
        });
    }
}

/// A request, which is open until this is dropped.
pub struct Admitted(Arc<App>);

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
    }
}

/// The error of requests that are refused in `phase`, which is not [`Phase::Ready`].
pub(super) fn refusal(phase: Phase) -> ApiError {
    match phase {
        Phase::Loading => ApiError::new(ErrorCode::Loading, "the server is still loading its models"),
        _ => ApiError::new(ErrorCode::Draining, "the server is shutting down and accepts no new requests"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::service;

    #[test]
    fn requests_are_admitted_between_loading_and_draining_only() {
        let app = App::new(Config::default(), Clock::system());
        assert_eq!(app.admit().err().unwrap().code(), ErrorCode::Loading);
        app.ready(service());
        let admitted = app.admit().unwrap();
        assert_eq!(app.open(), 1);
        app.drain();
        assert_eq!(app.admit().err().unwrap().code(), ErrorCode::Draining);
        assert_eq!(app.open(), 1, "a refused request is not open");
        drop(admitted);
        assert_eq!(app.open(), 0);
    }

    #[test]
    fn loading_that_ends_during_a_drain_does_not_make_the_server_ready() {
        let app = App::new(Config::default(), Clock::system());
        app.drain();
        app.ready(service());
        assert_eq!(app.phase(), Phase::Draining);
    }
}
