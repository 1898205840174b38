//! An engine without a thread, with sessions, a manual clock, and the jobs that a test submits.

use std::sync::Arc;
use std::time::Duration;

use rnnlm_server::clock::Clock;
use rnnlm_server::engine::jobs::{
    BeamPlan, BeamSearch, ContinuationPlan, Destination, Generation, GenerationEvent, GenerationPlan,
    Reading, ReadingFailure, ReadingPlan, ReadingResult,
};
use rnnlm_server::engine::{
    Engine, EngineLimits, Inbox, InboxLimits, Reader, Refusal, RowPlan, Start, Stopwatch, Submission, Timed,
    Turn,
};
use rnnlm_server::error::Result;
use rnnlm_server::lm::{Cache, CacheOptions, Model, TokenId};
use rnnlm_server::sampling::{FilterSpec, Filtering, Filters, Penalties, Sampler};
use rnnlm_server::session::{
    Evict, NewSession, OnExisting, OwnerLimits, SessionId, SessionLimits, Sessions, Snapshot,
};
use rnnlm_server::text::{Joint, Tail, Tokenizer, TokenizerKind, TokenizerSpec};

use super::beam::Beam;
use super::search::{Found, JointSearch, Search};

pub(crate) struct World {
    /// The name under which jobs are submitted.
    pub(crate) name: Arc<str>,
    /// Which weights of that name.
    pub(crate) identity: Arc<str>,
    /// The token that ends a generation, if one does.
    pub(crate) eos: Option<TokenId>,
    pub(crate) model: Arc<dyn Model>,
    pub(crate) sessions: Sessions,
    pub(crate) ids: Vec<SessionId>,
    pub(crate) clock: Clock,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) engine: Engine,
    tokenizer: Arc<Tokenizer>,
    /// Times every job.
    pub(crate) stopwatch: Arc<Stopwatch>,
}

/// The limits of the engine that a test varies.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) rows_max: usize,
    pub(crate) state_bytes_max: usize,
    pub(crate) turn_steps: f64,
    pub(crate) idle_after: Duration,
    pub(crate) turn_time: Duration,
    pub(crate) place_wait: Duration,
    pub(crate) wait_max: Duration,
    pub(crate) logits_bytes_max: usize,
    pub(crate) parked_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rows_max: 8,
            state_bytes_max: 1 << 20,
            turn_steps: 8.0,
            idle_after: Duration::ZERO,
            turn_time: Duration::from_millis(50),
            place_wait: Duration::from_secs(1 << 20),
            wait_max: Duration::from_secs(1 << 20),
            logits_bytes_max: 1 << 20,
            parked_max: 8,
        }
    }
}

/// A request for a generation.
#[derive(Clone, Debug)]
pub(crate) struct Draws {
    pub(crate) prompt: Vec<TokenId>,
    pub(crate) seed: u64,
    pub(crate) len: usize,
    pub(crate) events_max: usize,
    /// Number of choices; above 1, not on a session.
    pub(crate) choices: usize,
    pub(crate) deadline: Option<Duration>,
}

impl Draws {
    pub(crate) fn sampler(&self) -> Sampler {
        Sampler::Multinomial { seed: self.seed, choice: 0 }
    }

    /// The filters, with what they have seen of the prompt.
    pub(crate) fn filtering(&self) -> Filtering {
        Filtering::new(filters(), &self.prompt)
    }
}

pub(crate) const STALL: Duration = Duration::from_secs(5);

/// Most bytes of the tokens of jobs that wait.
pub(crate) const QUEUE_BYTES_MAX: usize = 1 << 20;

fn session_limits() -> SessionLimits {
    SessionLimits {
        sessions_max: 100,
        bytes_max: 1 << 24,
        ttl: Duration::from_secs(3600),
        evict: Evict::Lru,
        gone_ttl: Duration::from_secs(3600),
        gone_max: 100,
        rewind_max: usize::MAX,
        each_owner: OwnerLimits::default(),
    }
}

impl World {
    /// A world with `sessions_count` sessions at the start of `model`, every second one with a cache.
    pub(crate) fn new(model: Arc<dyn Model>, sessions_count: usize, limits: &Limits) -> Self {
        Self::at(Clock::manual(), model, sessions_count, limits)
    }

