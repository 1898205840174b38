//! A server for one test. It runs in the test's process, on a free port, with the models and the configuration of the test.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rnnlm_server::catalog::{Catalog, Served};
use rnnlm_server::clock::Clock;
use rnnlm_server::config::Config;
use rnnlm_server::engine::PoolStats;
use rnnlm_server::error::Result;
use rnnlm_server::http::{App, serve};
use rnnlm_server::service::{self, Service};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use super::client::{Answer, Reply, Request};
use super::models::{letters, words};
use super::patience::{in_time, until};

/// The models, configuration and clock that a server is started with.
pub(crate) struct Setup {
    pub(crate) config: Config,
    /// The first is the default model.
    pub(crate) models: Vec<Served>,
    pub(crate) clock: Clock,
}

impl Default for Setup {
    fn default() -> Self {
        let mut config = Config::default();
        config.engine.engine_threads = 1;
        // How long a run takes does not shorten the next: some of them wait for the test.
        config.engine.turn_time = Duration::MAX;
        Self { config, models: vec![words(), letters()], clock: Clock::system() }
    }
}

impl Setup {
    /// The default setup with only these models.
    pub(crate) fn over(models: Vec<Served>) -> Self {
        Self { models, ..Self::default() }
    }

    /// The default setup with its configuration changed by `change`.
    pub(crate) fn configured(change: impl FnOnce(&mut Config)) -> Self {
        let mut setup = Self::default();
        change(&mut setup.config);
        setup
    }

    /// What a server answers with, if it can be started.
    pub(crate) fn try_start(self) -> Result<Arc<App>> {
        let Self { config, models, clock } = self;
        let default = models[0].name.clone();
        let catalog = Catalog::new(models, Some(&default))?;
        let keys = service::keys(&config, clock.clone())?;
        let app = App::with_keys(config, clock.clone(), keys);
        let service = Service::start(&app.config, catalog, app.metrics.clone(), clock)?;
        app.ready(Arc::new(service));
        Ok(app)
    }

    /// Starts a server.
    pub(crate) async fn start(self) -> Server {
        let clock = self.clock.clone();
        let app = self.try_start().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, shutdown) = mpsc::channel(2);
        let served = tokio::spawn(serve(listener, app.clone(), shutdown));
        Server { address, app, clock, stop, served }
    }
}

/// A running server. It ends with the test's runtime.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) app: Arc<App>,
    clock: Clock,
    stop: mpsc::Sender<()>,
    served: JoinHandle<()>,
}

impl Server {
    /// Starts a server with the default setup.
    pub(crate) async fn start() -> Self {
        Setup::default().start().await
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(&self, request: Request) -> Answer {
        request.open(self.address).await.whole().await
    }

    /// Sends a request and reads the head of the answer.
    pub(crate) async fn open(&self, request: Request) -> Reply {
        request.open(self.address).await
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.send(Request::new("GET", target)).await
    }

    pub(crate) async fn post(&self, target: &str, body: Value) -> Answer {
        self.send(Request::new("POST", target).json(&body)).await
    }

    pub(crate) async fn delete(&self, target: &str) -> Answer {
        self.send(Request::new("DELETE", target)).await
    }

    /// Waits until `count` jobs are running or waiting.
    pub(crate) async fn until_jobs(&self, count: usize) {
        let service = self.app.service().unwrap();
        let jobs = |stats: PoolStats| stats.running + stats.waiting;
        self.until(|| jobs(service.pool().stats()) == count).await;
    }

    /// Waits until `reached` returns true, for events of which no message tells the test.
    pub(crate) async fn until(&self, reached: impl Fn() -> bool) {
        until(async || reached()).await;
    }

    /// Waits until no request is open: all are answered, or the server has noticed that their clients are gone.
    pub(crate) async fn until_idle(&self) {
        in_time(self.app.idle()).await;
    }

    /// Advances the manual clock that the server was started with.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Asks the server to stop, as a first signal does.
    pub(crate) async fn stop(&self) {
        self.stop.send(()).await.unwrap();
    }

    /// Stops the server and waits until its sessions are stored, as the program does at its end.
    pub(crate) async fn close(self) {
        self.stop().await;
        let app = self.app.clone();
        self.stopped().await;
        spawn_blocking(move || app.service().unwrap().close()).await.unwrap();
    }

    /// Waits until the server has stopped.
    pub(crate) async fn stopped(self) {
        in_time(self.served).await.unwrap();
    }
}
