//! Use case: a text is continued. The request is checked in [`checked`]; [`generating`] has what comes out.

mod checked;
mod echo;
mod forking;
mod generating;
mod pace;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

pub(super) use checked::{Asked, Names, random_seed};
use generating::Held;
pub(super) use generating::{Drawn, Step};
pub use generating::{Events, Generating};

use super::Service;
use super::target::{Branch, Target, check_context};
use super::work::Work;
use crate::api::generate::{Beam, GenerateRequest, SessionGenerateRequest, SessionPosition};
use crate::api::sessions::Expectation;
use crate::api::stream::StreamStart;
use crate::catalog::Served;
use crate::engine::jobs::{
    BeamPlan, BeamSearch, ContinuationPlan, Destination, Generation, GenerationEvent, GenerationPlan,
};
use crate::engine::{Job, Reader, RowPlan, Start};
use crate::error::{Error, Result};
use crate::sampling::Sampler;
use checked::{Checked, lists_tokens};
use echo::Echo;
use forking::Forking;
use pace::Pace;

/// Where a generation starts, and what becomes of where it ends.
struct Origin {
    start: Start,
    forking: Option<Forking>,
}

/// A job that continues a text.
struct Continuing {
    job: Box<dyn Job>,
    plans: Vec<RowPlan>,
    reader: Reader<GenerationEvent>,
}

impl Service {
    /// Starts a generation from a model's start. What can be refused is refused here; a failure of the first step comes out of
    /// the generation.
    ///
    /// # Errors
    /// Whatever is wrong with the request; a full queue.
    pub async fn generate(&self, request: GenerateRequest) -> Result<Generating> {
        self.generate_asked(request.into()).await
    }

    /// As [`Self::generate`], for a request that may come from another dialect.
    pub(super) async fn generate_asked(&self, asked: Asked<'_>) -> Result<Generating> {
        let request = &asked.request;
        check_returned_state(request)?;
        let target = self.start_target(request.prompt.model.as_deref(), &request.carried).await?;
        let checked = self.check_generation(&target, asked).await?;
        let origin = self.origin(&target, &checked)?;
        self.start_generation(target.served(), origin, checked)
    }

    /// The time without an event after which a stream is kept alive by a comment.
    pub fn stream_keep_alive(&self) -> Duration {
        self.config.http.stream_keep_alive
    }

    /// Starts a generation from where the session `id` stands.
    ///
    /// # Errors
    /// As [`Self::generate`]; a session that does not exist; `SessionBusy` and `PositionMismatch` if it is to move.
    pub async fn session_generate(&self, id: &str, request: SessionGenerateRequest) -> Result<Generating> {
        let moves = request.moves_session();
        let SessionGenerateRequest { generate, commit: _, expected } = request;
        if !moves && expected.expected_position.is_some() {
            let message = "`expected_position` is given although the session does not move; it is accepted only if `commit` is true and `fork` false";
            return Err(Error::invalid("expected_position", message));
        }
        generate.carried.check_in_session(id)?;
        if moves {
            check_moves_one(&generate)?;
            return self.move_session(id, generate.into(), expected).await;
        }
        let target = Target::Session(self.session_target(id, generate.prompt.model.as_deref())?);
        let checked = self.check_generation(&target, generate.into()).await?;
        let origin = self.origin(&target, &checked)?;
        self.start_generation(target.served(), origin, checked)
    }

    /// Starts a generation of one choice that moves the session `id`.
    ///
    /// # Errors
    /// As [`Self::session_generate`].
    pub(super) async fn move_session(
        &self,
        id: &str,
        asked: Asked<'_>,
        expected: Expectation,
    ) -> Result<Generating> {
        let session = self.session_target(id, asked.request.prompt.model.as_deref())?;
        let target = Target::Session(session);
        let checked = self.check_generation(&target, asked).await?;
        let Target::Session(session) = &target else { unreachable!("bug: it was made of a session") };
        let lease = match checked.prepared.left_out {
            0 => self.lease(session, expected).await?,
            _ => self.lease_as_seen(session, expected).await?,
        };
        let origin = Origin { start: Start::Session(lease), forking: None };
        self.start_generation(target.served(), origin, checked)
    }

    /// A start that moves no session.
    fn origin(&self, target: &Target, checked: &Checked) -> Result<Origin> {
        if !checked.request.fork {
            return Ok(Origin { start: Start::Copy(self.open(target)?), forking: None });
        }
        let Branch { snapshot, ttl, extra_words } = self.branch(target)?;
        let forking = Forking {
            sessions: self.sessions.clone(),
            metrics: self.metrics.clone(),
            model: target.served().name.clone(),
            vocab_size: target.served().model.info().vocab_size,
            ttl,
            extra_words,
        };
        Ok(Origin { start: Start::Copy(snapshot), forking: Some(forking) })
    }

