//! The use cases, one file each: a request is validated once, runs as jobs of the engine, and their results become the answer.
//!
//! Requests and answers are the types of [`crate::api`]. HTTP handlers and subcommands share the use cases, so that nothing is
//! validated, tokenised or submitted in two places. There are no status codes here, and below here nothing is validated
//! again. [`work`] hands jobs to the engine.

mod aac;
mod append;
mod asked;
mod beside;
mod bounds;
mod cache;
mod caller;
mod changing;
mod compress;
mod explain;
mod failure;
mod generate;
mod info;
mod input;
mod memory;
mod mixed;
mod models;
mod neighbors;
mod next;
mod observer;
mod openai;
mod question;
mod refusal;
mod rescore;
mod rewind;
mod room;
mod sampling;
mod score;
mod sessions;
mod state;
mod stats;
mod storing;
mod suggest;
mod target;
mod threads;
mod tokens;
mod voices;
mod word;
mod work;

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use aac::Predicted;
pub use asked::{Asked, Timings};
pub use caller::keys;
pub use changing::Refreshed;
pub use compress::{CODING_JOBS, Compressor, Decompressor, Watch, Whole, cut, divide};
pub use explain::Explained;
pub use failure::{WriteFailure, detail};
pub use generate::{Events, Generating};
pub use input::check_token;
pub use models::onnx_graph;
pub use openai::{Completing, CompletionEvents};
pub use rescore::{Rescorer, RescoringPlan};
pub use room::{AskedBeside, Returning, Room};
pub use score::{TextScorer, add_tally, figures, no_token};
pub use sessions::check_session_id;
pub use state::Imported;

use crate::budget::{Budget, Purpose};
use crate::catalog::{self, Catalog, Registry, Served, load_folder};
use crate::clock::Clock;
use crate::config::{Config, Evict};
use crate::engine::{EngineLimits, InboxLimits, Observer, Pool, Setup};
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::Kernel;
use crate::lm::LoadOptions;
use crate::session::{OwnerLimits, SessionLimits, Sessions};
use crate::telemetry::{MemoryFigures, Metrics};
use caller::Caller;
use changing::Changing;
use storing::{Keeping, Kept, Storing};
use threads::Threads;

/// What answers requests: on behalf of a caller; for one request, or for whoever has none.
#[derive(Clone)]
pub struct Service {
    shared: Arc<Shared>,
    /// Those of the caller.
    sessions: Sessions,
    caller: Caller,
    /// The request that is answered.
    asked: Option<Arc<Asked>>,
    /// When its time began; `None` if each piece of work has a time of its own.
    arrived: Option<Instant>,
}

/// What all callers share: the models, the engines, and every limit.
pub struct Shared {
    registry: Arc<Registry>,
    /// Held while models are changed.
    changing: Changing,
    pool: Pool,
    /// Writes sessions to a store, if there is one. Dropped after the engines, whose jobs put sessions back.
    storing: Option<Storing>,
    clock: Clock,
    started: Instant,
    config: Config,
    metrics: Arc<Metrics>,
    kernel: Kernel,
    /// Tokenise long texts.
    tokenizing: Threads,
    /// Limits what is computed beside the engines.
    beside: beside::Beside,
    /// The memory of requests.
    budget: Arc<Budget>,
}

impl Deref for Service {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

/// How long the table remembers why a session no longer exists.
const GONE_TTL: Duration = Duration::from_secs(3600);

impl Service {
    /// Starts the engines, and makes the kernel of `config` that of the process.
    ///
    /// # Errors
    /// A kernel that this processor cannot run; a thread that cannot be started; a store of sessions that cannot be used.
    pub fn start(config: &Config, catalog: Catalog, metrics: Arc<Metrics>, clock: Clock) -> Result<Self> {
        let engine = &config.engine;
        let kernel = Kernel::choose(engine.kernel.forced())?;
        kernel.make_current();
        metrics.runs_on(kernel.name());
        let observer: Arc<dyn Observer> = Arc::new(observer::MetricsObserver(metrics.clone()));
        let budget = memory::budget(config);
        let catalog = catalog.holding(|served| memory::of_model(&budget, served));
        // From the start, so that a rate can be taken of the first increase.
        catalog.iter().for_each(|served| drop(metrics.model(&served.name)));
        let registry = Arc::new(Registry::new(catalog));
        let inbox_limits = InboxLimits {
            jobs_max: engine.queue_max,
            bytes_max: engine.queue_bytes_max.0,
            wait_max: engine.queue_wait,
            rows_max: engine.max_batch,
            state_bytes_max: engine.max_batch_state.0,
            turn_steps: engine.turn_steps,
        };
        let engine_limits = EngineLimits {
            rows_max: engine.max_batch,
            state_bytes_max: engine.max_batch_state.0,
            turn_steps: engine.turn_steps,
            turn_steps_idle: engine.turn_steps_idle,
            idle_after: engine.turn_idle_after,
            turn_time: engine.turn_time,
            place_wait: engine.place_wait,
            running_max: engine.running_max,
            logits_bytes_max: engine.logits_buffer.0,
            parked_max: engine.parked_max,
            stall_timeout: engine.stall_timeout,
        };
        let limits = session_limits(config);
        let keeping = Keeping { config, limits, models: &registry, metrics: &metrics, clock: &clock };
        let Kept { sessions, storing } = keeping.open()?;
        let shared = Shared {
            storing,
            pool: Pool::start(Setup {
                threads: engine.engine_threads,
                // A model that it runs may be loaded later.
                runs_tract: cfg!(feature = "tract"),
                spin: engine.spin(),
                inbox_limits,
                limits: engine_limits,
                clock: clock.clone(),
                observer,
            })?,
            registry,
            changing: Changing::default(),
            started: clock.now(),
            clock,
            config: config.clone(),
            metrics,
            kernel,
            beside: beside::Beside::new(engine),
            tokenizing: Threads::new(engine.engine_threads, "the tokenizer"),
            budget,
        };
        let shared = Arc::new(shared);
        Ok(Self { shared, sessions, caller: Caller::default(), asked: None, arrived: None })
    }

