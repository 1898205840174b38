//! The use cases: a request, validated once, becomes jobs for the engine, and their results an answer.
//!
//! One file a use case. HTTP handlers and subcommands share them, so that nothing is validated, tokenised or submitted
//! in two places. Here are no status codes and no JSON, and below here nothing is validated again.

mod generate;
mod input;
mod models;
mod next;
mod observer;
mod sampling;
mod score;
mod score_stream;
mod sessions;
mod tokens;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

pub use generate::{Commit, GenerateRequest, GeneratedToken, Generating, Step};
pub use input::{Input, Source};
pub use models::ModelDescription;
pub use next::{
    Candidate, NextRequest, NextResponse, NextView, Query, Specials, ViewedCandidate, ViewedToken,
};
pub use sampling::{SamplingSpec, Unknown, Word};
pub use score::{AddEos, Carry, ScoreRequest, ScoreResponse, ScoreResult, ScoredToken, Texts, TokenLogprobs};
pub use score_stream::TextScorer;
pub use sessions::{AppendRequest, AppendResponse, CreateRequest, CreateResponse, SessionPage};
pub use tokens::{InputToken, TokenText, Tokenized};

// What requests and answers are made of besides: the edge knows use cases only.
pub use crate::catalog::{GraphLayer, GraphNetwork, GraphPort, Understanding};
pub use crate::engine::jobs::{Finish, Finished, Ranked, ReadingFailure, Scored, Vector};
pub use crate::session::{OnExisting, SessionId, SessionInfo};

use crate::catalog::{self, Catalog, Served};
use crate::clock::Clock;
use crate::config::{Config, Evict, Limits};
use crate::engine::jobs::{Reading, ReadingPlan, ReadingResult};
use crate::engine::{EngineLimits, InboxLimits, Observer, Pool, Reader, Setup, Start, Submission};
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::Kernel;
use crate::lm::LoadOptions;
use crate::session::{Lease, NewSession, SessionLimits, Sessions, Snapshot};
use crate::telemetry::{Metrics, Rejected};

/// All that answers requests: the models, the sessions, the engines, and the limits of a request.
pub struct Service {
    catalog: Catalog,
    sessions: Arc<Sessions>,
    pool: Pool,
    clock: Clock,
    limits: Limits,
    sessions_page_max: usize,
    request_timeout: Duration,
    stream_buffer: usize,
    metrics: Arc<Metrics>,
    kernel: Kernel,
    /// Long texts are tokenised on threads of their own, so many at once.
    tokenizing: Arc<Semaphore>,
}

/// How long the table remembers why a session is gone.
const GONE_TTL: Duration = Duration::from_secs(3600);

impl Service {
    /// Starts the engines, and makes the kernel of `config` that of the process.
    ///
    /// # Errors
    /// A kernel that this processor cannot run; a thread that cannot be started.
    pub fn start(config: &Config, catalog: Catalog, metrics: Arc<Metrics>, clock: Clock) -> Result<Self> {
        let engine = &config.engine;
        let kernel = Kernel::choose(engine.kernel.forced())?;
        kernel.make_current();
        let names = catalog.iter().map(|served| served.name.clone());
        let observer: Arc<dyn Observer> = Arc::new(observer::MetricsObserver::new(metrics.clone(), names));
        let inbox_limits = InboxLimits { jobs_max: engine.queue_max, bytes_max: engine.queue_bytes_max.0 };
        let engine_limits = EngineLimits {
            rows_max: engine.max_batch,
            state_bytes_max: engine.max_batch_state.0,
            prompt_tokens_alone: engine.prompt_chunk_idle,
            prompt_tokens_beside_decode: engine.prompt_chunk,
            logits_bytes_max: engine.logits_buffer.0,
            parked_max: engine.parked_max,
            stall_timeout: engine.stall_timeout,
        };
        Ok(Self {
            sessions: Sessions::new(session_limits(config), clock.clone()),
            pool: Pool::start(Setup {
                threads: engine.engine_threads,
                inbox_limits,
                limits: engine_limits,
                clock: clock.clone(),
                observer,
            })?,
            catalog,
            clock,
            limits: config.limits.clone(),
            sessions_page_max: config.sessions.sessions_page_max,
            request_timeout: config.http.request_timeout,
            stream_buffer: engine.stream_buffer,
            metrics,
            kernel,
            tokenizing: Arc::new(Semaphore::new(engine.engine_threads)),
        })
    }

    /// Loads the models that `config` names, and starts the engines. Blocks.
    ///
    /// # Errors
    /// No model could be loaded, or with `--strict` one could not; a kernel that this processor cannot run.
    pub fn load(config: &Config, metrics: &Arc<Metrics>) -> Result<Arc<Self>> {
        let kernel = Kernel::choose(config.engine.kernel.forced())?;
        let catalog = Catalog::load(&catalog::Selection {
            models: config.models.clone(),
            default_model: config.default_model.clone(),
            strict: config.strict,
            options: LoadOptions { kernel, weights: config.weights },
        })?;
        for failure in catalog.failures() {
            tracing::warn!(folder = %failure.folder.display(), error = %failure.error, "model skipped");
        }
        for served in catalog.iter() {
            for warning in served.understanding.iter().flat_map(|understanding| &understanding.warnings) {
                tracing::warn!(model = %served.name, %warning, "model loaded with a warning");
            }
        }
        let names: Vec<&str> = catalog.iter().map(|served| &*served.name).collect();
        tracing::info!(models = ?names, default = %catalog.default().name, kernel = kernel.name(), "models loaded");
        Self::start(config, catalog, metrics.clone(), Clock::system()).map(Arc::new)
    }