    fn start_generation(&self, served: &Arc<Served>, origin: Origin, checked: Checked) -> Result<Generating> {
        let Origin { start, forking } = origin;
        let at = start.snapshot();
        let before = at.tail.clone();
        let tokens_before = at.position;
        let position = tokens_before + checked.prepared.tokens.len() as u64;
        check_context(served, position)?;
        let tail = checked.prepared.tail_after(&before);
        let session = match &start {
            Start::Session(lease) => Some(SessionPosition { id: lease.id().to_string(), position }),
            Start::Copy(_) => None,
        };
        let moving = match &start {
            Start::Session(lease) => Some((self.sessions.clone(), lease.id().clone())),
            Start::Copy(_) => None,
        };
        let settling = self.settling().filter(|_| session.is_some() || forking.is_some());
        let destination = match (&session, &forking) {
            (Some(_), _) => Destination::Session,
            (None, Some(_)) => Destination::Snapshots,
            (None, None) if checked.request.carried.return_state => Destination::Snapshots,
            (None, None) => Destination::Nowhere,
        };
        let plan = checked.continuation(served, &tail, destination);
        let Continuing { job, plans, reader } = self.continuing(plan, position, &checked);
        let lists_prompt = checked.lists_prompt();
        let Checked { request, n, begun, seed, prepared, timeout, room, .. } = checked;
        let prompt_tokens = prepared.tokens.len();
        let unknown_count = prepared.unknown_count;
        let left_out = prepared.left_out;
        let held = prepared.held.clone();
        let rows = request.beam.map_or(n, |beam| beam.width);
        let echo = request.echo.then(|| Echo::new(prepared, before, tokens_before));
        let work = Work { served: served.clone(), start, job, plans, reader, timeout, rows, held };
        Ok(Generating {
            start: StreamStart {
                model: served.name.to_string(),
                seed,
                prompt_tokens,
                unknown_count,
                text: echo.as_ref().map(|echo| echo.text(served)),
                prompt_logprobs: None,
                session,
            },
            left_out,
            lists_tokens: lists_tokens(&request),
            carried: request.carried,
            served: served.clone(),
            reader: self.submit(work)?,
            tails: vec![tail; n],
            pace: Pace::new(self.metrics.clone(), self.clock.clone(), begun),
            echo: echo.filter(|_| lists_prompt),
            forking,
            ahead: VecDeque::new(),
            settling: settling.map(|settling| {
                let timer = self.store_timer();
                Held { settling, timer, steps: VecDeque::new(), moving }
            }),
            room,
            caller: self.caller.clone(),
        })
    }

    /// The job: a beam search, or draws.
    fn continuing(&self, continuation: ContinuationPlan, position: u64, checked: &Checked) -> Continuing {
        if let Some(beam) = checked.request.beam {
            let Beam { width, length_penalty } = beam;
            let (job, plans, reader) = BeamSearch::new(BeamPlan { continuation, width, length_penalty });
            return Continuing { job: Box::new(job), plans, reader };
        }
        let sampler = match checked.request.sampling.temperature {
            0.0 => Sampler::Greedy,
            _ => Sampler::Multinomial { seed: checked.seed, choice: 0 },
        };
        let events_max = self.config.engine.stream_buffer;
        let (job, plans, reader) =
            Generation::new(GenerationPlan { continuation, sampler, position, events_max });
        Continuing { job: Box::new(job), plans, reader }
    }
}

/// An answer returns the state after its only choice.
fn check_returned_state(request: &GenerateRequest) -> Result<()> {
    match request.n {
        Some(n) if n > 1 && request.carried.return_state => {
            let message = format!("`return_state` is true, and `n` is {n}; it is accepted with one choice");
            Err(Error::invalid("return_state", message))
        }
        _ => Ok(()),
    }
}

/// Refuses what would move a session to more than one place, or to the end of a hypothesis that was chosen from several.
fn check_moves_one(request: &GenerateRequest) -> Result<()> {
    let refused = |param: &str, found: &str| {
        let message = format!(
            "{found}, and the session would move; `commit` must be false, or `fork` true, which makes a session of each choice"
        );
        Err(Error::invalid(param, message))
    };
    match (request.n, request.beam) {
        (_, Some(_)) => refused("beam", "`beam` is given"),
        (Some(n), None) if n > 1 => refused("n", &format!("`n` is {n}")),
        _ => Ok(()),
    }
}