    /// Loads the models that `config` names, and starts the engines. Blocks.
    ///
    /// # Errors
    /// When no model could be loaded, or with `--strict` when one could not; when this processor cannot run the kernel.
    pub fn load(config: &Config, metrics: &Arc<Metrics>, clock: Clock) -> Result<Arc<Self>> {
        let catalog = Catalog::load(&catalog::Selection {
            models: config.models.clone(),
            default_model: config.default_model.clone(),
            strict: config.strict,
            loading: config.loading(load_options(config)?),
        })?;
        Self::over(config, catalog, metrics, clock)
    }

    /// Loads the model in each of `folders`, and starts the engines. Blocks.
    ///
    /// # Errors
    /// A folder that is not a model; two models of one name; when this processor cannot run the kernel.
    pub fn load_each(config: &Config, folders: &[PathBuf], clock: Clock) -> Result<Arc<Self>> {
        let loading = config.loading(load_options(config)?);
        let served = folders.iter().map(|folder| load_folder(folder, loading.clone()));
        let served: Vec<Served> = served.collect::<Result<_>>()?;
        for (index, one) in served.iter().enumerate() {
            if served[..index].iter().any(|other| other.name == one.name) {
                let message =
                    format!("two of the models are named `{}`; each must have a name of its own", one.name);
                return Err(Error::new(ErrorKind::Config, message));
            }
        }
        Self::over(config, Catalog::new(served, None)?, &Arc::default(), clock)
    }

    fn over(config: &Config, catalog: Catalog, metrics: &Arc<Metrics>, clock: Clock) -> Result<Arc<Self>> {
        for failure in catalog.failures() {
            tracing::warn!(folder = %failure.folder.display(), error = %failure.error, "model skipped");
        }
        catalog.iter().for_each(|served| changing::warn_of(served));
        let names: Vec<&str> = catalog.iter().map(|served| &*served.name).collect();
        let kernel = Kernel::choose(config.engine.kernel.forced())?;
        tracing::info!(models = ?names, default = %catalog.default().name, kernel = kernel.name(), "models loaded");
        let service = Self::start(config, catalog, metrics.clone(), clock)?;
        service.set_aside(memory::resident().unwrap_or_default());
        Ok(Arc::new(service))
    }

    /// Every option.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The models that are served now.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.registry.current()
    }

    /// The sessions of the caller.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// The engines.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Writes the gauges that are read on demand: sessions and their memory, jobs.
    pub fn observe(&self) {
        let stats = self.sessions.stats();
        let jobs = self.pool.stats();
        self.metrics.models_loaded(self.catalog().iter().len());
        for (model, &count) in &stats.by_model {
            self.metrics.model(model).sessions(count);
        }
        for (reason, &total) in &stats.closed {
            self.metrics.sessions_closed(reason.name(), total);
        }
        self.metrics.sessions_memory(stats.bytes, self.sessions.limits().bytes_max);
        self.metrics.jobs(jobs.running, jobs.waiting);
        self.metrics.memory_for("sessions", stats.bytes);
        for purpose in Purpose::ALL {
            self.metrics.memory_for(purpose.name(), self.budget.taken_for(purpose));
        }
        self.metrics.memory(MemoryFigures {
            bytes_max: self.config.memory_max.0,
            requests_max: self.budget.bytes_max(),
            requests_peak: self.budget.peak(),
            resident: memory::resident().unwrap_or_default(),
        });
        self.observe_store();
    }

    /// Ends every job, including streams, with `finish_reason: "shutdown"`. Does not wait for them.
    pub fn stop(&self) {
        self.pool.shut();
    }

    /// Ends every job, waits until the last one has freed its session, and writes to the store what was not written yet. Blocks.
    pub fn close(&self) {
        self.pool.finish();
        if let Some(storing) = &self.storing {
            storing.finish();
        }
    }
}

/// The name that the model in `folder` has.
///
/// # Errors
/// A name that is not UTF-8; a path that cannot be followed.
pub fn model_name(folder: &Path) -> Result<String> {
    catalog::name_of(folder)
}

fn load_options(config: &Config) -> Result<LoadOptions> {
    Ok(LoadOptions {
        kernel: Kernel::choose(config.engine.kernel.forced())?,
        weights: config.weights,
        fold_bytes_max: config.engine.fold_bytes_max(),
    })
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
        rewind_max: options.rewind_max,
        each_owner: OwnerLimits {
            sessions_max: config.keys.key_sessions_max,
            bytes_max: config.keys.key_sessions_bytes_max.map(|max| max.0),
        },
    }
}