    /// The models.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The sessions.
    pub fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    /// The engines.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// What there is to know.
    pub fn about(&self) -> About {
        About {
            models: self.catalog.iter().map(|served| served.name.clone()).collect(),
            default_model: self.catalog.default().name.clone(),
            kernel: self.kernel.name(),
            numerics: self.kernel.numerics(),
            cpu_features: Kernel::cpu_features(),
        }
    }

    /// Writes the gauges that are known only when asked: sessions and their memory, jobs.
    pub fn observe(&self) {
        let (stats, jobs) = (self.sessions.stats(), self.pool.stats());
        for (model, &count) in &stats.by_model {
            self.metrics.model(model).sessions(count);
        }
        for (reason, &total) in &stats.closed {
            self.metrics.sessions_closed(reason.name(), total);
        }
        self.metrics.sessions_memory(stats.bytes, self.sessions.limits().bytes_max);
        self.metrics.jobs(jobs.running, jobs.waiting);
    }

    /// Ends every job, streams included, with `finish_reason: "shutdown"`. Does not wait for them.
    pub fn stop(&self) {
        self.pool.shut();
    }

    /// Hands a job to the engines.
    fn submit<T>(&self, submission: Submission, reader: Reader<T>) -> Result<Reader<T>> {
        self.pool.submit(submission, reader).inspect_err(|error| match error.kind {
            ErrorKind::Draining => self.metrics.rejected(Rejected::Draining),
            ErrorKind::QueueFull => self.metrics.rejected(Rejected::QueueFull),
            _ => {}
        })
    }

    /// Adds a session.
    fn add_session(&self, new: NewSession) -> Result<SessionInfo> {
        self.sessions.create(new).inspect_err(|error| {
            if error.kind == ErrorKind::SessionsFull {
                self.metrics.rejected(Rejected::SessionsFull);
            }
        })
    }

    /// The model that `source` means, and where a reading of it starts: a copy, which moves no session.
    fn open(&self, source: &Source) -> Result<(&Arc<Served>, Snapshot)> {
        match source {
            Source::Model(name) => {
                let served = self.catalog.get(name.as_deref())?;
                Ok((served, start_of(served)))
            }
            Source::Session { id, model } => {
                let (name, snapshot) = self.sessions.read(id)?;
                Ok((self.session_model(id, &name, model.as_deref())?, snapshot))
            }
        }
    }

    /// The right to advance the session `id`, and its model.
    fn lease(
        &self,
        id: &SessionId,
        model: Option<&str>,
        expected_position: Option<u64>,
    ) -> Result<(&Arc<Served>, Lease)> {
        let lease = self.sessions.lease(id, expected_position)?;
        let served = self.session_model(id, lease.model(), model)?;
        Ok((served, lease))
    }

    fn session_model(&self, id: &SessionId, name: &str, asked: Option<&str>) -> Result<&Arc<Served>> {
        match asked {
            Some(asked) if asked != name => Err(Error::invalid(
                "model",
                format!("`model` is `{asked}`, expected `{name}`, the model of session `{id}`"),
            )),
            _ => self.catalog.get(Some(name)),
        }
    }

    /// When a request that starts now must be done.
    fn deadline(&self, timeout: Option<Duration>) -> Instant {
        self.clock.now() + timeout.unwrap_or(self.request_timeout)
    }

    /// Runs a reading to its end.
    async fn read(
        &self,
        served: &Served,
        start: Start,
        plan: ReadingPlan,
    ) -> Result<ReadingResult, ReadingFailure> {
        let (job, plans, reader) = Reading::new(plan);
        let submission = Submission {
            name: served.name.clone(),
            identity: served.identity.clone(),
            model: served.model.clone(),
            start,
            plans,
            job: Box::new(job),
            deadline: Some(self.deadline(None)),
        };
        let failed = |error| ReadingFailure { error, position: None };
        let mut reader = self.submit(submission, reader).map_err(failed)?;
        reader.next().await.unwrap_or_else(|| {
            Err(failed(Error::internal("a bug in the server: a reading ended without a word")))
        })
    }
}

/// What the service says of itself.
#[derive(Clone, Debug)]
pub struct About {
    /// The names of the models, in order.
    pub models: Vec<Arc<str>>,
    /// The model of requests that name none.
    pub default_model: Arc<str>,
    /// The kernels' instruction set.
    pub kernel: &'static str,
    /// `fma` or `no_fma`: bit promises across machines hold within one value.
    pub numerics: &'static str,
    /// What the processor offers of that which the kernels can use.
    pub cpu_features: Vec<&'static str>,
}

/// Position 0 of a model: the state after the manifest's initial tokens.
fn start_of(served: &Served) -> Snapshot {
    Snapshot {
        state: served.start.clone(),
        identity: served.identity.clone(),
        position: 0,
        tail: served.start_tail.clone(),
    }
}

fn session_limits(config: &Config) -> SessionLimits {
    let options = &config.sessions;
    SessionLimits {
        sessions_max: options.sessions_max,
        bytes_max: options.sessions_max_bytes.0,
        ttl: options.session_ttl,
        evict: match options.evict {
            Evict::Lru => crate::session::Evict::Lru,
            Evict::None => crate::session::Evict::None,
        },
        gone_ttl: GONE_TTL,
        gone_max: options.sessions_gone_max,
    }
}
