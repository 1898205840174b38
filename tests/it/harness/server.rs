//! A server of one test: in its process, on a free port, over the models and the configuration that the test wants.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rnnlm_server::catalog::{Catalog, Served};
use rnnlm_server::clock::Clock;
use rnnlm_server::config::Config;
use rnnlm_server::engine::PoolStats;
use rnnlm_server::http::{App, serve};
use rnnlm_server::service::Service;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::timeout;

use super::client::{Answer, Reply, Request};
use super::models::{letters, words};

/// How long a test waits for what must happen at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a server is started with.
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
        Self { config, models: vec![words(), letters()], clock: Clock::system() }
    }
}

impl Setup {
    /// The usual one, over these models alone.
    pub(crate) fn over(models: Vec<Served>) -> Self {
        Self { models, ..Self::default() }
    }

    /// The usual one, but for what `change` does to its configuration.
    pub(crate) fn configured(change: impl FnOnce(&mut Config)) -> Self {
        let mut setup = Self::default();
        change(&mut setup.config);
        setup
    }

    /// Starts it.
    pub(crate) async fn start(self) -> Server {
        let Self { config, models, clock } = self;
        let default = models[0].name.clone();
        let catalog = Catalog::new(models, Some(&default)).unwrap();
        let app = App::new(config, clock.clone());
        let service = Service::start(&app.config, catalog, app.metrics.clone(), clock.clone()).unwrap();
        app.ready(Arc::new(service));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, shutdown) = mpsc::channel(2);
        let served = tokio::spawn(serve(listener, app.clone(), shutdown));
        Server { address, app, clock, stop, served }
    }
}

/// A running server. It ends with the test's run-time.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) app: Arc<App>,
    clock: Clock,
    stop: mpsc::Sender<()>,
    served: JoinHandle<()>,
}

impl Server {
    /// The usual one.
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

    /// Returns when so many jobs run or wait.
    pub(crate) async fn until_jobs(&self, count: usize) {
        let service = self.app.service().unwrap();
        let jobs = |stats: PoolStats| stats.running + stats.waiting;
        self.until(|| jobs(service.pool().stats()) == count).await;
    }

    /// Returns when what no message tells has come about.
    pub(crate) async fn until(&self, reached: impl Fn() -> bool) {
        let reached = async {
            while !reached() {
                yield_now().await;
            }
        };
        timeout(PATIENCE, reached).await.unwrap();
    }

    /// Moves the manual clock that the server was started with.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Asks it to stop, as a first signal does.
    pub(crate) async fn stop(&self) {
        self.stop.send(()).await.unwrap();
    }

    /// Returns when it has stopped.
    pub(crate) async fn stopped(self) {
        self.served.await.unwrap();
    }
}