    /// The same at the time of `clock`, which a model may advance while it runs.
    pub(crate) fn at(clock: Clock, model: Arc<dyn Model>, sessions_count: usize, limits: &Limits) -> Self {
        let inbox = Arc::new(Inbox::new(InboxLimits {
            jobs_max: 1000,
            bytes_max: QUEUE_BYTES_MAX,
            wait_max: limits.wait_max,
            rows_max: limits.rows_max,
            state_bytes_max: limits.state_bytes_max,
            turn_steps: limits.turn_steps,
        }));
        let engine_limits = EngineLimits {
            rows_max: limits.rows_max,
            state_bytes_max: limits.state_bytes_max,
            turn_steps: limits.turn_steps,
            turn_steps_idle: 2.0 * limits.turn_steps,
            idle_after: limits.idle_after,
            turn_time: limits.turn_time,
            place_wait: limits.place_wait,
            running_max: 1000,
            logits_bytes_max: limits.logits_bytes_max,
            parked_max: limits.parked_max,
            stall_timeout: STALL,
        };
        let engine = Engine::new(inbox.clone(), engine_limits, clock.clone(), Arc::new(()));
        let sessions = Sessions::new(session_limits(), clock.clone());
        let snapshot = Snapshot::at_start(model.start_state(), "weights".into());
        let ids = (0..sessions_count).map(|number| {
            let mut snapshot = snapshot.clone();
            if let Some(width) = model.cache_width().filter(|_| number % 2 == 1) {
                let options = CacheOptions { window: 12, theta: 1.5, lambda: 0.3 };
                snapshot.state.set_cache(Some(Arc::new(Cache::new(options, width))));
            }
            let new = NewSession {
                id: None,
                model: "model".into(),
                vocab_size: 1000,
                snapshot,
                ttl: None,
                extra_words: None,
                on_existing: OnExisting::Refuse,
            };
            sessions.create(new).expect("there is room").id
        });
        let ids = ids.collect();
        let words: Vec<String> = (0..model.info().vocab_size).map(|id| format!("w{id}")).collect();
        let tokenizer =
            Tokenizer::new(&TokenizerSpec::new(TokenizerKind::Whitespace), words.join("\n").as_bytes());
        let tokenizer = Arc::new(tokenizer.expect("the words are distinct"));
        let name = "model".into();
        let identity = "weights".into();
        let stopwatch = Arc::default();
        let eos = None;
        Self { name, identity, eos, model, sessions, ids, clock, inbox, engine, tokenizer, stopwatch }
    }

    /// Leases the session with this number: a start for a job, and the session's snapshot. `None` if the session is busy.
    pub(crate) fn lease(&self, session: usize) -> Option<(Start, Snapshot)> {
        let lease = self.sessions.lease(&self.ids[session], None).ok()?;
        let snapshot = lease.snapshot.clone();
        Some((Start::Session(lease), snapshot))
    }

    /// The snapshot of the session with this number.
    pub(crate) fn snapshot(&self, session: usize) -> Snapshot {
        self.sessions.read(&self.ids[session]).expect("no test deletes a session").snapshot
    }

    pub(crate) fn read(
        &self,
        start: Start,
        plan: ReadingPlan,
    ) -> Reader<Result<ReadingResult, ReadingFailure>> {
        self.try_read(start, plan).unwrap_or_else(|refusal| panic!("refused: {refusal:?}"))
    }

    pub(crate) fn try_read(
        &self,
        start: Start,
        plan: ReadingPlan,
    ) -> Result<Reader<Result<ReadingResult, ReadingFailure>>, Refusal> {
        let (job, plans, reader) = Reading::new(plan);
        let submission = Submission { job: Box::new(job), ..self.submission(start, plans) };
        self.inbox.push(submission).map_err(|refused| refused.why)?;
        Ok(reader.telling(self.inbox.clone()))
    }

    pub(crate) fn generate(&self, start: Start, draws: &Draws) -> Reader<GenerationEvent> {
        self.try_generate(start, draws).unwrap_or_else(|refusal| panic!("refused: {refusal:?}"))
    }

    pub(crate) fn try_generate(
        &self,
        start: Start,
        draws: &Draws,
    ) -> Result<Reader<GenerationEvent>, Refusal> {
        // Whatever is drawn on a copy could become a session.
        let destination = match start {
            Start::Session(_) => Destination::Session,
            Start::Copy(_) => Destination::Snapshots,
        };
        let position = match &start {
            Start::Session(lease) => lease.snapshot.position,
            Start::Copy(snapshot) => snapshot.position,
        };
        let (job, plans, reader) = Generation::new(GenerationPlan {
            continuation: ContinuationPlan {
                tokens_max: draws.len,
                choices: draws.choices,
                destination,
                ..self.continuation(&draws.prompt)
            },
            sampler: draws.sampler(),
            position: position + draws.prompt.len() as u64,
            events_max: draws.events_max,
        });
        let deadline = draws.deadline.map(|after| self.clock.now() + after);
        let submission = Submission { job: Box::new(job), deadline, ..self.submission(start, plans) };
        self.inbox.push(submission).map_err(|refused| refused.why)?;
        Ok(reader.telling(self.inbox.clone()))
    }

    fn continuation(&self, prompt: &[TokenId]) -> ContinuationPlan {
        ContinuationPlan {
            prompt: prompt.into(),
            joint: Joint::Closed,
            scores_prompt: false,
            filters: filters(),
            tokens_max: 0,
            eos: self.eos,
            stops: Vec::new(),
            decoder: self.tokenizer.decoder(&Tail::default()),
            alternatives: 0,
            choices: 1,
            destination: Destination::Snapshots,
        }
    }

    pub(crate) fn beam(&self, start: Start, beam: &Beam) -> Reader<GenerationEvent> {
        self.best_of_beam(start, beam, beam.width)
    }

    /// The same for the best `choices` hypotheses.
    pub(crate) fn best_of_beam(&self, start: Start, beam: &Beam, choices: usize) -> Reader<GenerationEvent> {
        let (job, plans, reader) = BeamSearch::new(BeamPlan {
            continuation: ContinuationPlan {
                tokens_max: beam.len,
                eos: beam.eos,
                choices,
                ..self.continuation(&beam.prompt)
            },
            width: beam.width,
            length_penalty: beam.length_penalty,
        });
        let deadline = beam.deadline.map(|after| self.clock.now() + after);
        let submission = Submission { job: Box::new(job), deadline, ..self.submission(start, plans) };
        self.submit(submission, reader)
    }

    pub(crate) fn search(&self, start: Start, search: Search) -> Reader<Result<Found>> {
        let (job, plans, reader) = JointSearch::new(search);
        self.submit(Submission { job: Box::new(job), ..self.submission(start, plans) }, reader)
    }

    /// Takes turns until no row can run.
    pub(crate) fn run(&mut self) {
        for _ in 0..100_000 {
            if self.engine.turn() != Turn::Ran {
                return;
            }
        }
        panic!("the engine does not become idle");
    }

    /// A submission whose job the caller replaces.
    pub(crate) fn submission(&self, start: Start, plans: Vec<RowPlan>) -> Submission {
        // This job only fills the field.
        let (job, _, _) = Reading::new(ReadingPlan::default());
        Submission {
            name: self.name.clone(),
            identity: self.identity.clone(),
            model: self.model.clone(),
            start,
            plans,
            job: Box::new(job),
            arrived: self.clock.now(),
            deadline: None,
            held: Vec::new(),
            timed: Some(Timed::start(&self.stopwatch, &self.clock)),
        }
    }

    pub(crate) fn submit<T>(&self, submission: Submission, reader: Reader<T>) -> Reader<T> {
        assert!(self.inbox.push(submission).is_ok(), "the inbox has room");
        reader.telling(self.inbox.clone())
    }
}

pub(crate) fn filters() -> Filters {
    let penalties = Penalties { frequency: 0.25, ..Penalties::NONE };
    Filters::new(FilterSpec { penalties, ..FilterSpec::default() }).expect("the values are in range")
}
